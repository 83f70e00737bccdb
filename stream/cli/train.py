"""`intent train`: a bundle of models from an event log."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream.cli import checks

if TYPE_CHECKING:
    from features.bundle import Manifest
    from features.segments import Segmenter

#: Models in the order of the table, with the names that people read.
_MODELS = {
    "rule": "rule",
    "logistic": "logistic",
    "lightgbm": "LightGBM",
    "network": "network",
    "best_possible": "best possible",
}


class Start(StrEnum):
    """When a purchase begins to count."""

    NOW = "0"
    NEXT_DAY = "next-day"


Log = Annotated[
    Path,
    typer.Argument(
        metavar="LOG|FOLDER",
        callback=checks.existing_path,
        help="The event log (Parquet), or a folder of examples from `intent examples`.",
    ),
]
Output = Annotated[
    Path,
    typer.Option(
        "--output", "-o", metavar="DIR", callback=checks.output_folder, help="Folder for the bundle."
    ),
]
Horizon = Annotated[
    str | None,
    typer.Option(
        metavar="DURATION",
        callback=checks.duration,
        help="How far the prediction looks ahead: 30m, 12h, 30d. Default: INTENT_HORIZON, 30m; for a folder of "
        "examples, theirs.",
        show_default=False,
    ),
]
LabelStart = Annotated[
    Start | None,
    typer.Option(
        metavar="0|next-day",
        help="Count purchases from the event on (0) or from the next day on. Default: next-day if the horizon is a day "
        "or longer.",
        show_default=False,
    ),
]
Epochs = Annotated[
    float | None,
    typer.Option(
        min=0.01,
        metavar="N",
        help="Passes over the training data. Default: depends on its size.",
        show_default=False,
    ),
]
Seed = Annotated[int, typer.Option(min=0, metavar="N", help="The same seed and log give the same bundle.")]
Baselines = Annotated[
    bool,
    typer.Option(
        "--baselines/--no-baselines",
        help="Also train a rule, logistic regression and LightGBM for comparison.",
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Memory for training: 4GB, 600MB. If a log needs more, as many customers as fit are used, with all their "
        "events. Default: half of this machine's memory.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the manifest as one JSON object.")]


def register(app: typer.Typer) -> None:
    """Add `train`."""
    app.command()(train)


def train(  # noqa: PLR0917  (options of a command)
    log: Log,
    output: Output,
    horizon: Horizon = None,
    label_start: LabelStart = None,
    epochs: Epochs = None,
    seed: Seed = 0,
    baselines: Baselines = True,
    memory: Memory = None,
    as_json: AsJson = False,
) -> None:
    """Train the models that the worker scores with.

    LOG is an event log: make it from your own CSV with `intent convert csv`. A folder of examples gives the same
    bundle as the log it was built from. The bundle holds the segments and a network that predicts a purchase within
    the horizon: the time after an event (30 minutes unless configured) in which a purchase counts.

    Time is split into training, calibration and test, one horizon apart. All models are tested on the same events,
    with 95% intervals. If the examples do not fit in memory, a part of the customers is used; a message and the
    manifest say so.

    Examples
    --------
    - `intent train events.parquet -o bundle`: train on a log
    - `intent train orders.parquet -o bundle --horizon 30d`: predict orders within 30 days
    - `intent train examples/ -o bundle --memory 32GB`: train on a folder of examples
    - `intent train events.parquet -o bundle --no-baselines --json`: train the network only; print the manifest as
      JSON
    """
    from offline.examples.buckets import is_folder
    from offline.examples.buckets.sizes import parse_size
    from offline.training.train import TrainingSettings
    from offline.training.train import train as train_bundle
    from stream.cli.console import errors, print_json, progress
    from stream.cli.left_out import left_out
    from stream.settings import load_settings

    settings = load_settings(**({} if horizon is None else {"horizon": horizon}))
    apart = left_out(settings)
    bundle = train_bundle(
        log,
        output,
        TrainingSettings(
            horizon_ms=None
            if horizon is None and is_folder(log)
            else round(settings.horizon.total_seconds() * 1000),
            label_start=None if label_start is None else label_start.value,
            timezone=settings.timezone,
            currency=settings.currency,
            lateness_ms=settings.lateness_ms,
            ttl_ms=settings.state_ttl_ms,
            epochs=epochs,
            baselines=baselines,
            seed=seed,
            memory=None if memory is None else parse_size(memory),
            bots=apart.bots,
            excluded=apart.excluded,
        ),
        progress=progress,
        on_note=lambda text: errors().print(text, soft_wrap=True),
    )
    if as_json:
        import msgspec

        print_json({"bundle": str(output)} | msgspec.to_builtins(bundle.manifest))
    else:
        _show(output, bundle.manifest, bundle.segmenter)


def _show(output: Path, manifest: Manifest, segmenter: Segmenter) -> None:
    from rich import box
    from rich.table import Table

    from stream.cli.console import add_columns
    from stream.cli.console import output as console
    from stream.texts import counted

    exact = "best_possible" in manifest.metrics
    network = manifest.metrics["network"]
    models = Table(
        title=f"Test: {counted(network['examples'], 'event')} of {counted(network['customers'], 'customer')}, "
        f"prevalence {network['prevalence']:.2%}",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    models.add_column("model", no_wrap=True)
    for name in ("AUC", "95%", "PR-AUC", "log-loss", "ECE", *(("share", "gain") if exact else ())):
        models.add_column(name, justify="right", no_wrap=True)
    if exact:
        models.caption = (
            "share: part of the best possible AUC above 0.5 that was reached; gain: the same for log-loss. Both are "
            "expected values under the exact probabilities; the other columns are measured on what happened."
        )
    for name, title in _MODELS.items():
        if name in manifest.metrics:
            models.add_row(title, *_row(manifest.metrics[name], exact))
    segments = Table(title="Segments", box=box.SIMPLE_HEAD)
    names = ("segment", "customers", "description")
    add_columns(segments, ("segment", "description"), *names, right=("customers",))
    for segment in reversed(segmenter.segments):
        segments.add_row(segment.name, f"{segment.share:.1%}", segment.description)
    screen = console()
    screen.print(models)
    screen.print(segments)
    screen.print(
        f"Bundle {manifest.version} is in {output}. Next: `intent worker --bundle {output}`", soft_wrap=True
    )


def _row(metrics: dict[str, Any], exact: bool) -> list[str]:
    def shown(value: float | None, digits: int = 3) -> str:
        return "-" if value is None else f"{value:.{digits}f}"

    low, high = metrics["ci"]["auc"] or (None, None)
    cells = [shown(metrics["auc"]), f"{shown(low)}-{shown(high)}", shown(metrics["pr_auc"])]
    cells += [shown(metrics["log_loss"], 4), shown(metrics["ece"], 4)]
    return [*cells, shown(metrics["share"]), shown(metrics["log_loss_share"])] if exact else cells
