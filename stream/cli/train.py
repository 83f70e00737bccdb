"""`intent train`: from an event log to a bundle of models."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
        metavar="LOG|FOLDER", help="The event log (Parquet), or a folder of examples from `intent examples`."
    ),
]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the bundle.")]
Horizon = Annotated[
    str | None,
    typer.Option(
        metavar="DURATION",
        help="How far the prediction looks: 30m, 12h, 30d. Default: INTENT_HORIZON, 30m; of a folder, its own.",
        show_default=False,
    ),
]
LabelStart = Annotated[
    Start | None,
    typer.Option(
        metavar="0|next-day",
        help="From when on a purchase counts: from the event on, or from the next day on. "
        "Default: the next day from a horizon of one day on.",
        show_default=False,
    ),
]
Epochs = Annotated[
    float | None,
    typer.Option(
        min=0.01,
        metavar="N",
        help="Passes over the training data. Default: what suits its size.",
        show_default=False,
    ),
]
Seed = Annotated[int, typer.Option(min=0, metavar="N", help="Equal seeds and logs give equal bundles.")]
Baselines = Annotated[
    bool,
    typer.Option(
        "--baselines/--no-baselines",
        help="Also train the rule, logistic regression and LightGBM, to compare.",
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="What training may take: 4GB, 600MB. A longer log is built bucket by bucket, and all events of as many "
        "customers are used as fit. Default: half of this machine's memory.",
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
    """Train segments and network on an event log, and write them as a bundle that a worker can score with.

    A folder of examples gives the same bundle as the log it was built from. Where examples don't fit the memory, a
    part of the customers is used, chosen by the hash of their id; this is said, and stands in the manifest.

    Time is split into training, calibration and test, one horizon apart. All models are measured on the same
    test events, with 95 % intervals.

    **Examples**

        intent train events.parquet -o bundle

        intent train orders.parquet -o bundle --horizon 30d

        intent train examples/ -o bundle --memory 32GB

        intent train events.parquet -o bundle --no-baselines --json
    """
    from offline.examples.buckets import is_folder
    from offline.examples.buckets.sizes import parse_size
    from offline.training.train import TrainingSettings
    from offline.training.train import train as train_bundle
    from stream.cli.console import errors, print_json, progress
    from stream.settings import load_settings

    settings = load_settings(**({} if horizon is None else {"horizon": horizon}))
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
    for name in ("AUC", "95 %", "PR-AUC", "log-loss", "ECE", *(("share", "gain") if exact else ())):
        models.add_column(name, justify="right", no_wrap=True)
    if exact:
        models.caption = (
            "share: of the best possible AUC above .5, gain: of its gain in log-loss, both expected under the exact "
            "probabilities; the other columns are what came of it, chance included"
        )
    for name, title in _MODELS.items():
        if name in manifest.metrics:
            models.add_row(title, *_row(manifest.metrics[name], exact))
    segments = Table(title="Segments", box=box.SIMPLE_HEAD)
    segments.add_column("segment")
    segments.add_column("customers", justify="right")
    segments.add_column("who they are")
    for segment in reversed(segmenter.segments):
        segments.add_row(segment.name, f"{segment.share:.1%}", segment.description)
    screen = console()
    screen.print(models)
    screen.print(segments)
    screen.print(f"Bundle {manifest.version} in {output}: try `intent worker --bundle {output}`")


def _row(metrics: dict[str, Any], exact: bool) -> list[str]:
    def shown(value: float | None, digits: int = 3) -> str:
        return "-" if value is None else f"{value:.{digits}f}"

    low, high = metrics["ci"]["auc"] or (None, None)
    cells = [shown(metrics["auc"]), f"{shown(low)}-{shown(high)}", shown(metrics["pr_auc"])]
    cells += [shown(metrics["log_loss"], 4), shown(metrics["ece"], 4)]
    return [*cells, shown(metrics["share"]), shown(metrics["log_loss_share"])] if exact else cells
