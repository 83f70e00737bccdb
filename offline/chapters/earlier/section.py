"""Compare a report with an earlier one: the rate, the quality of the model, segments and columns, each tested.

Most customers are in both reports. That makes the differences of two reports smaller than those of two shops, so the
tests, which take the reports for independent, are cautious. All of them together are corrected (Holm).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from features.counts import counted
from offline.chapters.earlier.reference import REFERENCE, bin_counts, independent_columns
from offline.chapters.workspace import Workspace
from offline.corrections import holm
from offline.lab.differences import LEAST, share_p_value
from offline.lab.models import MODELS
from offline.lab.statistics import ALPHA, COVERAGE
from offline.problems.problem import Problem
from offline.report.section import Picture, Section, Table, Text
from offline.report.words import column_words, value_words

#: Below it, a distribution is practically the same, whatever a test says.
PSI: Final = 0.1
_SHOWN: Final = 20
_NAMED: Final = 4
_FEW: Final = 0.5  # counted instead of nothing in a bin
_Z: Final = float(stats.norm.ppf((1 + COVERAGE) / 2))


class Change(NamedTuple):
    """What was compared.

    Attributes
    ----------
    what
        "rate", "quality", "segment" or "column".
    name
        Of the segment or column.
    before, now
        Shares, AUC, or medians (NaN where there is none).
    size
        Difference; of a column the population stability index.
    p_value
        Of no difference, not corrected.
    """

    what: str
    name: str
    before: float
    now: float
    size: float
    p_value: float


def compare_with_earlier(
    workspace: Workspace, earlier: Mapping[str, Any], reference: Mapping[str, Any]
) -> Section:
    """Return what changed.

    Parameters
    ----------
    earlier
        Of `offline.chapters.earlier.reference.read_earlier`.
    reference
        Of this report.
    """
    old, problem = earlier[REFERENCE], workspace.problem
    when = f"{str(earlier.get('created_at', ''))[:10]}, {earlier.get('input', 'unknown input')}".strip(", ")
    same = (old["unit"], old["target"]) == (reference["unit"], reference["target"])
    changes: list[Change] = []
    notes = []
    if same:
        changes += [
            _rate(old["rate"], reference["rate"]),
            *_quality(old.get("quality"), reference["quality"]),
        ]
    else:
        notes.append(
            f"The earlier report predicts {old['target']} for each {old['unit']}, this one {reference['target']} for "
            f"each {reference['unit']}: how often that happens and how well it is predicted cannot be compared."
        )
    changes += _segments(old.get("segments") or {}, reference["segments"])
    columns = independent_columns(problem)
    changes += [
        _column(name, old["columns"][name], columns[name])
        for name in columns
        if _comparable(name, old, reference)
    ]
    corrected = holm([change.p_value for change in changes])
    frame = (
        pd.DataFrame(changes).assign(p=corrected) if changes else pd.DataFrame(columns=[*Change._fields, "p"])
    )
    notes += _only_in_one(old, reference)
    if earlier.get("quick") != workspace.options.quick:
        notes.append("One of the reports is a quick one, from fewer rows; the other is not.")
    log = workspace.input == "log"
    summary = [f"Compared with the report of {when}: {old['rows']:,} {old['unit']}s then, {len(problem):,} now.",
               *_sentences(frame, problem, log=log)]  # fmt: skip
    parts: list[Table | Picture | Text] = []
    for what, title, caption, formats in _TABLES:
        own = frame[frame["what"] == what]
        if len(own):
            table = _table(own, what, log=log)
            parts.append(Table(title, table, f"{caption} {_CORRECTED}", formats))
    if notes:
        parts.append(Text("What could not be compared", notes))
    figures = {"earlier": when, "changes": frame.drop(columns="p_value"), "notes": notes}
    return Section("changes", "Since the earlier report", summary, parts, figures)


_CORRECTED: Final = (
    "p: how probable such a difference is by chance, corrected for all comparisons of this chapter (Holm); below "
    f"{ALPHA} it is more than chance. Customers in both reports make the tests cautious."
)
_SHARES: Final = {"before": ".1%", "now": ".1%", "difference": "+.1%", "p": ".3f"}
_TABLES: Final = (
    ("rate", "How often it happens", "Tested over customers.", _SHARES),
    ("quality", "How well it is predicted", "AUC of the main model on later rows.",
     {"before": ".3f", "now": ".3f", "difference": "+.3f", "p": ".3f"}),
    ("segment", "Sizes of segments", "Shares of the customers; each report has the bounds of its own log.", _SHARES),
    ("column", "Columns",
     f"One row of each customer, in ten parts of the earlier report. PSI: population stability index; below {PSI} the "
     "distribution is practically the same.", {"PSI": ".3f", "p": ".3f"}),
)  # fmt: skip


def _rate(old: Mapping[str, float], new: Mapping[str, float]) -> Change:
    error = float(np.hypot(old["error"], new["error"]))
    gap = new["share"] - old["share"]
    p_value = float(2 * stats.norm.sf(abs(gap) / error)) if error else 1.0
    return Change("rate", "rate", old["share"], new["share"], gap, p_value)


def _quality(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> list[Change]:
    if not old or not new or old["model"] != new["model"]:
        return []
    error = float(np.hypot(*[(one["high"] - one["low"]) / (2 * _Z) for one in (old, new)]))
    gap = new["auc"] - old["auc"]
    p_value = float(2 * stats.norm.sf(abs(gap) / error)) if error else 1.0
    title = MODELS[new["model"]].title if new["model"] in MODELS else str(new["model"])
    return [Change("quality", title, old["auc"], new["auc"], gap, p_value)]


def _segments(old: Mapping[str, int], new: Mapping[str, int]) -> list[Change]:
    before, now = sum(old.values()), sum(new.values())
    if min(before, now) < LEAST:
        return []
    changes = []
    for name in dict.fromkeys([*old, *new]):
        a, b = int(old.get(name, 0)), int(new.get(name, 0))
        p_value = share_p_value(a, before, b, now)
        changes.append(Change("segment", name, a / before, b / now, b / now - a / before, p_value))
    return changes


def _comparable(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return name in old["columns"] and ("edges" in old["columns"][name]) == ("edges" in new["columns"][name])


def _column(name: str, bins: Mapping[str, Any], column: pd.Series) -> Change:
    before, now = np.array(bins["counts"], np.float64), np.array(bin_counts(column, bins), np.float64)
    known = column.dropna()
    median = float(np.median(known.to_numpy(np.float64))) if "edges" in bins and len(known) else float("nan")
    was = bins.get("median")
    kept = (before + now) > 0
    p_value = 1.0
    if kept.sum() > 1 and min(before.sum(), now.sum()) >= LEAST:
        p_value = float(stats.chi2_contingency(np.array([before[kept], now[kept]])).pvalue)
    return Change(
        "column", name, float("nan") if was is None else float(was), median, stability(before, now), p_value
    )


def stability(before: NDArray[np.float64], now: NDArray[np.float64]) -> float:
    """Return the population stability index of two histograms: 0 the same, from .25 on usually called a shift.

    Examples
    --------
    >>> stability(np.array([50.0, 50.0]), np.array([100.0, 100.0]))
    0.0
    >>> round(stability(np.array([50.0, 50.0]), np.array([80.0, 20.0])), 2)
    0.42
    """
    shares = [np.maximum(counts, _FEW) / np.maximum(counts, _FEW).sum() for counts in (before, now)]
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def _only_in_one(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    notes = []
    for words, names in (
        ("only the earlier report has", [n for n in old["columns"] if n not in new["columns"]]),
        ("only this report has", [n for n in new["columns"] if n not in old["columns"]]),
        (
            "of another kind than before:",
            [n for n in new["columns"] if n in old["columns"] and not _comparable(n, old, new)],
        ),
    ):
        if names:
            notes.append(f"Columns that {words} {', '.join(names)}." if "of another" not in words
                         else f"Columns {words} {', '.join(names)}.")  # fmt: skip
    if (old.get("quality") or {}).get("model") != (new.get("quality") or {}).get("model"):
        notes.append(
            "The reports judge different models, or one of them none: their quality is not compared."
        )
    return notes


def _sentences(frame: pd.DataFrame, problem: Problem, *, log: bool) -> list[str]:
    clear = frame["p"] < ALPHA
    said = []
    for row in frame[frame["what"] == "rate"].itertuples():
        what = f"the share of {problem.unit}s followed by a {problem.target_name}" if log else (
            f"the share of {problem.unit}s with {problem.target_name}"
        )  # fmt: skip
        if row.p < ALPHA:
            said.append(
                f"{what[0].upper()}{what[1:]} {'rose' if row.size > 0 else 'fell'} from {row.before:.1%} to "
                f"{row.now:.1%}."
            )
        else:
            said.append(
                f"{what[0].upper()}{what[1:]} is {row.now:.1%}, before {row.before:.1%}: that may be chance."
            )
    for row in frame[frame["what"] == "quality"].itertuples():
        verdict = "that may be chance" if row.p >= ALPHA else "better than before" if row.size > 0 else (
            "worse than before: look at the columns that changed"
        )  # fmt: skip
        said.append(f"{row.name} ranks with an AUC of {row.now:.3f}, before {row.before:.3f}: {verdict}.")
    segments = frame[(frame["what"] == "segment")]
    moved = segments[clear.loc[segments.index]].sort_values("size", key=abs, ascending=False)
    for row in moved.head(_NAMED).itertuples():
        said.append(
            f"“{row.name}” {'grew' if row.size > 0 else 'shrank'} from {row.before:.1%} to {row.now:.1%} of the "
            "customers."
        )
    if len(segments) and not len(moved):
        said.append("No segment grew or shrank by more than chance explains.")
    columns = frame[frame["what"] == "column"]
    shifted = columns[clear.loc[columns.index] & (columns["size"] >= PSI)].sort_values(
        "size", ascending=False
    )
    if len(shifted):
        names = "; ".join(
            f"{column_words(row.name, log=log)} (PSI {row.size:.2f})"
            for row in shifted.head(_NAMED).itertuples()
        )
        said.append(
            f"{len(shifted)} of {counted(len(columns), 'column')} are distributed otherwise than before, most of "
            f"all: {names}."
        )
    elif len(columns):
        said.append(
            f"None of {counted(len(columns), 'column')} is distributed otherwise by more than chance and a PSI of "
            f"{PSI}."
        )
    return said


def _table(own: pd.DataFrame, what: str, *, log: bool) -> pd.DataFrame:
    table = own.drop(columns=["what", "p_value"])
    if what == "column":
        table = table.sort_values("size", ascending=False).head(_SHOWN)
        for when in ("before", "now"):
            pairs = zip(table["name"], table[when], strict=True)
            table[when] = [
                "–" if np.isnan(median) else value_words(name, median, log=log) for name, median in pairs
            ]
        table["name"] = [column_words(name, log=log) for name in table["name"]]
        return table.rename(
            columns={"name": "column", "size": "PSI", "before": "median before", "now": "median now"}
        )
    return table.rename(columns={"name": "what" if what != "segment" else "segment", "size": "difference"})
