"""What `intent evaluate` found, as one object, as tables and in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stream.cli.console import add_columns

if TYPE_CHECKING:
    from rich.table import Table

    from features.bundle import Bundle
    from offline.training.paired import Paired
    from stream.scoring.score_log import ScoredLog

_TITLES: Final = {
    "auc": "AUC",
    "expected_auc": "expected AUC",
    "pr_auc": "PR-AUC",
    "log_loss": "log-loss",
    "brier": "Brier",
    "ece": "ECE",
}


def report(
    folders: Sequence[Path], bundles: Sequence[Bundle], found: Paired, scored: Sequence[ScoredLog], since: int
) -> dict[str, Any]:
    """Return all that was found.

    Parameters
    ----------
    found
        The measures of every bundle, and the differences from the first.
    since
        The first moment that was judged, epoch ms.
    """
    from stream.texts import moment

    first = found.measures[0]
    return {
        "since": moment(since),
        "moments": first["examples"],
        "customers": first["customers"],
        "prevalence": first["prevalence"],
        "bundles": [
            {
                "folder": str(folder),
                "version": bundle.manifest.version,
                **{name: measures[name] for name in _TITLES},
                "ci": measures["ci"],
                "difference": {
                    name: {"value": one.value, "low": one.low, "high": one.high, "told": one.told}
                    for name, one in apart.items()
                },
                "actions": _actions(log),
            }
            for folder, bundle, measures, apart, log in zip(
                folders, bundles, found.measures, [{}, *found.differences], scored, strict=True
            )
        ],
    }


def _actions(log: ScoredLog) -> dict[str, int] | None:
    """Return the actions that would be carried out, by name; ``None`` where no policy was asked."""
    if not log.decided:
        return None
    names = Counter(action.action for action in log.decided[0].actions if action.arm == "treatment")
    return dict(sorted(names.items()))


def tables(found: dict[str, Any]) -> Iterator[Table | str]:
    """Yield what people read: a table of measures, one of actions, and a sentence for every bundle but the first."""
    from stream.texts import counted

    yield (
        f"{counted(found['moments'], 'score')} of {counted(found['customers'], 'customer')} since {found['since']}, "
        f"followed by a purchase: {found['prevalence']:.2%}"
    )
    yield _measures(found["bundles"])
    first, *others = found["bundles"]
    if first["actions"] is not None:
        yield _action_table(found["bundles"])
    for other in others:
        yield _sentence(first, other)


def _measures(bundles: Sequence[dict[str, Any]]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    names = [bundle["folder"] for bundle in bundles]
    add_columns(table, names, "measure", *names, right=names)
    for name, title in _TITLES.items():
        table.add_row(title, *(_cell(bundle, name) for bundle in bundles))
        apart = [bundle["difference"].get(name) for bundle in bundles]
        if any(apart):
            table.add_row("  difference", *("" if one is None else _difference(one) for one in apart))
    return table


def _cell(bundle: dict[str, Any], name: str) -> str:
    value, interval = bundle[name], bundle["ci"].get(name)
    if value is None:
        return "-"
    return f"{value:.4f}" if interval is None else f"{value:.4f} ({interval[0]:.4f} to {interval[1]:.4f})"


def _difference(one: dict[str, Any]) -> str:
    return f"{one['value']:+.4f} ({one['low']:+.4f} to {one['high']:+.4f})"


def _action_table(bundles: Sequence[dict[str, Any]]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    names = [bundle["folder"] for bundle in bundles]
    add_columns(table, {"action", *names}, "action", *names, right=names)
    for action in sorted({name for bundle in bundles for name in bundle["actions"]}):
        table.add_row(action, *(f"{bundle['actions'].get(action, 0):,}" for bundle in bundles))
    table.add_row("all", *(f"{sum(bundle['actions'].values()):,}" for bundle in bundles))
    return table


def _sentence(first: dict[str, Any], other: dict[str, Any]) -> str:
    """Return what the log-loss says of two bundles; it judges ranking and calibration at once."""
    one = other["difference"].get("log_loss")
    if one is None:
        return f"This log cannot tell {first['folder']} and {other['folder']} apart."
    span = f"log-loss {_difference(one)}, 95% interval"
    if not one["told"]:
        return f"This log does not tell which of {first['folder']} and {other['folder']} is better ({span})."
    better, worse = (other, first) if one["value"] < 0 else (first, other)
    return f"{better['folder']} is better than {worse['folder']} ({span})."
