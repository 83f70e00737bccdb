"""`intent demo`: the whole system on this machine, once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream.cli import checks

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from offline.training.streamed import StreamQuality
    from offline.uplift.simulated import Trial
    from stream.demo import DemoRun, Deployment

# The log to train on: as large as a minute of training allows on two cores.
_TRAINING_CUSTOMERS = 60_000
# What simulated customers make of actions: so many are left alone, so many of the others answer with an order.
_HOLDOUT = 0.3
_ANSWERING = 0.15
# With --serve, so many horizons at the end of the log are kept back to be watched: each takes two minutes then. Of a
# small shop they are more, so that something happens, and never more than a part of the log.
_WATCHED_HORIZONS = 10
_LEAST_WATCHED = 600
_WATCHED_PART = 10
_PIECE = 20_000

Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="LOG",
        callback=checks.existing_log,
        help="Use this log instead of simulating: train on its beginning and stream it.",
    ),
]
Horizon = Annotated[
    str | None,
    typer.Option(
        metavar="DURATION",
        callback=checks.duration,
        help="How far the prediction looks ahead: 30m, 12h, 30d. Default: INTENT_HORIZON, 30m.",
    ),
]
Customers = Annotated[
    int, typer.Option(min=100, metavar="N", help="Number of simulated customers to stream.")
]
Days = Annotated[int, typer.Option(min=2, metavar="N", help="Number of days to simulate.")]
Seed = Annotated[int, typer.Option(min=0, metavar="N", help="Seed of the simulation and of the training.")]
Serve = Annotated[
    bool,
    typer.Option(
        "--serve",
        help="Keep the end of the log back (ten horizons), then stream it within twenty minutes while you watch it on "
        "the live page, until Ctrl-C. Needs the extra serve.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    data: Data = None,
    horizon: Horizon = None,
    customers: Customers = 10_000,
    days: Days = 14,
    seed: Seed = 1,
    serve: Serve = False,
    as_json: AsJson = False,
) -> None:
    """Run the whole system once, on simulated customers.

    Simulates a log (or reads one), trains, streams the log through a real Kafka and a real Redis, and shows the scores
    as they come. In the end it shows who was most likely to buy a horizon before the log ends, and who then did, and
    what the actions brought. Needs neither Java nor Docker.

    The best possible score of a simulated customer is known exactly, so the summary says which share of it was reached.
    The share is an expected value under these exact probabilities; the AUCs are measured on what happened.
    The models are trained on other customers than those streamed, and tested on events after the training period.
    Simulated customers answer actions with a known effect, so the measured uplift stands beside the true one.

    Examples
    --------
    - `intent demo`: run the demo
    - `intent demo --serve`: run the demo; then watch the end of the log on the live page
    - `intent demo --customers 2000 --json`: run a small demo; print the summary as JSON
    - `intent demo --data online-retail.parquet --horizon 30d`: use your own log
    """
    from contextlib import ExitStack
    from tempfile import TemporaryDirectory

    if serve:  # now, not after minutes
        import httptools  # noqa: F401
        import uvloop  # noqa: F401

    from features.bundle import Bundle
    from stream.cli.console import print_json
    from stream.cli.demo_view import effects, hottest, show, streaming
    from stream.cli.last_look import last_look
    from stream.demo import deployed

    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="intent-demo-")))
        if data is None:
            training, log = _simulated(folder, customers, days, seed)
        else:
            training = log = data
        _train(training, folder / "bundle", horizon, seed)
        manifest = Bundle.load(folder / "bundle").manifest
        rest = None
        if serve:
            log, rest = _parted(log, folder, round(1000 * manifest.horizon_seconds))
        servers = stack.enter_context(ExitStack())
        with streaming() as screen:
            holdout = _HOLDOUT if data is None else None
            deployment = servers.enter_context(deployed(folder / "bundle", holdout=holdout))
            streamed = deployment.stream(log, on_progress=screen.on_progress, on_scores=screen.on_scores)
        if rest is None:
            servers.close()
        uplift = _uplift(log, streamed) if data is None else None
        summary = _summary(streamed, _judge(log, streamed, folder / "bundle"), manifest.version)
        last = last_look(streamed.scores, manifest.label_start, manifest.timezone)
        if as_json:
            print_json(summary | hottest(last) | {"uplift": effects(uplift)})
        else:
            show(last, summary, uplift)
        if rest is not None:
            _watch(deployment, rest)


def _watch(deployment: Deployment, rest: Path) -> None:
    """Show the live page while the rest of the log comes, and after, until Ctrl-C."""
    from contextlib import ExitStack, suppress

    from features.durations import duration_short
    from stream.cli.console import output
    from stream.cli.demo_view import pace_words
    from stream.demo import WATCHED, pace, span_ms

    out = output()
    with suppress(KeyboardInterrupt), deployment.serving() as address, ExitStack() as end:
        end.callback(out.print, "Stopping: this takes some seconds.")
        length, minutes = duration_short(span_ms(rest)), WATCHED.total_seconds() / 60
        out.print(
            f"The last {length} of the log come within {minutes:.0f} minutes, {pace_words(pace(rest))}. Watch them "
            f"live, until Ctrl-C: {address}",
            soft_wrap=True,
        )
        deployment.watch(rest)


def _parted(log: Path, folder: Path, horizon_ms: int) -> tuple[Path, Path]:
    """Return a log without its end, in order of arrival, and that end."""
    import pyarrow as pa

    from features.log import log_metadata, write_log
    from features.sorted_log import iterate_in_order

    table = pa.concat_tables(iterate_in_order(log, _PIECE, lambda text: None))
    first = len(table) - watched_rows(table["event_time"].cast(pa.int64()).to_numpy(), horizon_ms)
    paths = folder / "streamed.parquet", folder / "watched.parquet"
    for path, part in zip(paths, (table.slice(0, first), table.slice(first)), strict=True):
        write_log(path, part, metadata=log_metadata(log))
    return paths


def watched_rows(times: npt.NDArray[np.int64], horizon_ms: int) -> int:
    """Return how many rows at the end of a log are kept back to be watched.

    Parameters
    ----------
    times
        Of the log's rows, in order of arrival, epoch ms.
    """
    wanted = int((times > times.max() - _WATCHED_HORIZONS * horizon_ms).sum()) if len(times) else 0
    return min(max(wanted, _LEAST_WATCHED), len(times) // _WATCHED_PART)


def _simulated(folder: Path, customers: int, days: int, seed: int) -> tuple[Path, Path]:
    from features.log import write_log
    from offline.simulator.shop import ShopParameters
    from offline.simulator.simulation import Simulation, simulate
    from stream.cli.console import progress
    from stream.texts import counted

    paths = folder / "training.parquet", folder / "log.parquet"
    wanted = (("to train on", _TRAINING_CUSTOMERS, seed + 1), ("to stream", customers, seed))
    for path, (purpose, count, number) in zip(paths, wanted, strict=True):
        with progress(f"Simulating {counted(count, 'customer')} {purpose}", lines=True) as on_progress:
            table = simulate(ShopParameters.default(), count, days, number, on_progress=on_progress)
            write_log(path, table, metadata=Simulation.of(table).metadata())
    return paths


def _train(log: Path, bundle: Path, horizon: str | None, seed: int) -> None:
    from datetime import timedelta
    from functools import partial

    from features.durations import parse_duration
    from offline.training.train import TrainingSettings, train
    from stream.cli.console import progress
    from stream.settings import load_settings

    settings = load_settings()
    millisecond = timedelta(milliseconds=1)
    wanted = TrainingSettings(
        horizon_ms=(settings.horizon if horizon is None else parse_duration(horizon)) // millisecond,
        timezone=settings.timezone,
        currency=settings.currency,
        lateness_ms=settings.lateness_ms,
        ttl_ms=settings.state_ttl_ms,
        baselines=False,
        seed=seed,
    )
    train(log, bundle, wanted, progress=partial(progress, lines=True))


def _judge(log: Path, streamed: DemoRun, bundle: Path) -> StreamQuality:
    import numpy as np

    from features.bundle import Bundle
    from features.log import read_log
    from offline.training.streamed import stream_quality
    from stream.settings import load_settings

    scores = streamed.scores
    return stream_quality(
        read_log(log),
        [score.event_id for score in scores],
        np.array([score.as_of for score in scores], np.int64),
        np.array([score.purchase_intent for score in scores], np.float64),
        Bundle.load(bundle).manifest,
        lateness_ms=load_settings().lateness_ms,
    )


def _uplift(log: Path, streamed: DemoRun) -> Trial | None:
    """Return what the actions brought; ``None`` where there were none."""
    from features.durations import duration_ms, parse_duration
    from features.log import read_log
    from offline.simulator.answers import AnswerParameters
    from offline.uplift.simulated import trial
    from stream.cli.uplift import shares_of

    actions = streamed.actions
    if not len(actions):
        return None
    shares, _ = shares_of(actions["experiment"].unique().to_pylist(), [], _HOLDOUT)
    window_ms = duration_ms(parse_duration("3d"))
    return trial(read_log(log), actions, AnswerParameters(effect=_ANSWERING), window_ms, shares)


def _summary(streamed: DemoRun, quality: StreamQuality, version: str) -> dict[str, Any]:
    return {
        "events": streamed.events,
        "scored": len(streamed.scores),
        "duplicates": streamed.duplicates,
        "dead_letters": streamed.dead_letters,
        "customers": len({score.customer_id for score in streamed.scores}),
        "events_per_second": round(streamed.events_per_second, 1),
        "auc": quality.auc,
        "best_possible_auc": quality.best_possible_auc,
        "share": quality.share,
        "model_version": version,
    }
