"""Whatever bytes lie where the learner reads: what is documented is raised, or the value can be used."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.bundle import Bundle
from features.exceptions import IntentError, SchemaMismatch
from features.vector import WIDTH
from features.watermark import BEGINNING
from stream.learner import learning_settings
from stream.learning.labels.cursors import Progress
from stream.learning.labels.waiting import Waiting
from stream.learning.learning import Learning
from stream.learning.model.advisor import Advisor
from stream.learning.model.settings import LearningSettings
from stream.learning.model.snapshot import Snapshot, SnapshotError
from stream.learning.online_learner import OnlineLearner
from stream.learning.records.examples import Examples, encode_examples
from stream.learning.records.header import EXAMPLES, Header, pack
from stream.learning.records.outcomes import ERASURE, PURCHASE, Outcomes, encode_outcomes
from stream.learning.records.rows import read_examples, read_outcomes
from stream.learning.report import Report, decode_report
from stream.learning.snapshot_store import Lease, passed_of, progress_of
from stream.settings import Settings
from tests.bundles import random_bundle
from tests.mutations import mutations

NOW = 1_772_366_400_000
DAY = 86_400_000
YEAR_9999 = 253_402_300_799_000
ROWS = 5
HEADER = Header(7, 7 + 2 * ROWS, NOW - DAY, (8,), 0, "b", "f")


def examples(rows: int = ROWS, **columns: Any) -> Examples:
    made = {
        "partition": np.zeros(rows, np.int32),
        "offset": 7 + 2 * np.arange(rows),
        "event_id": ["é"] * rows,
        "customer": [f"c{row % 3}" for row in range(rows)],
        "kind": np.zeros(rows, np.uint8),
        "as_of": NOW - DAY + np.arange(rows),
        "weight": np.ones(rows, np.float32),
        "segment": np.arange(rows),
        "logit": np.zeros(rows),
        "vectors": np.ones((rows, WIDTH), np.float32),
    }
    return Examples(**made | columns)


def outcomes(**columns: Any) -> Outcomes:
    made = {
        "kind": np.array([PURCHASE, ERASURE, PURCHASE], np.uint8),
        "offset": np.array([7, 9, 12]),
        "time": np.array([NOW - DAY, BEGINNING, NOW - DAY]),
        "customer": ["ada", "é", ""],
    }
    return Outcomes(**made | columns)


[EXAMPLE_RECORD] = encode_examples(HEADER, examples(), 0)
[OUTCOME_RECORD] = encode_outcomes(HEADER, outcomes(), 0)


def taken(kind: str, raw: bytes, appended: int = NOW) -> Waiting:
    """Let what waits take a record; return it."""
    held = Waiting(
        "b",
        horizon_ms=DAY,
        label_start="next_day",
        timezone="America/Santiago",
        progress=Progress.beginning(1),
    )
    if kind == "examples":
        held.add_examples(0, read_examples([(3, appended, raw)], "b", "f"))
    else:
        held.add_outcomes(0, read_outcomes([(3, appended, raw)]))
    return held


def assert_refused(kind: str, raw: bytes, text: str = "") -> None:
    read = read_examples([(3, NOW, raw)], "b", "f") if kind == "examples" else read_outcomes([(3, NOW, raw)])
    [refused] = read.unreadable
    assert kind in refused.detail
    assert text in refused.detail


@settings(max_examples=150)
@given(mutations(EXAMPLE_RECORD), mutations(OUTCOME_RECORD))
def test_any_bytes_in_both_topics_are_taken_or_left_out(one: bytes, other: bytes) -> None:
    for kind, raw in (("examples", one), ("outcomes", other)):
        held = taken(kind, raw)
        list(held.release())
        assert held.newest < NOW + 2 * DAY
        assert Progress is type(held.progress())


def test_a_record_without_rows_that_was_cut_is_left_out() -> None:
    for kind, [raw] in (
        ("examples", encode_examples(HEADER, examples()[:0], 0)),
        ("outcomes", encode_outcomes(HEADER, outcomes()[:0], 0)),
    ):
        for length in range(len(raw)):
            assert_refused(kind, raw[:length])


integers = st.one_of(
    st.integers(-(2**63), 2**64 - 1), st.sampled_from((0, 7, 17, NOW, YEAR_9999, 2**31, 2**61, 2**62 - 1))
)
texts = st.text(max_size=4) | st.just("b") | st.just("f")


@settings(max_examples=150)
@given(
    st.tuples(integers, integers, integers, st.lists(integers, max_size=3), integers, texts, texts),
    st.binary(max_size=80) | st.just(EXAMPLE_RECORD[-400:]),
)
def test_any_header_is_taken_or_left_out(fields: tuple[Any, ...], body: bytes) -> None:
    head = msgspec.msgpack.encode(fields)
    record = pack(EXAMPLES, HEADER, b"")
    start = record[:6] + len(head).to_bytes(4, "little") + head
    for kind, magic in (("examples", b"PIex"), ("outcomes", b"PIoc")):
        held = taken(kind, magic + start[4:] + body)
        assert held.newest < NOW + 2 * DAY


def test_a_header_that_is_no_utf_8_is_left_out_with_a_sentence() -> None:
    [raw] = encode_outcomes(msgspec.structs.replace(HEADER, bundle="caf!"), outcomes(), 0)
    assert_refused("outcomes", raw.replace(b"caf!", b"caf\xff"), "is damaged (byte 3 is not UTF-8)")


@pytest.mark.parametrize("late", [NOW + 2 * DAY, YEAR_9999, 2**62])
def test_times_beyond_the_records_arrival_are_left_out(late: int) -> None:
    far = np.full(ROWS, late)
    assert_refused("examples", next(encode_examples(HEADER, examples(as_of=far), 0)), "event times")
    assert_refused("outcomes", next(encode_outcomes(HEADER, outcomes(time=far[:3]), 0)), "event times")
    erased = outcomes(kind=np.full(3, ERASURE, np.uint8), time=far[:3])
    assert_refused("outcomes", next(encode_outcomes(HEADER, erased, 0)), "a time")
    head = msgspec.structs.replace(HEADER, watermark=late)
    assert_refused("examples", next(encode_examples(head, examples(), 0)), f"watermark {late}")


def test_of_bundles_that_nobody_has_trained_only_so_many_are_remembered() -> None:
    records = [
        (at, NOW, next(encode_examples(msgspec.structs.replace(HEADER, bundle=f"b{at}"), Examples.none(), 0)))
        for at in range(150)
    ]
    held = taken("examples", EXAMPLE_RECORD)
    held.add_examples(0, read_examples(records, "b", "f"))
    assert len(held.passed) == 100
    assert_refused(
        "examples", next(encode_examples(msgspec.structs.replace(HEADER, bundle="b" * 201), examples(), 0))
    )


values = st.sampled_from((0.0, 1.0, -1.0, np.nan, np.inf, -np.inf, 3.4e38, -3.4e38, 1e-45)) | st.floats(
    width=32
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return random_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.mark.filterwarnings("ignore:overflow encountered in exp:RuntimeWarning")  # River's, of a sure loss
@pytest.mark.parametrize("model", ["newton", "river"])
@settings(max_examples=20)
@given(st.lists(values, min_size=7, max_size=7))
def test_whatever_numbers_examples_hold_what_is_learned_stays_finite(
    bundle: Bundle, model: str, drawn: list[float]
) -> None:
    learner = OnlineLearner(bundle, LearningSettings(model=model))  # type: ignore[arg-type]
    for step in range(2):
        vectors = np.resize(np.array(drawn, np.float32), (ROWS, WIDTH))
        logit = np.resize(drawn[step + 1 :], ROWS)
        learner.learn(
            examples(
                vectors=vectors,
                logit=logit,
                weight=np.resize(np.array(drawn[step:], np.float32), ROWS),
                segment=np.array([-(2**15), -1, 0, 4, 2**15 - 1]),
                as_of=NOW + step * DAY + np.arange(ROWS),
            ),
            np.array([0, 1, 0, 1, 1], np.uint8),
        )
    for name, array in learner.snapshot().arrays.items():
        assert np.isfinite(array).all(), name
    said = Advisor.of(learner.snapshot(), bundle).advise(vectors, logit, np.zeros(ROWS, np.int64))
    assert ((said.probability >= 0) & (said.probability <= 1)).all()


@pytest.fixture(scope="module")
def saved(bundle: Bundle) -> Any:
    return Learning.begin(bundle, learning_settings(Settings()), 2).saved()


@settings(max_examples=60)
@given(st.data())
def test_a_damaged_snapshot_is_refused_by_learner_and_scorers(
    bundle: Bundle, saved: Any, data: st.DataObject
) -> None:
    for whole in (saved.snapshot, saved.scorers):
        raw = data.draw(mutations(whole))
        if raw != whole:
            with pytest.raises(SnapshotError):
                Snapshot.from_bytes(raw)


@settings(max_examples=60)
@given(st.data())
def test_a_damaged_snapshot_without_a_seal_is_refused_or_used(
    bundle: Bundle, saved: Any, data: st.DataObject
) -> None:
    old = [b"INTLEARN" + whole[8:-8] for whole in (saved.snapshot, saved.scorers)]
    with contextlib.suppress(IntentError):
        Learning.resume(bundle, learning_settings(Settings()), 2, data.draw(mutations(old[0])))
    with contextlib.suppress(IntentError):
        Advisor.of(Snapshot.from_bytes(data.draw(mutations(old[1]))), bundle)


@given(st.data())
def test_damaged_figures_and_leases_are_refused_or_used(saved: Any, data: st.DataObject) -> None:
    with contextlib.suppress(SchemaMismatch):
        assert isinstance(decode_report(data.draw(mutations(saved.quality))), Report)
    with contextlib.suppress(SchemaMismatch):
        assert isinstance(Lease.from_bytes(data.draw(mutations(Lease(3, bytes(16)).to_bytes()))), Lease)


json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(json)
def test_progress_that_is_none_is_refused(meta: object) -> None:
    for read in (progress_of, passed_of):
        with contextlib.suppress(SchemaMismatch):
            read(meta)
