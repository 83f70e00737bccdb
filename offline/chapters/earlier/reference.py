"""What a report keeps for later ones to compare with: rates, quality, sizes of segments, and columns in bins."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.exceptions import IntentError
from offline.chapters.segments.section import segments_of
from offline.chapters.workspace import Workspace
from offline.lab.independent import one_each
from offline.problems.problem import Problem
from offline.report.pages import REPORT_JSON
from offline.report.section import Section

#: Under which a report's JSON keeps it.
REFERENCE: Final = "reference"
_BINS: Final = 10
_AtLeast0 = Annotated[float, msgspec.Meta(ge=0)]
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_CATEGORIES: Final = 20


class _Rate(msgspec.Struct):
    share: _Share
    error: _AtLeast0


class _Quality(msgspec.Struct):
    auc: _Share
    low: _Share
    high: _Share


class _Bins(msgspec.Struct):
    counts: list[Annotated[int, msgspec.Meta(ge=0)]]
    edges: list[float] | None = None
    categories: list[str] | None = None
    median: float | None = None

    def __post_init__(self) -> None:
        known = self.edges if self.edges is not None else self.categories
        wanted = None if known is None else len(known) + 2
        if wanted != len(
            self.counts
        ):  # below, between and above the edges, or other categories, and missing ones
            raise ValueError(f"{len(self.counts)} counts are kept of a column where {wanted} are expected")


class _Kept(msgspec.Struct):
    """The form of what `reference_of` returns."""

    unit: str
    target: str
    rows: int
    rate: _Rate
    columns: dict[str, _Bins]
    segments: dict[str, Annotated[int, msgspec.Meta(ge=0)]] = {}
    quality: _Quality | None = None


class EarlierError(IntentError):
    """The folder holds no report that one could compare with."""

    exit_code = 2


def read_earlier(folder: Path) -> dict[str, Any]:
    """Return the figures of the report in a folder.

    Raises
    ------
    EarlierError
        There is none, it is damaged, or it kept nothing to compare with.
    """
    path = folder / REPORT_JSON
    if not path.is_file():
        raise EarlierError(
            f"{folder} is no report: it has no {REPORT_JSON}; name the folder that -o of a report named"
        )
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EarlierError(f"{path} cannot be read ({error}): make that report again") from None
    if not isinstance(found, dict) or "sections" not in found:
        raise EarlierError(f"{path} is not the JSON of a report; name the folder that -o of a report named")
    kept = found.get(REFERENCE)
    if not isinstance(kept, dict):
        raise EarlierError(f"{path} keeps nothing to compare with: make that report again with this version")
    try:
        msgspec.convert(kept, _Kept)
    except msgspec.ValidationError as error:
        raise EarlierError(
            f"{path} is damaged: of what it keeps to compare with, {error}; make that report again"
        ) from None
    return found


def reference_of(workspace: Workspace, sections: Sequence[Section]) -> dict[str, Any]:
    """Return what a report keeps of its input."""
    problem = workspace.problem
    return {
        "unit": problem.unit,
        "target": problem.target_name,
        "rows": len(problem),
        "rate": _rate(problem),
        "quality": _quality({section.key: section.figures for section in sections}),
        "segments": _segment_sizes(workspace),
        "columns": _columns(problem),
    }


def bin_counts(column: pd.Series, bins: Mapping[str, Any]) -> list[int]:
    """Return how many values lie in each bin of an earlier report: its edges or categories, others, missing ones."""
    missing = int(column.isna().sum())
    known = column.dropna()
    if "edges" in bins:
        at = np.searchsorted(np.asarray(bins["edges"], np.float64), known.to_numpy(np.float64), side="left")
        return [*np.bincount(at, minlength=len(bins["edges"]) + 1).tolist(), missing]
    counts = known.astype(str).value_counts()
    own = [int(counts.get(name, 0)) for name in bins["categories"]]
    return [*own, len(known) - sum(own), missing]


def independent_columns(problem: Problem) -> pd.DataFrame:
    """Return one row of each customer, so that a test may take rows for independent."""
    return problem.columns.iloc[one_each(problem)]


def _rate(problem: Problem) -> dict[str, float]:
    """Return the share of rows that it happened to, and its standard error, summed over customers."""
    target = problem.target.astype(np.float64)
    groups = np.arange(len(target)) if problem.groups is None else problem.groups
    share = float(target.mean())
    rest = np.bincount(np.unique(groups, return_inverse=True)[1], target - share)
    return {
        "share": share,
        "error": float(np.sqrt(np.square(rest).sum()) / len(target)),
        "customers": len(rest),
    }


def _quality(figures: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the AUC of the report's main model with its interval, None where no chapter measured one."""
    compared = figures.get("comparison", {})
    if compared.get("models") and compared.get("main") in compared["models"]:
        model, found = compared["main"], compared["models"][compared["main"]]
    elif figures.get("insight", {}).get("metrics"):
        model, found = "lightgbm", figures["insight"]["metrics"]
    else:
        return None
    interval = (found.get("ci") or {}).get("auc")
    if interval is None or found.get("auc") is None:
        return None
    return {"model": model, "auc": float(found["auc"]), "low": float(interval[0]), "high": float(interval[1])}


def _segment_sizes(workspace: Workspace) -> dict[str, int]:
    """Return the number of customers in each segment of a log; clusters of a table are other ones every time."""
    if workspace.input == "table":
        return {}
    try:
        segments = segments_of(workspace)
    except IntentError:
        return {}
    sizes = np.bincount(segments.members[segments.members >= 0], minlength=len(segments.names))
    return {name: int(size) for name, size in zip(segments.names, sizes, strict=True)}


def _columns(problem: Problem) -> dict[str, dict[str, Any]]:
    frame = independent_columns(problem)
    found: dict[str, dict[str, Any]] = {}
    for name in frame:
        column = frame[name]
        bins: dict[str, Any]
        if problem.kinds[str(name)] == "numeric":
            known = column.dropna().to_numpy(np.float64)
            bins = {"edges": _edges(known), "median": float(np.median(known)) if len(known) else None}
        else:
            bins = {"categories": column.dropna().astype(str).value_counts().index[:_CATEGORIES].tolist()}
        found[str(name)] = bins | {"counts": bin_counts(column, bins)}
    return found


def _edges(known: NDArray[np.float64]) -> list[float]:
    if not len(known):
        return []
    return [float(edge) for edge in np.unique(np.quantile(known, np.linspace(0, 1, _BINS + 1)[1:-1]))]
