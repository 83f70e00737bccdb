"""``python -m benchmarks.uplift``: simulated experiments, looked at every day, and how often their truth is covered."""

from __future__ import annotations

import json
from typing import Annotated, Final, NamedTuple

import numpy as np
import pandas as pd
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from offline.uplift import effects
from offline.uplift.effects import effect_sequence

_DAY_MS: Final = 86_400_000
_VALUES: Final = ("bought", "revenue")


class Shop(NamedTuple):
    """What experiments are simulated of.

    Attributes
    ----------
    customers, days
        Of one experiment; customers come evenly, and it is looked at after every day.
    holdout
        Share that is held out.
    conversion
        Share that buys without the treatment.
    effect
        Probability that the treatment makes a customer buy (once more).
    spread
        Of the logarithm of an order's value.
    """

    name: str
    customers: int = 20_000
    days: int = 60
    holdout: float = 0.1
    conversion: float = 0.05
    effect: float = 0.0
    spread: float = 1.0


#: Without an effect: a small and a usual holdout, halves, rare purchases, heavy tails.
ALIKE: Final = (
    Shop("holdout 5%", holdout=0.05),
    Shop("holdout 10%"),
    Shop("halves", holdout=0.5, customers=6_000),
    Shop("rare purchases", conversion=0.01, holdout=0.2),
    Shop("heavy tails", spread=1.6),
)
#: With a small and a large effect, and a small and a large holdout.
DIFFERENT: Final = (
    Shop("effect 0.5%, holdout 5%", effect=0.005, holdout=0.05),
    Shop("effect 0.5%, halves", effect=0.005, holdout=0.5),
    Shop("effect 5%, holdout 5%", effect=0.05, holdout=0.05),
    Shop("effect 5%, halves", effect=0.05, holdout=0.5),
    Shop("effect 3%, heavy tails", effect=0.03, spread=1.6),
)


class Rates(NamedTuple):
    """Of many experiments, by what was compared ("bought", "revenue").

    Attributes
    ----------
    covered
        Share in which the sequence of the difference contains the truth on every day.
    covered_lift
        The same for the lift.
    covered_at_end
        Share in which it does so on the last day.
    width
        Median width of the difference's interval on the last day, in the unit of the values.
    told
        Share in which the last day told a difference from 0. Without an effect these are false alarms.
    reduction
        Mean share of the variance that CUPED took away.
    """

    covered: dict[str, float]
    covered_lift: dict[str, float]
    covered_at_end: dict[str, float]
    width: dict[str, float]
    told: dict[str, float]
    reduction: dict[str, float]


def experiment(
    shop: Shop, chance: np.random.Generator
) -> tuple[pd.DataFrame, dict[str, tuple[float, float]]]:
    """Draw an experiment; return its customers, and by value the true means of treatment and holdout.

    Both outcomes of every customer are drawn, so the truth is that of these very customers.
    """
    count = shop.customers
    score = chance.beta(0.6, 0.6 / shop.conversion - 0.6, count)
    by_itself = chance.random(count) < score
    made = by_itself | (chance.random(count) < shop.effect)
    order = np.exp(3 + shop.spread * chance.standard_normal(count))
    extra = np.where(made & ~by_itself, order, 0.0)
    revenue = np.where(by_itself, order, 0.0)
    treated = chance.random(count) >= shop.holdout
    frame = pd.DataFrame(
        {
            "experiment": "v1",
            "treated": treated,
            "purchase_intent": score,
            "closes_at": np.sort(chance.integers(0, shop.days * _DAY_MS, count)),
            "bought": np.where(treated, made, by_itself),
            "revenue": revenue + np.where(treated, extra, 0.0),
        }
    )
    return frame, {
        "bought": (float(made.mean()), float(by_itself.mean())),
        "revenue": (float((revenue + extra).mean()), float(revenue.mean())),
    }


def rates(shop: Shop, runs: int, seed: int = 0) -> Rates:
    """Simulate experiments, each looked at every day."""
    looks = np.arange(1, shop.days + 1, dtype=np.int64) * _DAY_MS
    found: dict[str, list[NDArray[np.float64]]] = {value: [] for value in _VALUES}
    for run in range(runs):
        frame, truth = experiment(shop, np.random.default_rng([seed, run]))
        for value in _VALUES:
            found[value].append(_judged(frame, value, looks, shop, truth[value]))
    by = {value: np.array(judged) for value, judged in found.items()}
    means = {value: judged.mean(axis=0) for value, judged in by.items()}
    shares = [{value: float(mean[at]) for value, mean in means.items()} for at in range(5)]
    width = {value: float(np.nanmedian(judged[:, 5])) for value, judged in by.items()}
    return Rates(*shares[:3], width, *shares[3:])


def _judged(
    frame: pd.DataFrame, value: str, looks: NDArray[np.int64], shop: Shop, truth: tuple[float, float]
) -> NDArray[np.float64]:
    """Return covered, covered lift, covered at the end, told, reduction and width; see `Rates`."""
    sequence = effect_sequence(frame, value, looks, {"v1": shop.holdout})
    known = sequence.known
    gap, lift = truth[0] - truth[1], truth[0] / truth[1] - 1
    missed = known & ((gap < sequence.low) | (gap > sequence.high))
    missed_lift = known & ((lift < sequence.lift_low) | (lift > sequence.lift_high))
    last = sequence.at()
    return np.array(
        [
            not missed.any(),
            not missed_lift.any(),
            not missed[-1],
            last.told != 0,
            last.reduction,
            last.high - last.low,
        ],
        np.float64,
    )


def main(
    *,
    runs: Annotated[int, typer.Option(min=1, help="Experiments of each kind.")] = 1_000,
    seed: Annotated[int, typer.Option(help="Of all random numbers.")] = 0,
    fixed: Annotated[
        bool, typer.Option(help="Use intervals of a fixed sample size (1.96) instead: see them fail.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Simulate experiments that are looked at every day; count how often intervals cover the truth."""
    console = Console(stderr=True)
    if fixed:
        effects.boundary = lambda customers, alpha=0.05: np.full(np.shape(customers), 1.96)
    found = {}
    for shop in (*ALIKE, *DIFFERENT):
        with console.status(shop.name):
            found[shop.name] = rates(shop, runs, seed)
    if as_json:
        print(json.dumps({name: rate._asdict() for name, rate in found.items()}))
        return
    table = Table(box=None, pad_edge=False, title=f"{runs:,} experiments of each kind, looked at every day")
    table.add_column("Simulated")
    for name in ("Compared", "Covered", "Lift", "At the end", "Width", "Told", "CUPED"):
        table.add_column(name, justify="left" if name == "Compared" else "right")
    for name, rate in found.items():
        for at, value in enumerate(_VALUES):
            shares = {part: f"{by[value]:.1%}" for part, by in rate._asdict().items()}
            width = f"{100 * rate.width[value]:.2f} pts" if value == "bought" else f"{rate.width[value]:.2f}"
            table.add_row("" if at else name, value, *(shares | {"width": width}).values())
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
