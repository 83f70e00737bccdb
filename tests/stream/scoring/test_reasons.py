"""Reasons of a batch read one by one as they are published."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.phrases import Naming
from features.reasons import BOOK, GROUPS, MOST
from features.vector import WIDTH
from stream.decisions.memory import Reasons as Remembered
from stream.messages.score import ReasonRef
from stream.scoring.reasons import Reasons, wording

NAMING = Naming("EUR", ('the "loyal"', "new\nones", "bargain hunters"))
EFFECTS = st.integers(-99_999, 99_999).filter(bool).map(lambda thousandths: thousandths / 1000)


def reasons_of(effects: list[list[float]], seed: int = 0, naming: Naming = NAMING) -> Reasons:
    """Return reasons with these effects by row; what they say is random."""
    rng = np.random.default_rng(seed)
    counts = [len(row) for row in effects]
    vectors = np.abs(rng.normal(size=(sum(counts), WIDTH)) * 10 ** rng.uniform(-2, 7, (sum(counts), WIDTH)))
    vectors[:, -1] = rng.integers(0, 4, sum(counts))
    topics = rng.integers(0, len(GROUPS), (sum(counts), 1))
    return Reasons(
        wording(naming),
        BOOK.tell(vectors.astype(np.float32), topics)[:, 0],
        topics[:, 0],
        np.array([effect for row in effects for effect in row], np.float64),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
    )


ROWS = st.lists(st.lists(EFFECTS, max_size=MOST), max_size=12)


@settings(max_examples=60, deadline=None)
@given(effects=ROWS, seed=st.integers(0, 1000), cut=st.tuples(st.integers(0, 12), st.integers(0, 12)))
def test_reasons_are_published_as_they_are_read(
    effects: list[list[float]], seed: int, cut: tuple[int, int]
) -> None:
    reasons = reasons_of(effects, seed)
    for part, wanted in ((reasons, effects), (reasons[slice(*cut)], effects[slice(*cut)])):
        read = list(part)
        assert [[reason.effect for reason in row] for row in read] == wanted
        assert [bytes(row) for row in part.encoded()] == [msgspec.json.encode(row) for row in read]
        assert [part[at] for at in range(len(part))] == read


@pytest.mark.parametrize(
    "effect", [0.05, -0.05, 0.1, 1.0, -10.0, 99.999, 100.5, 123456.789, -999999.999, 1e6, -3e9, 1e17, 0.001]
)
def test_effects_of_every_size_are_written_as_numbers_are(effect: float) -> None:
    reasons = reasons_of([[effect], [], [0.5, effect]])
    assert [bytes(row) for row in reasons.encoded()] == [msgspec.json.encode(row) for row in list(reasons)]


def test_each_row_has_its_own_reasons() -> None:
    (first,), none, (second, third) = reasons_of([[0.5], [], [-1.0, 0.05]])
    assert none == []
    assert (first.effect, second.effect, third.effect) == (0.5, -1.0, 0.05)
    assert all(isinstance(one, ReasonRef) and one.text for one in (first, second, third))


def test_rows_beyond_the_batch_are_an_error() -> None:
    reasons = reasons_of([[0.5], []])
    assert reasons[-2] == reasons[0]
    with pytest.raises(IndexError):
        reasons[2]
    with pytest.raises(ValueError, match="steps of 1"):
        reasons[::2]


def test_shops_with_the_same_names_share_what_is_kept() -> None:
    assert wording(NAMING) is wording(Naming(*NAMING))
    assert wording(NAMING) is not wording(NAMING._replace(currency="USD"))


@settings(max_examples=40, deadline=None)
@given(effects=ROWS, seed=st.integers(0, 1000), cut=st.tuples(st.integers(0, 12), st.integers(0, 12)))
def test_what_decisions_know_of_reasons_is_what_they_would_read(
    effects: list[list[float]], seed: int, cut: tuple[int, int]
) -> None:
    whole = reasons_of(effects, seed)
    for part in (whole, whole[slice(*cut)]):
        read, count = list(part), len(part)
        for found, wanted in zip(Remembered.of(part, count), Remembered.of(read, count), strict=True):
            np.testing.assert_array_equal(found, wanted)
        rows = list(range(count))[::-1]
        assert part.of(rows) == [read[row] for row in rows]
