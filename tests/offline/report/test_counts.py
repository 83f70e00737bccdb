"""Counts on pages and screens agree with their nouns."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from features.counts import counted

ROOT = Path(__file__).parents[3]
ROOMS = ("offline/chapters", "offline/report", "offline/views", "offline/lab", "stream/cli")
NOUNS = (
    "days", "weeks", "months", "hours", "minutes", "customers", "buyers", "orders", "products", "pieces", "segments",
    "channels", "refunds", "sessions", "visits", "views", "items", "pairs", "columns", "lists", "models", "trials",
    "pages", "clusters", "countries", "categories", "searches", "records", "messages", "letters",
)  # fmt: skip
AFTER = re.compile(rf" ({'|'.join(NOUNS)})\b")
#: Numbers that are not counts of what follows them.
ALLOWED = {
    "ahead.value": "a difference: +3 buyers a list",
    "found[best].mean()": "a mean with a decimal",
    "whole['mean'][best]": "a mean with a decimal",
    "b": "the second number of a range",
    "days[-1]": "the second number of a range",
    "self.half_life_days": "of a dataclass's description",
    "minutes": "an option, which may be a fraction",
    "width": "of a fixed layout",
    "economics.effect": "a share of purchases",
    "within": "30, 60 or 90",
}


def by_hand(text: str) -> Iterator[tuple[int, str]]:
    """Yield the counts of a source that stand before a plural without `counted`."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.JoinedStr):
            continue
        for value, following in zip(node.values, node.values[1:], strict=False):
            if isinstance(value, ast.FormattedValue) and isinstance(following, ast.Constant):
                said = ast.unparse(value.value)
                if (
                    AFTER.match(str(following.value))
                    and not said.replace("_", "").isupper()
                    and said not in ALLOWED
                ):
                    yield node.lineno, f"{said}{str(following.value)[:12]}"


@pytest.mark.parametrize("room", ROOMS)
def test_no_count_is_written_by_hand_beside_the_one_helper(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    found = [f"{file.name}:{line}: {said}" for file in files for line, said in by_hand(file.read_text())]
    assert found == []


def test_a_count_by_hand_is_seen() -> None:
    assert [said for _, said in by_hand("x = f'{len(a):,} customers bought'")] == ["len(a) customers b"]
    assert not list(by_hand("x = f'{counted(1, \"customer\")} bought'"))


def test_one_is_in_the_singular_whatever_the_rounding() -> None:
    assert [counted(n, "day") for n in (1, 0.8, 1.4, 1.6)] == ["1 day", "1 day", "1 day", "2 days"]
    assert counted(1.04, "piece", digits=1) == "1 piece" and counted(1.5, "piece", digits=1) == "1.5 pieces"
