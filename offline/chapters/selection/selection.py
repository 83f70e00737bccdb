"""Which columns a model needs: what each says alone, what it adds to the others, and what can go.

Columns are judged on training rows only. A column is kept if recursive elimination keeps it, and dropped with a
reason otherwise: nothing in it, a copy of a better one, or nothing added to the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from sklearn.feature_selection import mutual_info_classif
from sklearn.metrics import roc_auc_score

from offline.lab.folds import Fold, make_folds
from offline.lab.models import MODELS, fit, numbered, probabilities
from offline.lab.worthwhile import WORTHWHILE
from offline.problems.problem import Problem
from offline.progress import OnProgress

Floats = NDArray[np.float64]

#: Two columns whose ranks agree beyond this are copies of each other.
COPY: Final = 0.97
#: A column with one value in more than this share of the rows says nothing.
CONSTANT: Final = 0.999

_FOLDS: Final = 3
_REPEATS: Final = 2
# Of many columns, a round drops so large a share at once.
_STEP: Final = 0.12
_LEAST: Final = 1
_MUTUAL_ROWS: Final = 10_000


@dataclass(frozen=True)
class Selection:
    """What was found about columns.

    Attributes
    ----------
    columns
        One row for each: ``column``, ``kept``, ``why``, ``correlation`` (Spearman's with the
        target, of a category its rate of positives), ``twin`` and ``twin correlation`` (the column most like it),
        ``mutual information`` (bits),
        ``tree importance`` (share of the gain), ``permutation`` (AUC lost when it is shuffled) and its ``spread`` over
        folds, ``rank`` (1 was eliminated last).
    path
        One row for each round of the elimination: ``columns``, ``auc``, ``error``, ``dropped``.
    kept
        Names in the problem's order.
    """

    columns: pd.DataFrame
    path: pd.DataFrame
    kept: tuple[str, ...]


def select(
    problem: Problem, *, seed: int = 0, quick: bool = False, on_progress: OnProgress | None = None
) -> Selection:
    """Judge the columns of training rows and choose.

    Recursive elimination by permutation importance of LightGBM in cross-validation (Guyon et al. 2002; Gregorutti
    et al. 2017, doi 10.1007/s11222-016-9646-1): the smallest set from which the best one gains less than
    `offline.lab.worthwhile.WORTHWHILE` AUC.
    """
    folds = make_folds(problem, _FOLDS, seed=seed).folds
    names = list(problem.columns)
    numbers = numeric_view(problem)
    constant = {name for name in names if _largest_share(problem.columns[name]) > CONSTANT}
    alone = _alone(problem, numbers, seed)
    twins = _twins(numbers)
    candidates = [name for name in names if name not in constant]
    copies = _copies(candidates, twins, alone)
    candidates = [name for name in candidates if name not in copies]
    rounds, first = _eliminate(problem, candidates, folds, seed, quick, on_progress)
    path = pd.DataFrame(rounds, columns=["columns", "auc", "error", "dropped", "names"])
    best = path.loc[path["auc"].idxmax()]
    enough = path[path["auc"] > best["auc"] - WORTHWHILE].iloc[-1]
    kept = set(enough["names"])
    rank = _ranks(path, candidates)
    rows = []
    for name in names:
        twin, likeness = _twin(name, twins)
        gain, lost, spread = first.get(name, (np.nan, np.nan, np.nan))
        if name in constant:
            why = f"dropped: one value in {_largest_share(problem.columns[name]):.2%} of the rows"
        elif name in copies:
            why = f"dropped: says the same as {copies[name]} (ranks correlate by {twins.loc[name, copies[name]]:.2f})"
        elif name not in kept:
            worst = len(candidates)
            below = f"ranks {len(kept) + 1} to {worst}" if worst > len(kept) + 1 else f"rank {worst}"
            why = (
                f"dropped: rank {rank[name]} of {worst}; shuffling it costs {max(lost, 0.0):.4f} AUC; without {below} "
                f"AUC is {enough['auc']:.3f}, less than {WORTHWHILE} below the best ({best['auc']:.3f})"
            )
        else:
            why = f"kept: rank {rank[name]} of {len(candidates)}; shuffling it costs {max(lost, 0.0):.4f} AUC"
        rows.append((name, name in kept, why, alone.loc[name, "correlation"], twin, likeness,
                     alone.loc[name, "mutual"], gain, lost, spread, rank.get(name)))  # fmt: skip
    heads = ["column", "kept", "why", "correlation", "twin", "twin correlation", "mutual information",
             "tree importance", "permutation", "spread", "rank"]  # fmt: skip
    frame = pd.DataFrame(rows, columns=heads)
    frame = frame.sort_values(["rank", "column"], na_position="last").reset_index(drop=True)
    path = path.drop(columns="names").assign(dropped=path["dropped"].map(", ".join))
    return Selection(frame, path, tuple(name for name in names if name in kept))


def numeric_view(problem: Problem) -> pd.DataFrame:
    """Return columns as numbers: missing values by the median, a category by its rate of positives (shrunk)."""
    views: dict[str, NDArray[np.float64]] = {}
    prior = problem.prevalence
    for name, kind in problem.kinds.items():
        if name not in problem.columns:
            continue
        column = problem.columns[name]
        if kind == "categorical":
            codes = pd.factorize(column)[0] + 1
            counts = np.bincount(codes)
            rates = (np.bincount(codes, problem.target) + 10 * prior) / (counts + 10)
            views[name] = rates[codes]
        else:
            values = column.to_numpy(np.float64)
            known = values[~np.isnan(values)]
            views[name] = np.where(np.isnan(values), np.median(known) if len(known) else 0.0, values)
    return pd.DataFrame(views)


def _alone(problem: Problem, numbers: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return what each column says about the target by itself: Spearman's correlation and mutual information."""
    rng = np.random.default_rng(seed)
    rows = np.arange(len(problem))
    if len(rows) > _MUTUAL_ROWS:
        rows = np.sort(rng.choice(rows, _MUTUAL_ROWS, replace=False))
    target = problem.target.astype(np.float64)
    ranks = numbers.rank()
    varied = numbers.std() > 0
    correlation = {
        name: float(np.corrcoef(ranks[name], target)[0, 1]) if varied[name] else 0.0 for name in numbers
    }
    plain = numbered(problem.kinds)
    values = plain.fit_transform(problem.columns.iloc[rows])
    values = np.where(np.isnan(values), -1.0, values)
    names = list(plain.get_feature_names_out())
    discrete = np.array([problem.kinds[name] != "numeric" for name in names])
    nats = mutual_info_classif(values, problem.target[rows], discrete_features=discrete, random_state=seed)
    # The estimate adds noise to numbers: even a column with one value would seem to say something.
    mutual = {
        name: float(bits) if varied[name] else 0.0 for name, bits in zip(names, nats / np.log(2), strict=True)
    }
    return pd.DataFrame({"correlation": correlation, "mutual": mutual})


def _twins(numbers: pd.DataFrame) -> pd.DataFrame:
    varied = numbers.loc[:, numbers.std() > 0]
    if varied.shape[1] < 2:  # noqa: PLR2004  (one column has no twin)
        return pd.DataFrame()
    matrix = np.corrcoef(stats.rankdata(varied.to_numpy(), axis=0), rowvar=False)
    return pd.DataFrame(matrix, varied.columns, varied.columns)


def _twin(name: str, twins: pd.DataFrame) -> tuple[str, float]:
    if name not in twins:
        return "", float("nan")
    others = twins[name].drop(name)
    twin = others.abs().idxmax()
    return str(twin), float(others[twin])


def _copies(names: Sequence[str], twins: pd.DataFrame, alone: pd.DataFrame) -> dict[str, str]:
    """Return columns that say the same as a column that alone says more."""
    copies: dict[str, str] = {}
    for name in sorted(names, key=lambda n: -float(alone.loc[n, "mutual"])):
        if name in copies or name not in twins:
            continue
        for other in names:
            same = other != name and other not in copies and abs(twins.loc[name, other]) > COPY
            if same and float(alone.loc[other, "mutual"]) <= float(alone.loc[name, "mutual"]):
                copies[other] = name
    return copies


def _eliminate(
    problem: Problem,
    names: list[str],
    folds: Sequence[Fold],
    seed: int,
    quick: bool,
    on_progress: OnProgress | None,
) -> tuple[
    list[tuple[int, float, float, tuple[str, ...], tuple[str, ...]]], dict[str, tuple[float, float, float]]
]:
    """Drop the least important columns round by round; return the rounds, and the importances of the first one."""
    remaining, rounds = list(names), []
    first: dict[str, tuple[float, float, float]] = {}
    while len(remaining) >= _LEAST:
        gains, losses, aucs = [], [], []
        for fold in folds:
            gain, lost, auc = _importances(problem, remaining, fold, seed, quick)
            gains.append(gain)
            losses.append(lost)
            aucs.append(auc)
        lost = np.mean(losses, axis=0)
        if not first:
            spread = np.std(losses, axis=0, ddof=1) if len(folds) > 1 else np.zeros(len(remaining))
            rows = zip(np.mean(gains, axis=0), lost, spread, strict=True)
            first = {
                name: (float(g), float(p), float(s)) for name, (g, p, s) in zip(remaining, rows, strict=True)
            }
        error = float(np.std(aucs, ddof=1) / np.sqrt(len(aucs))) if len(aucs) > 1 else 0.0
        count = max(1, int(_STEP * len(remaining)))
        # Of equal importance, the one with less gain goes first.
        order = np.lexsort([np.mean(gains, axis=0), lost])[:count]
        dropped = [remaining[at] for at in order]
        rounds.append((len(remaining), float(np.mean(aucs)), error, tuple(dropped), tuple(remaining)))
        remaining = [name for name in remaining if name not in dropped]
        if on_progress is not None:
            on_progress(len(names) - len(remaining), len(names))
    return rounds, first


def _importances(
    problem: Problem, names: list[str], fold: Fold, seed: int, quick: bool
) -> tuple[Floats, Floats, float]:
    """Return shares of the gain, AUC lost by shuffling each column, and the AUC."""
    kept = problem.without(set(problem.columns) - set(names))
    model = fit(MODELS["lightgbm"].make(kept.kinds, seed, True), kept.take(fold.train))
    columns, target = kept.columns.iloc[fold.test], problem.target[fold.test]
    auc = float(roc_auc_score(target, probabilities(model, columns)))
    rng = np.random.default_rng(seed)
    repeats = 1 if quick else _REPEATS
    order = [rng.permutation(len(columns)) for _ in range(repeats)]
    lost = np.zeros(len(names))
    for at, name in enumerate(names):
        shuffled = columns.copy()
        for shuffle in order:
            shuffled[name] = columns[name].take(shuffle).set_axis(columns.index)
            lost[at] += (auc - float(roc_auc_score(target, probabilities(model, shuffled)))) / repeats
    gain = model[-1].booster_.feature_importance("gain")
    by_name = dict(zip(kept.columns, gain / max(gain.sum(), 1e-12), strict=True))
    return np.array([by_name[name] for name in names]), lost, auc


def _ranks(path: pd.DataFrame, candidates: Sequence[str]) -> dict[str, int]:
    """Return ranks: 1 for the column eliminated last."""
    order: list[str] = []
    for dropped in path["dropped"]:
        order += [name for name in dropped if name in candidates]
    return {name: len(order) - at for at, name in enumerate(order)}


def _largest_share(column: pd.Series) -> float:
    counts: Any = column.value_counts(dropna=False)
    return float(counts.iloc[0] / max(len(column), 1)) if len(counts) else 1.0
