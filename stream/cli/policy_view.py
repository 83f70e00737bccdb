"""What two policies decide on the same log, as counts and as tables."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from features.traffic import TRAFFIC
from stream.cli.console import add_columns

if TYPE_CHECKING:
    from rich.table import Table

    from stream.messages.action import Action
    from stream.scoring.scored_partition import DecidedLog

_OLD, _NEW = "against", "policy"

# The rows below the actions: what each of them counts, and where it stands.
_SUMS = (
    ("all carried out", "total"),
    ("- for customers", "customers"),
    ("left undone", "left_alone"),
    ("- for customers", "customers_left_alone"),
)
_OF_SUMS = (
    "Actions are left undone for customers of the holdout, and for those whom the shop manages itself. The rows "
    "'for customers' count each customer once; all other rows count actions."
)


def compared(against: DecidedLog, policy: DecidedLog) -> dict[str, Any]:
    """Return what both policies decide: counts of the actions that are carried out, and what became of the others."""
    sides = {_OLD: against, _NEW: policy}
    carried = {
        side: [action for action in log.actions if action.arm == "treatment"] for side, log in sides.items()
    }
    held_back = {
        side: [action for action in log.actions if action.arm != "treatment"] for side, log in sides.items()
    }
    zone = ZoneInfo(policy.rulebook.policy.timezone or policy.rulebook.timezone)
    return {
        "versions": {side: log.rulebook.version for side, log in sides.items()},
        "total": {side: len(actions) for side, actions in carried.items()},
        "customers": _customers(carried),
        "left_alone": {side: len(actions) for side, actions in held_back.items()},
        "customers_left_alone": _customers(held_back),
        "action": _counts(carried, lambda action: action.action),
        "segment": _counts(carried, lambda action: action.segment.name),
        "day": _counts(carried, lambda action: _day(action.decided_at, zone)),
        "trigger": _counts(carried, lambda action: action.trigger),
        "traffic": {
            name: {side: int(log.traffic[at]) for side, log in sides.items()}
            for at, name in enumerate(TRAFFIC)
        },
        "rule": {side: _outcomes(log) for side, log in sides.items()},
    }


def tables(found: dict[str, Any]) -> Iterator[Table]:
    """Yield the tables of what `compared` returned."""
    from rich.table import Table

    versions = found["versions"]
    for kind in ("action", "segment", "day", "traffic"):
        what = "Events" if kind == "traffic" else "Actions"
        table = Table(title=f"{what} by {kind}", title_justify="left")
        names = (kind, versions[_OLD], f"{versions[_NEW]} (new)", "change")
        add_columns(table, {kind}, *names, right=set(names[1:]))
        for name, counts in found[kind].items():
            table.add_row(name, *_cells(counts))
        if kind == "action":
            table.add_section()
            for name, key in _SUMS:
                table.add_row(name, *_cells(found[key]))
            table.caption, table.caption_justify = _OF_SUMS, "left"
        yield table
    table = Table(
        title=f"Rules of {versions[_NEW]}: what became of what was due",
        title_justify="left",
        caption="sent: all that are carried out or left undone",
        caption_justify="left",
    )
    outcomes = list(next(iter(found["rule"][_NEW].values())))
    add_columns(table, {"rule"}, "rule", *outcomes, right=set(outcomes))
    for rule, counts in found["rule"][_NEW].items():
        table.add_row(rule, *(f"{counts[outcome]:,}" for outcome in outcomes))
    yield table


def _cells(counts: dict[str, int]) -> tuple[str, str, str]:
    old, new = counts[_OLD], counts[_NEW]
    return f"{old:,}", f"{new:,}", f"{new - old:+,}" if new != old else ""


def _customers(actions: dict[str, list[Action]]) -> dict[str, int]:
    return {side: len({action.customer_id for action in found}) for side, found in actions.items()}


def _counts(carried: dict[str, list[Action]], kind: Callable[[Action], str]) -> dict[str, dict[str, int]]:
    counts = {side: Counter(map(kind, actions)) for side, actions in carried.items()}
    names = sorted({name for counted in counts.values() for name in counted})
    return {name: {side: counted[name] for side, counted in counts.items()} for name in names}


def _outcomes(log: DecidedLog) -> dict[str, dict[str, int]]:
    from stream.decisions.tables import OUTCOMES

    return {
        rule.name: dict(zip(OUTCOMES, counts.tolist(), strict=True))
        for rule, counts in zip(log.rulebook.rules, log.counts, strict=True)
    }


def _day(ms: int, zone: ZoneInfo) -> str:
    return dt.datetime.fromtimestamp(ms / 1000, dt.UTC).astimezone(zone).date().isoformat()
