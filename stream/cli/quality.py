"""`intent quality`: how good the published scores are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rich.console import RenderableType
    from rich.table import Table

    from stream.learning.judging.intervals import Interval
    from stream.learning.judging.prequential import Figures
    from stream.learning.judging.rivals import Judged
    from stream.learning.report import Report

AsJson = Annotated[bool, typer.Option("--json", help="Print all figures as one JSON object.")]
Windows = Annotated[int, typer.Option(min=0, metavar="N", help="Number of latest time windows to show.")]

# The plot: columns by predicted, rows by observed frequency.
_WIDTH, _HEIGHT = 60, 16
_TWO_DIGITS = 0.1
_TEN_TIMES = 10
# Letters of the columns: with the space between them they fill 80 at most.
_MODEL = 9
_FIGURES = {
    "Examples": 11, "Prevalence": 10, "AUC": 6, "PR-AUC": 6, "Log-loss": 8, "Brier": 6, "ECE": 6,
}  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("quality")(quality)


def quality(windows: Windows = 3, as_json: AsJson = False) -> None:
    """Show how good the published scores are.

    Each score is compared with what the customer did, before the learner learns from it. `blend` is the published
    score. Compare PR-AUC with the prevalence, which is the PR-AUC of guessing. The 95% intervals come from the spread
    between windows of one horizon each; there are some from the fifth window on. A bundle that scores beside the live
    one (`intent bundle`) is compared with it on the same scores. Needs a running or earlier `intent learner`.

    Examples
    --------
    - `intent quality`: show the figures and a reliability plot
    - `intent quality --json`: print all figures as JSON
    """
    import json

    from stream.cli.bundle_shelf import comparison
    from stream.cli.console import output, print_json
    from stream.exceptions import ServiceError
    from stream.learning.report import decode_report, intervals_of
    from stream.learning.snapshot_store import SnapshotStore
    from stream.settings import load_settings

    settings = load_settings()
    store = SnapshotStore(settings.redis_url, settings.redis_prefix)
    raw = store.quality()
    store.close()
    if raw is None:
        raise ServiceError(
            "no figures yet: start `intent learner` and wait until the horizon of some events has passed"
        )
    report = decode_report(raw)
    if as_json:
        print_json(json.loads(raw.decode(errors="replace")) | {"intervals": intervals_of(report)})
        return
    console = output()
    if not report.total:
        console.print("No event has been judged yet: its horizon has to pass first.")
        return
    console.print(sentence(report) + "\n")
    console.print(_table(report, windows))
    for judged in report.beside:
        console.print(f"\nBeside it, {judged.version}: {comparison(judged)}.", markup=False)
        console.print(_beside_table(judged))
    blend = report.total.get("blend")
    if blend is not None:
        if blend.auc is not None and blend.expected_auc is not None:
            console.print(
                f"\nThe probabilities promised an AUC of {blend.expected_auc:.4f}; it was {blend.auc:.4f}. If they lie "
                "far apart, the probabilities are no longer true."
            )
        console.print(f"\nReliability of what was published (ECE {blend.ece:.4f})")
        for line in plot(blend):
            console.print(line, markup=False)


def sentence(report: Report) -> str:
    """Return in one sentence how often customers bought, and how well the band high foresaw it."""
    from features.durations import duration_words
    from stream.learning.judging.intervals import design_effect, share_interval

    horizon = duration_words(report.horizon_seconds * 1000)
    recent = [models["blend"] for models in report.bands.values() if "blend" in models]
    judged = sum(band.examples for band in recent)
    buyers = sum(band.examples * band.prevalence for band in recent)
    if judged <= 0:
        return f"No recent score has been judged: the horizon of {horizon} has to pass first."
    if buyers <= 0:
        return f"None of the last {judged:,.0f} judged scores was followed by a purchase within {horizon}."
    share = buyers / judged
    text = f"Of the last {judged:,.0f} judged scores, {_percent(share)}% were followed by a purchase within {horizon}"
    high = report.bands.get("high", {}).get("blend")
    if high is None:
        return f"{text}; none of them was in the band high."
    effect = design_effect([w.figures["blend"] for w in report.windows if "blend" in w.figures])
    low, up = share_interval(high.prevalence, high.examples, effect)
    return (
        f"{text}; in the band high it was {_percent(high.prevalence)}% (95% interval: {_percent(low)} to "
        f"{_percent(up)}%), {_times(high.prevalence / share)} the average."
    )


def _percent(share: float) -> str:
    """Return a share in per cent, with a decimal where it has one digit before."""
    return f"{share:.1%}"[:-1] if share < _TWO_DIGITS else f"{share:.0%}"[:-1]


def _times(ratio: float) -> str:
    return f"{ratio:.1f} times" if ratio < _TEN_TIMES else f"{ratio:.0f} times"


def _table(report: Report, windows: int) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    from stream.learning.report import intervals_of
    from stream.texts import moment

    groups: list[tuple[str, Mapping[str, Figures]]] = [("all", report.total)]
    groups += [(moment(w.start), w.figures) for w in (report.windows[-windows:] if windows else [])]
    groups += [(f"segment {name}", figures) for name, figures in report.segments.items()]
    groups += [(f"band {name}", figures) for name, figures in report.bands.items()]
    parts: list[RenderableType] = []
    for at, (group, models) in enumerate(groups):
        table = _columns(header=not at)
        for model, figures in models.items():
            table.add_row(model, *_cells(figures))
        if group == "all":
            for row in _interval_rows(intervals_of(report).get("blend", {})):
                table.add_row(*row)
        parts += [table] if not at else [Text(group), table]
    return Group(*parts)


def _columns(*, header: bool = True) -> Table:
    """Return a table of figures; all of them are as wide, so that they stand below each other."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=header)
    table.add_column("Model", overflow="fold", min_width=_MODEL)
    for name, width in _FIGURES.items():
        table.add_column(name, justify="right", no_wrap=True, overflow="fold", min_width=width)
    return table


def _beside_table(judged: Judged) -> RenderableType:
    """Return the figures of a bundle beside the live one, and of the live one on the same scores."""
    table = _columns()
    for model, figures in judged.figures.items():
        table.add_row(model, *_cells(figures))
    return table


def _interval_rows(found: Mapping[str, Interval]) -> Iterable[list[str]]:
    """Yield the ends of the published score's intervals, in the columns of the figures."""
    from stream.learning.judging.intervals import MEASURES

    for end, name in enumerate(("95% from", "95% to") if found else ()):
        ends = [f"{found[one][end]:.4f}" if one in found else "" for one in MEASURES]
        yield [name, "", *ends, ""]


def _cells(figures: Figures) -> Iterable[str]:
    yield f"{figures.examples:,.0f}"
    for value in (
        figures.prevalence,
        figures.auc,
        figures.pr_auc,
        figures.log_loss,
        figures.brier,
        figures.ece,
    ):
        yield "-" if value is None else f"{value:.4f}"


def plot(figures: Figures) -> list[str]:
    """Return a reliability plot: observed frequency over predicted probability; dots show where both are equal."""
    bins = figures.reliability
    top = max(max(bin_.predicted, bin_.observed) for bin_ in bins) or 1.0
    field = [[" "] * _WIDTH for _ in range(_HEIGHT)]
    for column in range(_WIDTH):
        field[round(column / (_WIDTH - 1) * (_HEIGHT - 1))][column] = "."
    for bin_ in bins:
        row = round(bin_.observed / top * (_HEIGHT - 1))
        field[row][round(bin_.predicted / top * (_WIDTH - 1))] = "o"
    lines = [
        f"{row / (_HEIGHT - 1) * top:>7.3f} |{''.join(field[row])}".rstrip()
        for row in reversed(range(_HEIGHT))
    ]
    axis = f"{'0':<{_WIDTH // 2}}{top:>{_WIDTH // 2}.3f}"
    return ["observed", *lines, " " * 8 + "+" + "-" * _WIDTH, " " * 9 + axis + "  predicted"]
