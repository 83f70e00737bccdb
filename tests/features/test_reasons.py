"""Reasons in words: every column has its reason, and texts speak of the number they come with."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.reasons import GROUPS, Naming, grouped, strongest
from features.vector import COLUMN_NAMES, COLUMNS, NEVER_S, WIDTH

NAMING = Naming("EUR", ("visitors", "browsers", "buyers", "loyal"))
WORDS_FOR_ZERO = ("nothing", "never", "no ", "first visit", "just now", "right after")
AT = {name: at for at, name in enumerate(COLUMN_NAMES)}
SAY = {group.key: group.say for group in GROUPS}

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


def test_every_column_belongs_to_exactly_one_group() -> None:
    assert Counter(name for group in GROUPS for name in group.columns) == Counter(COLUMN_NAMES)
    assert len({group.key for group in GROUPS}) == len(GROUPS)


@settings(max_examples=60, deadline=None)
@given(row=VECTORS)
def test_every_text_contains_the_number_it_speaks_of(row: tuple[float, ...]) -> None:
    for group in GROUPS:
        value, text = group.say(row, NAMING)
        numbers = [float(n.replace(",", "")) for n in re.findall(r"\d[\d,]*(?:\.\d+)?", text)]
        if group.key == "day_of_week":
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
        ("channel", {"channel_web": 0.2, "channel_app": 0.8}, "80% of actions in the app"),
        ("day_of_week", {"weekday_cos": 1}, "the day of the week, a Monday"),
        ("segment", {"segment": 3}, "in segment 3, “loyal”"),
    ],
)
def test_texts_are_plain_english(key: str, row: dict[str, float], said: str) -> None:
    assert SAY[key](row_of(**row), NAMING)[1] == said


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
