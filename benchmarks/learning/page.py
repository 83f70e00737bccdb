"""The page ``docs/learning.md``: the kept figures as Markdown tables and sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from benchmarks.learning.drift import GOALS, JUDGED, WINDOWS
from benchmarks.learning.retail import groups_rows, main_rows, retail_notes

_SALES: Final = {
    "s10": "Sale S10: more purchases, faster decisions",
    "s9": "Sale S9: carting without intent",
}
_WINDOWS: Final = {
    "before": "before the sale",
    "first_day": "first day of the sale",
    "sale": "rest of the sale",
    "day_after": "day after",
    "rest": "later",
}
_MODELS: Final = {"frozen": "network, frozen", "online": "online model", "blend": "blend (published)"}
_FIGURES: Final = {
    "ece": "ECE",
    "share": "AUC share",
    "log_loss_share": "log-loss share",
    "excess_loss": "excess log-loss",
}
_SIGNS: Final = {"<=": "at most", ">=": "at least"}


def page(known: dict[str, Any]) -> str:
    """Return the page; parts that have not been measured are left out."""
    parts = [
        "# What learning online brings",
        "",
        "Made by `make bench-learning`, which takes some minutes. All figures are in [learning.json](learning.json).",
        "",
    ]
    if "cost" in known:
        parts += ["## What it costs", "", *_cost(known["cost"]), ""]
    if "live" in known:
        parts += _live(known["live"])
    if "drift" in known:
        parts += _sales(known["drift"])
    if "online_retail" in known:
        parts += _retail(known["online_retail"])
    return "\n".join(parts).rstrip() + "\n"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table, the first column to the left and the others to the right; then an empty line.

    Examples
    --------
    >>> markdown(["model", "AUC"], [["rule", "0.793"]])
    ['| model | AUC |', '|---|--:|', '| rule | 0.793 |', '']
    """
    lines = [f"| {' | '.join(row)} |" for row in (header, *rows)]
    return [lines[0], f"|---|{'--:|' * (len(header) - 1)}", *lines[1:], ""]


def _cost(cost: dict[str, float]) -> list[str]:
    found = []
    if "learner_examples_per_second" in cost:
        found.append(
            f"- The learner took {cost['learner_examples_per_second']:,.0f} examples a second on one core."
        )
    if "scorer_ratio" in cost:
        found.append(
            f"- With learning on, the scorer took {cost['scorer_on']:,.0f} events a second; with learning off, "
            f"{cost['scorer_off']:,.0f}. The ratio is {cost['scorer_ratio']:.2f} (median of pairs of runs)."
        )
    return found


def _live(found: dict[str, Any]) -> list[str]:
    minutes = [f"{found[name]:g}" for name in ("minutes", "horizon_minutes", "lateness_minutes")]
    header = ["", "value"]
    rows = [
        ["CPU seconds per second of event time, small records", f"{found['core_share']:.3f}"],
        ["the same before the first labels", f"{found['core_share_filling']:.3f}"],
        ["CPU seconds per second of event time, full batches", f"{found['core_share_full_batches']:.3f}"],
        ["examples learned", f"{found['examples']:,}"],
        ["examples in memory, at most", f"{found['waiting']:,}"],
        ["bytes of memory per example that waits", f"{found['bytes_per_waiting_example']:,.0f}"],
        ["weights equal to the bit", "yes" if found["equal_to_the_bit"] else "no"],
    ]
    return [
        "## Beside live workers",
        "",
        f"Workers that take {found['rate']:,} events a second write one small record for each round of "
        f"{found['round_ms']} ms and each of 12 partitions, to both topics. {minutes[0]} minutes of event time are "
        f"learned, with a horizon of {minutes[1]} and a lateness of {minutes[2]} minutes. The same events come once "
        "more in full batches.",
        "",
        f"`python -m benchmarks.learning --only live --live {' '.join(minutes)}`",
        "",
        *markdown(header, rows),
        "The learner reads examples only when they are about to be final, and Kafka keeps the others. So in memory",
        "wait the examples of the lateness and of a mini-batch's ten minutes, and never more than rate x (horizon +",
        "lateness + 10 minutes). `INTENT_SAMPLE` makes it less.",
        "",
    ]


def _sales(found: dict[str, Any]) -> list[str]:
    parts = [
        "## Two sales of the simulated shop",
        "",
        "A sale lasts from day 8 to day 13. Labels come half an hour late, as in life. Every published score is",
        "compared with the exact probability of a purchase, which the simulator knows.",
        "",
        "![The error through two sales](learning.svg)",
        "",
        "Each cell has three figures: the share of the best possible AUC above .5, the share of the best possible",
        "gain in log-loss over constant prevalence, and the calibration error (ECE) against the exact probability.",
        "",
    ]
    for sale, title in _SALES.items():
        rows = [
            [_WINDOWS[window], *(_three(found[sale][window][model]) for model in JUDGED)]
            for window in WINDOWS
        ]
        parts += [f"### {title}", "", *markdown(["", *(_MODELS[model] for model in JUDGED)], rows)]
    parts += [
        "### Goals",
        "",
        "What the blend should reach. *Excess log-loss* is how much worse the blend is than the better of its parts.",
        "",
        *markdown(["sale and window", "figure", "goal", "value", "reached"], _goals(found["goals"])),
    ]
    return parts


def _three(row: dict[str, float]) -> str:
    return f"{row['share']:.3f} / {row['log_loss_share']:.3f} / {row['ece']:.4f}"


def _goals(found: list[dict[str, Any]]) -> Iterable[list[str]]:
    for (sale, window, figure, sign, goal), kept in zip(GOALS, found, strict=True):
        yield [
            f"{sale.upper()}, {_WINDOWS[window]}", _FIGURES[figure], f"{_SIGNS[sign]} {goal:g}",
            f"{kept['value']:.4f}", "yes" if kept["reached"] else "no",
        ]  # fmt: skip


def _retail(found: dict[str, Any]) -> list[str]:
    period = found["period"]
    header, *rows = main_rows(found)
    parts = [
        "## Online Retail",
        "",
        "The question at every order: does the customer order again, on a later day, within 30 days? Every model",
        "knows only what a live system would have known: labels are 30 days late.",
        "",
        f"{period['orders']:,} orders of {period['customers']:,} customers were judged, from {period['begin']} to "
        f"{period['end']}. The prevalence is {period['prevalence']:.3f}. Intervals are 95% intervals by a bootstrap "
        "over customers.",
        "",
        *markdown(header, rows),
        *(f"- {note}" for note in retail_notes(found)),
        "",
    ]
    for title, by, figure in (
        (
            "AUC by number of order days so far, and by whether the customer was in training",
            "by_history",
            "auc",
        ),
        ("ECE by month", "by_month", "ece"),
    ):
        header, *rows = groups_rows(found[by], figure)
        parts += [f"### {title}", "", *markdown(header, rows)]
    return parts
