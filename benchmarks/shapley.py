"""``python -m benchmarks.shapley``: how far the reasons of scores agree with Shapley values.

The same question for both: how much of the difference between a customer's log-odds and the reference customer's is due
to each group of columns (`features.reasons.GROUPS`)? Shapley values are estimated by KernelSHAP [Lundberg and Lee 2017]
of the library shap: a group is either the customer's or the reference's. They are exact where it can ask for all
coalitions of the groups in which both differ, which is so for nearly all customers.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import numpy as np
import shap
import typer
from numpy.typing import NDArray
from scipy.stats import spearmanr

from features.bundle import BANDS, Bundle
from features.columns import from_table
from features.log import read_log, write_log
from features.reasons import GROUPS, LEAST_EFFECT, MOST, grouped
from features.state import DAY_MS, MINUTE_MS, empty
from features.vector import COLUMN_NAMES, Vectors
from offline.simulator.shop import ShopParameters
from offline.simulator.simulation import simulate
from offline.training.train import TrainingSettings, train
from stream.scoring.engine import Engine, slots_of
from stream.scoring.reasons import DIGITS

_DAYS: Final = 14
_SEEDS: Final = (1, 2)

# Which columns belong to which group, as (groups, columns).
_MEMBERS: Final = np.array([[name in group.columns for name in COLUMN_NAMES] for group in GROUPS])


class Agreement(NamedTuple):
    """Of effects with others, over customers: Spearman's rank correlation of all groups, and shares.

    Attributes
    ----------
    median, low
        Of the rank correlations: the median, and the quantile of 5%.
    first
        Of customers with the same strongest reason.
    among
        Of customers whose strongest reason is among the others' three.
    error
        Median absolute difference of an effect that is a reason.
    """

    median: float
    low: float
    first: float
    among: float
    error: float


def agreement(effects: NDArray[np.float64], others: NDArray[np.float64]) -> Agreement:
    """Compare effects of groups, shape ``(customers, groups)``, as they are published: to three digits."""
    effects, others = effects.round(DIGITS), others.round(DIGITS)  # groups without effect share a rank
    ranks = np.array([spearmanr(one, other).statistic for one, other in zip(effects, others, strict=True)])
    first, strongest = np.abs(effects).argmax(axis=1), np.argsort(-np.abs(others), axis=1)
    told = np.abs(effects) >= LEAST_EFFECT
    return Agreement(
        float(np.median(ranks)),
        float(np.quantile(ranks, 0.05)),
        float(np.mean(first == strongest[:, 0])),
        float(np.mean((first[:, None] == strongest[:, :MOST]).any(axis=1))),
        float(np.median(np.abs(effects - others)[told])),
    )


def shapley_values(
    bundle: Bundle, vector: NDArray[np.float32], coalitions: int
) -> tuple[NDArray[np.float64], bool]:
    """Return KernelSHAP's value of every group, a part of the network's calibrated log-odds, and whether it is exact.

    Parameters
    ----------
    vector
        The customer's.
    coalitions
        How many it may ask for.
    """
    assert bundle.explainer is not None
    reference = bundle.explainer.reference.row[0]
    differ = np.flatnonzero(_MEMBERS @ (vector != reference))
    members = _MEMBERS[differ]

    def log_odds(own: NDArray[np.float64]) -> NDArray[np.float64]:
        mixed = np.where((own > 0) @ members, vector, reference).astype(np.float32)
        return bundle.calibration.log_odds(bundle.logits(mixed))

    values = np.zeros(len(GROUPS))
    explainer = shap.KernelExplainer(log_odds, np.zeros((1, len(differ))))
    found = explainer.shap_values(np.ones((1, len(differ))), nsamples=coalitions, l1_reg=False, silent=True)
    values[differ] = np.asarray(found).reshape(-1)
    return values, 2 ** len(differ) - 2 <= coalitions


def sampled(bundle: Bundle, log: Path, customers: int, lowest: int) -> Vectors:
    """Return a vector of each of some customers, as scored, at a random event of at least this band."""
    table = read_log(log)
    columns = from_table(table, bundle.manifest.currency)
    known, slots = slots_of(columns.customers)
    engine = Engine(bundle, lateness_ms=15 * MINUTE_MS, ttl_ms=400 * DAY_MS, holdout=0.0)
    scored = engine.score(columns, known, slots, empty(len(known)))
    rng = np.random.default_rng(0)
    rows = rng.permutation(np.flatnonzero((scored.band >= lowest) & scored.of_customers))
    _, first = np.unique(slots[scored.rows[rows]], return_index=True)
    return scored.vectors[rng.permutation(rows[first])[:customers]]


def compared(bundle: Bundle, log: Path, customers: int, coalitions: int) -> dict[str, dict[str, float]]:
    """Return the agreement of reasons with Shapley values by lowest band, and how many customers have exact ones."""
    assert bundle.explainer is not None
    found = {}
    for lowest in (0, 1):
        vectors = sampled(bundle, log, customers, lowest)
        np.random.seed(0)  # noqa: NPY002  (shap draws from it)
        pairs = [shapley_values(bundle, vector, coalitions) for vector in vectors]
        said = agreement(
            grouped(bundle.explainer.effects(vectors)), np.array([values for values, _ in pairs])
        )
        exact = sum(exact for _, exact in pairs)
        found[BANDS[lowest]] = {"customers": len(vectors), "exact": exact, **said._asdict()}
    return found


def trained(folder: Path, customers: int) -> tuple[Path, Path]:
    """Train on simulated customers; return the bundle, and a log of others."""
    logs = []
    for seed in _SEEDS:
        logs.append(folder / f"log-{seed}.parquet")
        write_log(logs[-1], simulate(ShopParameters.default(), customers, _DAYS, seed))
    train(logs[0], folder / "bundle", TrainingSettings(baselines=False))
    return folder / "bundle", logs[1]


def main(
    *,
    bundle: Annotated[Path | None, typer.Option(help="A trained bundle. Default: one is trained.")] = None,
    log: Annotated[Path | None, typer.Option(help="Log of the customers, with --bundle.")] = None,
    customers: Annotated[int, typer.Option(min=2, help="Customers that are explained.")] = 300,
    simulated: Annotated[int, typer.Option(min=100, help="Simulated customers to train on.")] = 5_000,
    coalitions: Annotated[int, typer.Option(min=50, help="Coalitions that KernelSHAP asks for.")] = 16_384,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Compare the effects behind reasons with KernelSHAP's values, on customers the bundle was not trained on."""
    if (bundle is None) != (log is None):
        raise typer.BadParameter("name both --bundle and --log, or neither")
    with tempfile.TemporaryDirectory(prefix="intent-bench-") as folder:
        where = (bundle, log) if bundle and log else trained(Path(folder), simulated)
        found = compared(Bundle.load(where[0]), where[1], customers, coalitions)
    if as_json:
        typer.echo(json.dumps(found))
        return
    for band, one in found.items():
        typer.echo(
            f"{one['customers']} customers, a score of each of the band {band} or above ({one['exact']} with exact "
            f"values): rank correlation {one['median']:.3f} (for 5% of customers below {one['low']:.3f}), the same "
            f"strongest reason {one['first']:.0%}, among the three strongest {one['among']:.0%}, reasons differ by "
            f"{one['error']:.3f} (median)"
        )


if __name__ == "__main__":
    typer.run(main)
