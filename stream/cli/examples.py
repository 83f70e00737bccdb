"""`intent examples`: the training data of a log of any size, as a folder of Parquet files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli import checks
from stream.cli.train import Horizon, LabelStart

if TYPE_CHECKING:
    from offline.examples.buckets import FolderManifest

Log = Annotated[
    Path,
    typer.Argument(
        metavar="LOG",
        callback=checks.existing_log,
        help="The event log (Parquet), of any size, in order of arrival.",
    ),
]
Output = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        callback=checks.output_folder,
        help="Folder for the examples, new or empty.",
    ),
]
Buckets = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=65_536,
        metavar="N",
        help="Number of parts that customers are divided into, by the hash of their id. Default: as many as the memory "
        "of a worker needs.",
        show_default=False,
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Use the Dask cluster with this scheduler: tcp://HOST:8786. Its workers need this package, and must see "
        "LOG and DIR under the same paths. Default: workers on this machine.",
        show_default=False,
    ),
]
WorkerCount = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        metavar="N",
        help="Worker processes on this machine. Default: one per processor.",
        show_default=False,
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Memory of one worker: 1GB, 600MB, at least 500MB. Default: the workers share 60% of this machine's "
        "memory; on a cluster, their own limits apply.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the folder's manifest as one JSON object.")]


def register(app: typer.Typer) -> None:
    """Add `examples`."""
    app.command()(examples)


def examples(  # noqa: PLR0917  (options of a command)
    log: Log,
    output: Output,
    horizon: Horizon = None,
    label_start: LabelStart = None,
    buckets: Buckets = None,
    scheduler: Scheduler = None,
    workers: WorkerCount = None,
    memory: Memory = None,
    as_json: AsJson = False,
) -> None:
    """Build training data from a log that exceeds the memory.

    Runs with Dask. Each row is an event as the scorer saw it: the model's input, and whether a purchase followed.
    Rows are divided into files by customer; `examples.json` says how they were built. `intent train DIR` trains on
    them, and pandas, Polars or DuckDB read them. While it runs, DIR also holds a compressed copy of LOG.

    Examples
    --------
    - `intent examples events.parquet -o examples`: use all processors of this machine
    - `intent examples events.parquet -o examples --workers 8 --memory 2GB`: use eight workers of 2 GB each
    - `intent examples /share/events.parquet -o /share/examples --scheduler tcp://10.0.0.5:8786`: use a Dask cluster
    - `intent examples orders.parquet -o examples --horizon 30d --json`: predict orders within 30 days
    """
    from offline.examples.buckets import BuildSettings, build_folder
    from offline.examples.buckets.sizes import parse_size
    from offline.examples.examples import Asked
    from stream.cli.console import print_json, progress
    from stream.cli.left_out import left_out
    from stream.settings import load_settings

    settings = load_settings(**({} if horizon is None else {"horizon": horizon}))
    apart = left_out(settings)
    asked = Asked(
        round(settings.horizon.total_seconds() * 1000),
        None if label_start is None else label_start.value,
        settings.timezone,
        settings.currency,
        settings.lateness_ms,
        settings.state_ttl_ms,
        apart.bots,
    )
    manifest = build_folder(
        log,
        output,
        BuildSettings(
            asked, buckets, scheduler, workers, None if memory is None else parse_size(memory), apart.excluded
        ),
        progress=progress,
        on_note=lambda text: typer.echo(f"intent: {text}", err=True),
    )
    if as_json:
        import msgspec

        print_json({"folder": str(output)} | msgspec.to_builtins(manifest, str_keys=True))
    else:
        _show(output, manifest)


def _show(output: Path, manifest: FolderManifest) -> None:
    from features.durations import duration_short
    from stream.texts import counted

    events, customers = counted(manifest.data.events, "event"), counted(manifest.data.customers, "customer")
    typer.echo(f"{events} of {customers} in {counted(len(manifest.shards), 'file')}: {output}")
    prevalence = (
        f", {manifest.positive / manifest.examples:.2%} of them positive" if manifest.examples else ""
    )
    typer.echo(
        f"{counted(manifest.examples, 'example')} with a known label{prevalence} (a purchase within "
        f"{duration_short(manifest.context.horizon_ms)})"
    )
    for count, what in (
        (manifest.refused, "came too late or are dated after their arrival"),
        (manifest.repeated, "are repetitions"),
        (manifest.erased, "belong to erased customers"),
    ):
        if count:
            typer.echo(f"left out: {counted(count, 'event')} that {what}")
    typer.echo(f"Next: `intent train {output} -o bundle`")
