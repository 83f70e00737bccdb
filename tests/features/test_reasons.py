"""Reasons in words: every column has its reason, and texts speak of the number they come with."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.phrases import Naming, Phrase
from features.reasons import BOOK, GROUPS, grouped, strongest
from features.vector import COLUMN_NAMES, COLUMNS, NEVER_S, WIDTH

NAMING = Naming("EUR", ("visitors", "browsers", "buyers", "loyal"))
WORDS_FOR_ZERO = ("nothing", "never", "no ", "first visit", "just now", "right after")
AT = {name: at for at, name in enumerate(COLUMN_NAMES)}
KEYS = [group.key for group in GROUPS]

_UNIT_VALUES = {
    "s": st.one_of(st.just(NEVER_S), st.just(0.0), st.floats(0, NEVER_S)),
    "count": st.one_of(st.integers(0, 3).map(float), st.floats(0, 1e6)),
    "money": st.one_of(st.just(0.0), st.floats(0, 1e7)),
    "ratio": st.floats(0, 100),
    "1": st.floats(-1, 1),
    "share": st.one_of(st.just(0.0), st.floats(0, 1)),
    "rank": st.integers(0, 3).map(float),
}
VECTORS = st.tuples(*(_UNIT_VALUES[column.unit] for column in COLUMNS))


def row_of(**values: float) -> list[float]:
    row = [0.0] * WIDTH
    for name, value in values.items():
        row[AT[name]] = value
    return row


def told(rows: Sequence[Sequence[float]], keys: Sequence[str]) -> list[list[tuple[str, float, str]]]:
    """Return what is said of each row about each of the groups."""
    topics = np.tile([KEYS.index(key) for key in keys], (len(rows), 1))
    return said_about(rows, topics)


def said_about(
    rows: Sequence[Sequence[float]], topics: NDArray[np.intp]
) -> list[list[tuple[str, float, str]]]:
    found = BOOK.tell(np.array(rows, np.float32), topics)
    assert found.shape == topics.shape
    sayings = [[BOOK.saying(one, NAMING) for one in row] for row in found.tolist()]
    return [[(KEYS[one.topic], one.number, one.text) for one in row] for row in sayings]


def test_every_column_belongs_to_exactly_one_group() -> None:
    assert Counter(name for group in GROUPS for name in group.columns) == Counter(COLUMN_NAMES)
    assert len({group.key for group in GROUPS}) == len(GROUPS)


@settings(max_examples=60, deadline=None)
@given(row=VECTORS)
def test_every_text_contains_the_number_it_speaks_of(row: tuple[float, ...]) -> None:
    (said,) = told([row], KEYS)
    assert [key for key, _, _ in said] == KEYS
    for key, value, text in said:
        numbers = [float(n.replace(",", "")) for n in re.findall(r"\d[\d,]*(?:\.\d+)?", text)]
        if key == "day_of_week":
            assert 1 <= value <= 7
            continue
        assert value in numbers or (value == 0 and any(word in text for word in WORDS_FOR_ZERO)), text
        assert not re.search(r"(?<![\d.,])1 \w*[^s\W]s\b(?! than)", text.replace("1% of actions", "")), text
        assert not re.search(r"\d\.\d{3}|\de", text), text
        assert "\n" not in text


@pytest.mark.parametrize(
    ("key", "row", "said"),
    [
        ("items_viewed", {"session_items": 7.3, "session_view_item": 9}, "looked at 7 items in this session"),
        ("items_viewed", {"session_items": 1, "session_view_item": 1}, "looked at 1 item in this session"),
        ("items_viewed", {"session_view_item": 2}, "looked at items 2 times in this session"),
        ("cart", {}, "nothing in the cart"),
        ("cart", {"cart_quantity": 1}, "1 piece in the cart"),
        ("cart", {"cart_quantity": 2.5}, "2.5 pieces in the cart"),
        ("purchases", {"purchases": 3}, "bought 3 times so far"),
        ("purchases", {"purchases": 1}, "bought 1 time so far"),
        ("last_purchase", {"since_purchase": NEVER_S}, "never bought"),
        ("last_purchase", {"purchases": 1, "since_purchase": 86_400 * 12}, "last purchase 12 days ago"),
        ("last_visit", {"sessions": 2, "session_gap": 86_400 * 12.3}, "last visit 12 days ago"),
        ("last_visit", {"sessions": 1, "session_gap": NEVER_S}, "first visit"),
        ("searches", {"since_search": NEVER_S, "tenure": NEVER_S}, "no search in the last 400 days"),
        ("searches", {"since_search": NEVER_S, "tenure": 4}, "no search so far"),
        ("pace", {"events": 2, "gap_1": 0.2}, "right after the action before"),
        ("searches", {"since_search": 3_600 * 3}, "last search 3 hours ago"),
        ("spend", {"spend": 1234.56}, "spent 1,235 EUR so far"),
        ("spend", {"spend": 0.4}, "spent less than 1 EUR so far"),
        ("spend", {}, "no money spent so far"),
        ("purchase_rhythm", {"purchases": 1}, "fewer than 2 purchases so far"),
        (
            "purchase_rhythm",
            {"purchases": 3, "purchase_gap_mean": 7_200},
            "2 hours between purchases on average",
        ),
        ("purchase_rhythm", {"purchases": 3}, "0 seconds between purchases on average"),
        ("cart", {"cart_quantity": 1234.4}, "1,234 pieces in the cart"),
        ("time_of_day", {"hour_sin": 0.9659258, "hour_cos": -0.258819}, "the time of day, about 7:00"),
        ("channel", {"channel_web": 0.2, "channel_app": 0.8}, "80% of actions in the app"),
        ("channel", {"channel_web": 0.4, "channel_store": 0.6}, "60% of actions in the store"),
        ("channel", {}, "no actions with a channel"),
        ("day_of_week", {"weekday_cos": 1}, "the day of the week, a Monday"),
        ("segment", {"segment": 3}, "in segment 3, “loyal”"),
    ],
)
def test_texts_are_plain_english(key: str, row: dict[str, float], said: str) -> None:
    ((found,),) = told([row_of(**row)], [key])
    assert found[2] == said


def test_each_row_is_told_of_its_own_groups() -> None:
    rows = [row_of(purchases=3, cart_quantity=2.5), row_of(purchases=7, cart_quantity=1)]
    topics = np.array(
        [[KEYS.index("cart"), KEYS.index("purchases")], [KEYS.index("purchases"), KEYS.index("cart")]]
    )
    assert said_about(rows, topics) == [
        [("cart", 2.5, "2.5 pieces in the cart"), ("purchases", 3, "bought 3 times so far")],
        [("purchases", 7, "bought 7 times so far"), ("cart", 1, "1 piece in the cart")],
    ]


def test_whatever_a_column_holds_something_is_said() -> None:
    rows = [[value] * WIDTH for value in (np.nan, np.inf, -np.inf, -1.0, 3e38)]
    for said in told(rows, KEYS):
        assert all(text and math.isfinite(value) for _, value, text in said)


def test_the_last_phrase_of_a_group_has_no_condition() -> None:
    assert not [group.key for group in GROUPS if group.phrases[-1].below is not None]
    assert all(isinstance(phrase, Phrase) for group in GROUPS for phrase in group.phrases)


def test_a_groups_effect_is_the_sum_of_its_columns_effects() -> None:
    effects = np.random.default_rng(3).normal(size=(50, WIDTH))
    found = grouped(effects)
    for at, group in enumerate(GROUPS):
        columns = [AT[name] for name in group.columns]
        np.testing.assert_allclose(found[:, at], effects[:, columns].sum(axis=1), atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), effects.sum(axis=1), atol=1e-12)


def test_reasons_are_the_largest_effects_of_either_sign() -> None:
    effects = np.zeros((1, len(GROUPS)))
    effects[0, [2, 5, 7, 9]] = [0.3, -0.9, 0.1, 0.5]
    assert strongest(effects).tolist() == [[5, 9, 2]]
