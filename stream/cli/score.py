"""`intent score`: the worker's scoring of a log, in one process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli import checks
from stream.cli.options import BundleFolder, Partitions

if TYPE_CHECKING:
    from stream.scoring.score_log import ScoredLog
    from stream.settings import Settings

Log = Annotated[
    Path,
    typer.Argument(
        metavar="LOG", callback=checks.existing_log, help="An event log (Parquet) in order of arrival."
    ),
]
Output = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="SCORES",
        callback=checks.output_file,
        help="The file of scores to write (Parquet).",
    ),
]
States = Annotated[
    Path | None,
    typer.Option(
        "--states",
        metavar="FILE",
        callback=checks.output_file,
        help="Also write each customer's state after the last event (Parquet).",
    ),
]
Actions = Annotated[
    Path | None,
    typer.Option(
        "--actions",
        metavar="FILE",
        callback=checks.actions_file,
        help="Also write the actions that the policy in force decides (.parquet or .jsonl).",
    ),
]
Offers = Annotated[
    bool,
    typer.Option("--offers", help="With --actions: name what is in carts by the offers in Redis, as workers do."),
]  # fmt: skip
AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")]


def register(app: typer.Typer) -> None:
    """Add `score`."""
    app.command()(score)


def score(  # noqa: PLR0917  (options of a command)
    log: Log,
    output: Output,
    bundle: BundleFolder = None,
    partitions: Partitions = None,
    states: States = None,
    actions: Actions = None,
    offers: Offers = False,
    as_json: AsJson = False,
) -> None:
    """Score a log as the worker would, without Kafka and Redis.

    The scores have the fields of the scores topic, in the order of the log.

    Examples
    --------
    - `intent score events.parquet --bundle bundle -o scores.parquet`: score a log
    - `intent score events.parquet -o scores.parquet --actions actions.jsonl`: also say what was to be done, and when
    - `intent score events.parquet -o scores.parquet --states states.parquet --json`: also write the customers' states
    """
    import time

    import pyarrow.compute as pc

    from features.bundle import Bundle
    from features.log import ERASED, read_log
    from features.log_order import refused_sentences
    from stream.cli.console import print_json, progress
    from stream.scoring.engine import engine_of
    from stream.scoring.score_log import score_log
    from stream.settings import load_settings

    if offers and actions is None:
        raise typer.BadParameter("it names items in actions: add --actions FILE", param_hint="'--offers'")
    settings = load_settings()
    engine = engine_of(settings, Bundle.load(bundle or settings.bundle, key=settings.bundle_key))
    table = read_log(log, on_note=lambda text: typer.echo(f"intent: {text}", err=True), identities=True)
    if partitions is None and table["partition"].null_count:
        partitions = settings.partitions
    names = _item_names(settings) if offers else None
    with progress("Scoring") as on_progress:
        began = time.perf_counter()
        decide_by = [] if actions is None else [engine.rulebook]
        scored = score_log(
            table,
            engine,
            partitions=partitions,
            decide_by=decide_by,
            remember=states is not None,
            item_names=names,
            on_progress=on_progress,
        )
        seconds = time.perf_counter() - began
    late = refused_sentences(scored.dead_letters - scored.usual.lonely, len(table))
    for sentence in [*scored.usual.sentences(), *late]:
        typer.echo(f"intent: {sentence}", err=True)
    _write(output, scored.scores)
    if states is not None:
        _write(states, _states(scored))
    if actions is not None:
        from stream.scoring.action_log import write_actions

        write_actions(actions, scored.decided[0].actions)
    events = pc.and_(pc.not_equal(table["type"], ERASED), pc.is_null(table["identity"]))
    traffic = scored.scores["traffic"]
    summary = {
        "events": int(pc.sum(events).as_py() or 0),
        "scored": len(scored.scores),
        "bots": int(pc.sum(pc.equal(traffic, "bot")).as_py() or 0),
        "staff": int(pc.sum(pc.equal(traffic, "staff")).as_py() or 0),
        "duplicates": scored.duplicates,
        "dead_letters": scored.dead_letters,
        "customers": len(scored.customers),
        "events_per_second": round(len(table) / seconds, 1) if seconds > 0 else 0.0,
    }
    if actions is not None:
        summary["actions"] = len(scored.decided[0].actions)
    if as_json:
        print_json(summary)
    else:
        for name, value in summary.items():
            typer.echo(f"{name.replace('_', ' '):>18}  {value:,}")


def _item_names(settings: Settings) -> dict[int, str]:
    """Return the ids of items that the newest offers name, by their hashes."""
    from contextlib import closing

    from features.store.offer_store import OfferStore

    with closing(OfferStore(settings.redis_url, settings.redis_prefix)) as store:
        policy = store.policy()
        return {} if policy is None else store.item_names(policy)


def _write(path: Path, table: object) -> None:
    import pyarrow.parquet as pq

    from features.whole_files import whole_file

    with whole_file(path) as partial:
        pq.write_table(table, partial, compression="zstd")


def _states(scored: ScoredLog) -> object:
    import pyarrow as pa

    from features.state import STORED_BYTES, layout_hash, to_bytes

    schema = pa.schema(
        [("customer_id", pa.string()), ("state", pa.binary(STORED_BYTES))],
        metadata={"intent.state_layout": layout_hash()},
    )
    return pa.table(
        [scored.customers, pa.array(to_bytes(scored.states), pa.binary(STORED_BYTES))], schema=schema
    )
