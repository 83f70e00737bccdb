"""`intent simulate`: an event log for which the best possible prediction is known exactly."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from features.counts import counted
from stream.cli import checks
from stream.cli.options import LogOutput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from offline.simulator.shop import ShopParameters

_ROWS_A_PIECE = 250_000


class SaleName(StrEnum):
    """Sales that change how customers behave (`offline.simulator.shop.SALES`)."""

    S9 = "s9"
    S10 = "s10"


Customers = Annotated[
    int,
    typer.Option(min=1, metavar="N", help="Number of customers; each has about 15 events in 14 days."),
]
Days = Annotated[int, typer.Option(min=1, metavar="N", help="Length of the log in days.")]
Seed = Annotated[
    int,
    typer.Option(
        min=0, metavar="N", help="The same seed gives the same log; logs of two seeds share no customer."
    ),
]
OracleFile = Annotated[
    Path | None,
    typer.Option(
        "--oracle",
        metavar="FILE",
        callback=checks.output_file,
        help="Also write the exact probability of a purchase within the horizon of each event (Parquet).",
    ),
]
Horizon = Annotated[
    str,
    typer.Option(
        metavar="DURATION",
        callback=checks.duration,
        help="How far the prediction looks ahead: 30m, 12h, PT30M.",
    ),
]
SaleChoice = Annotated[
    SaleName | None,
    typer.Option(
        "--sale",
        metavar="s9|s10",
        help="Add a sale from day 8 to day 13: s10 makes customers buy more, s9 adds carts without purchases.",
    ),
]
ParameterFile = Annotated[
    Path | None,
    typer.Option(
        "--parameters",
        metavar="FILE",
        help="JSON file that changes the shop: objects are merged, null removes a value, other values replace it.",
    ),
]
Bots = Annotated[
    float,
    typer.Option(
        min=0,
        max=1,
        metavar="SHARE",
        help="Add bots, so many for each customer: scrapers, and some that fill carts. Their ids say what they are.",
    ),
]
LateLogins = Annotated[
    float,
    typer.Option(
        min=0,
        max=1,
        metavar="SHARE",
        help="Have so many customers browse under an anonymous id first, and log in later (`identify`).",
    ),
]
Wishes = Annotated[
    float,
    typer.Option(
        min=0,
        max=1,
        metavar="SHARE",
        help="Have so many customers put items that they look at on a wish list (`add_to_wishlist`).",
    ),
]
PriceDrops = Annotated[
    float,
    typer.Option(
        min=0,
        max=1,
        metavar="SHARE",
        help="Have the prices of so many items drop once (`price`); customers take no notice.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")]


def register(app: typer.Typer) -> None:
    """Add `simulate`."""
    app.command()(simulate)


def simulate(  # noqa: PLR0917  (options of a command)
    output: LogOutput,
    customers: Customers = 100_000,
    days: Days = 14,
    seed: Seed = 1,
    oracle: OracleFile = None,
    horizon: Horizon = "30m",
    sale: SaleChoice = None,
    parameters: ParameterFile = None,
    bots: Bots = 0.0,
    late_logins: LateLogins = 0.0,
    wishes: Wishes = 0.0,
    price_drops: PriceDrops = 0.0,
    as_json: AsJson = False,
) -> None:
    """Simulate customers whose chance of a purchase is known.

    Each customer has a hidden type and state, so the exact probability of a purchase is known after every event. It
    is the best score that any model can reach (`--oracle`).

    Examples
    --------
    - `intent simulate --customers 20000 --days 7 --seed 3 -o log.parquet`: simulate a small log
    - `intent simulate -o log.parquet --oracle exact.parquet --horizon 30m`: also write the exact probabilities
    - `intent simulate --bots 0.01 -o log.parquet`: also simulate bots; the log has no exact probability then
    - `intent simulate --late-logins 0.3 -o log.parquet`: three in ten customers browse anonymously before they log in
    - `intent simulate --wishes 0.3 -o log.parquet`: three in ten customers have a wish list
    - `intent simulate --price-drops 0.2 -o log.parquet`: the prices of two in ten items drop
    - `intent simulate --days 18 --sale s10 -o sale.parquet --json`: simulate a sale; print the summary as JSON
    """
    import pyarrow.compute as pc

    from features.durations import parse_duration
    from features.labels import POSITIVE, UNKNOWN
    from features.log import write_log
    from offline.simulator.bots import with_bots
    from offline.simulator.logins import with_late_logins
    from offline.simulator.oracle import exact_probability, realised_labels, write_oracle
    from offline.simulator.price_drops import with_price_drops
    from offline.simulator.simulation import simulate as simulated
    from offline.simulator.wishes import with_wishes
    from offline.training.soft_measures import soft_auc
    from stream.cli.console import progress

    if bots and oracle is not None:
        raise typer.BadParameter("of bots no exact probability is known: leave --oracle or --bots out")
    if late_logins and oracle is not None:
        raise typer.BadParameter(
            "of anonymous ids no exact probability is known: leave --oracle or --late-logins out"
        )
    if wishes and oracle is not None:
        raise typer.BadParameter("of wishes no exact probability is known: leave --oracle or --wishes out")
    horizon_ms = round(parse_duration(horizon).total_seconds() * 1000)
    shop = _shop(parameters, sale, days)
    with progress("Simulating") as on_progress:
        log = simulated(shop, customers, days, seed, on_progress=on_progress)
    events = with_late_logins(with_bots(log, bots, seed), late_logins, seed)
    events = with_wishes(events, wishes, seed)
    written = with_price_drops(events, price_drops, seed)
    with progress("Writing") as on_progress:
        write_log(output, _pieces(written, on_progress), metadata=_metadata(written))
    labels = realised_labels(log, horizon_ms)
    known = labels != UNKNOWN
    summary: dict[str, Any] = {
        "log": str(output),
        "events": written["identity"].null_count,
        "customers": customers,
        "bots": round(bots * customers),
        "purchases": len(log["order_id"]) - log["order_id"].null_count,
        "horizon_seconds": horizon_ms / 1000,
        "prevalence": float((labels[known] == POSITIVE).mean()) if known.any() else None,
        "oracle": None,
        "best_possible_auc": None,
    }
    if late_logins:
        summary["late_logins"] = len(events) - events["identity"].null_count
    if wishes:
        summary["wishes"] = pc.sum(pc.equal(events["type"], "add_to_wishlist")).as_py()
    if price_drops:
        summary["price_drops"] = len(written) - len(events)
    if oracle is not None:
        exact = exact_probability(log, horizon_ms)
        write_oracle(oracle, log, exact, horizon_ms)
        summary["oracle"] = str(oracle)
        summary["best_possible_auc"] = soft_auc(exact[known], exact[known]) if known.any() else None
    _show(summary, as_json)


def _shop(file: Path | None, sale: SaleName | None, days: int) -> ShopParameters:
    from msgspec.structs import replace

    from offline.simulator.shop import SALES, ShopParameters

    shop = ShopParameters.default() if file is None else ShopParameters.load(file)
    if sale is None:
        return shop
    begins = SALES[sale].from_day
    if days <= begins:
        raise typer.BadParameter(
            f"the sale begins on day {begins:g}, but this log has {counted(days, 'day')}: use --days 18"
        )
    return replace(shop, sale=SALES[sale])


def _metadata(log: pa.Table) -> dict[str, str]:
    """Return the log's metadata without the prefix that writing adds."""
    return {
        key.decode().removeprefix("intent."): value.decode() for key, value in log.schema.metadata.items()
    }


def _pieces(log: pa.Table, on_progress: Callable[[int, int], None]) -> Iterator[pa.Table]:
    for row in range(0, len(log), _ROWS_A_PIECE):
        yield log.slice(row, _ROWS_A_PIECE)
        on_progress(min(row + _ROWS_A_PIECE, len(log)), len(log))


def _show(summary: dict[str, Any], as_json: bool) -> None:
    from stream.cli.console import print_json
    from stream.texts import counted

    if as_json:
        print_json(summary)
        return
    prevalence, best = summary["prevalence"], summary["best_possible_auc"]
    events, customers = counted(summary["events"], "event"), counted(summary["customers"], "customer")
    bots = f" and {counted(summary['bots'], 'bot')}" if summary["bots"] else ""
    logins = f", {counted(summary['late_logins'], 'late login')}" if "late_logins" in summary else ""
    logins += f", {counted(summary['wishes'], 'wished item')}" if "wishes" in summary else ""
    prices = f", {counted(summary['price_drops'], 'price drop')}" if "price_drops" in summary else ""
    typer.echo(f"{events} of {customers}{bots}{logins}{prices} in {summary['log']}")
    if prevalence is None:
        typer.echo("The log is shorter than the horizon, so its prevalence is unknown.")
    else:
        typer.echo(f"{prevalence:.2%} of events lead to a purchase within the horizon (prevalence)")
    if best is not None:
        typer.echo(f"{best:.4f} is the best possible AUC; exact probabilities are in {summary['oracle']}")
