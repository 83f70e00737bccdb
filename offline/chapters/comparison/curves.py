"""Pictures of predictions: ROC, precision and recall, reliability, gain and lift, one line for each model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from offline.report.section import Picture
from offline.report.theme import GREY, SERIES
from offline.training.evaluation import ECE_BINS

Floats = NDArray[np.float64]

# Points of a line: more cannot be seen, and pages grow.
_POINTS: Final = 300
_HEIGHT: Final = 460
# Less than this share of the rows is too few to count positives in.
_LEAST_FLAGGED: Final = 0.01
_TENTH: Final = 0.1


def pictures(
    target: NDArray[np.bool_], predicted: Mapping[str, Floats], unit: str, best: str | None = None
) -> list[Picture]:
    """Return all pictures.

    Parameters
    ----------
    predicted
        Probabilities by a model's name for people.
    unit
        What a row is, in the singular.
    best
        Name of the model that captions take as an example; by default the first one.
    """
    best = best if best in predicted else next(iter(predicted), None)
    return [
        _roc(target, predicted),
        _precision_recall(target, predicted),
        _reliability(target, predicted),
        _gain(target, predicted, unit, best),
        _lift(target, predicted, unit, best),
    ]


def _roc(target: NDArray[np.bool_], predicted: Mapping[str, Floats]) -> Picture:
    figure = _figure("share of negatives flagged", "share of positives found")
    for colour, (name, p) in _coloured(predicted):
        negatives, positives, _ = roc_curve(target, p)
        _line(figure, name, colour, *_thinned(negatives, positives))
    _reference(figure, [0, 1], [0, 1])
    return Picture("ROC curves", figure, "The further to the upper left, the better; the diagonal is chance.")


def _precision_recall(target: NDArray[np.bool_], predicted: Mapping[str, Floats]) -> Picture:
    figure = _figure("recall: share of positives found", "precision: share of flagged that are positive")
    for colour, (name, p) in _coloured(predicted):
        precision, recall, thresholds = precision_recall_curve(target, p)
        # Of a few flagged rows, precision says nothing; the last point (precision 1) is scikit-learn's own.
        ordered = np.sort(p)
        kept = np.append((len(p) - np.searchsorted(ordered, thresholds)) >= _LEAST_FLAGGED * len(p), False)
        _line(figure, name, colour, *_thinned(recall[kept][::-1], precision[kept][::-1]))
    prevalence = float(target.mean())
    _reference(figure, [0, 1], [prevalence, prevalence])
    return Picture(
        "Precision and recall",
        figure,
        f"The dotted line is the prevalence, {prevalence:.1%}: what flagging at random finds. Lines begin where "
        f"{_LEAST_FLAGGED:.0%} of the rows are flagged.",
    )


def _reliability(target: NDArray[np.bool_], predicted: Mapping[str, Floats]) -> Picture:
    figure = _figure("predicted probability", "share that was positive")
    for colour, (name, p) in _coloured(predicted):
        order = np.argsort(p, kind="stable")
        bins = [part for part in np.array_split(order, ECE_BINS) if len(part)]
        x = np.array([p[part].mean() for part in bins])
        y = np.array([target[part].mean() for part in bins])
        figure.add_scatter(
            x=x, y=y, name=name, mode="lines+markers", line={"color": colour, "width": 1.5}, marker={"size": 6},
            hovertemplate="%{x:.1%} predicted, %{y:.1%} positive<extra>" + name + "</extra>",
        )  # fmt: skip
    _reference(figure, [0, 1], [0, 1])
    return Picture(
        "Reliability",
        figure,
        f"{ECE_BINS} bins with equally many rows. Honest probabilities lie on the diagonal; below it a model promises "
        "too much.",
    )


def _gain(target: NDArray[np.bool_], predicted: Mapping[str, Floats], unit: str, best: str | None) -> Picture:
    figure = _figure(f"share of {unit}s, likeliest first", "share of positives among them")
    for colour, (name, p) in _coloured(predicted):
        _line(figure, name, colour, *_gains(target, p))
    _reference(figure, [0, 1], [0, 1])
    return Picture(
        "Cumulative gain",
        figure,
        f"How many of all positives are reached by contacting the likeliest {unit}s first"
        + (
            f": {_reached(target, predicted[best]):.0%} by the likeliest tenth with {best}, 10% at random."
            if best is not None
            else "."
        ),
    )


def _lift(target: NDArray[np.bool_], predicted: Mapping[str, Floats], unit: str, best: str | None) -> Picture:
    figure = _figure(f"share of {unit}s, likeliest first", "positives by those expected at random")
    figure.update_yaxes(tickformat=".1f", range=None, rangemode="tozero")
    for colour, (name, p) in _coloured(predicted):
        share, found = _gains(target, p)
        kept = share >= _LEAST_FLAGGED
        _line(figure, name, colour, share[kept], found[kept] / share[kept])
    _reference(figure, [0, 1], [1, 1])
    caption = "How many times as many positives as at random; 1 is chance."
    if best is not None:
        times = _reached(target, predicted[best]) / _TENTH
        caption += f" {best[0].upper()}{best[1:]}: {times:.1f} in the likeliest tenth."
    return Picture("Lift", figure, caption)


def _reached(target: NDArray[np.bool_], p: Floats) -> float:
    """Return the share of all positives in the likeliest tenth, what is equally likely taken in part."""
    order = np.argsort(-p, kind="stable")
    last = np.append(np.diff(p[order]) != 0, True)
    share = np.append(0.0, np.arange(1, len(p) + 1)[last] / len(p))
    found = np.append(0.0, np.cumsum(target[order])[last] / max(int(target.sum()), 1))
    return float(np.interp(_TENTH, share, found))


def _gains(target: NDArray[np.bool_], p: Floats) -> tuple[Floats, Floats]:
    """Return shares of rows and of positives, equal probabilities taken together."""
    order = np.argsort(-p, kind="stable")
    last = np.append(np.diff(p[order]) != 0, True)
    share = np.arange(1, len(p) + 1)[last] / len(p)
    found = np.cumsum(target[order])[last] / max(int(target.sum()), 1)
    return _thinned(np.concatenate([[0.0], share]), np.concatenate([[0.0], found]))


def _thinned(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return points spread along a line, so that steep parts keep their shape."""
    if len(x) <= _POINTS:
        return x, y
    along = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    kept = np.unique(np.searchsorted(along, np.linspace(0, along[-1], _POINTS)).clip(max=len(x) - 1))
    return x[kept], y[kept]


def _coloured(predicted: Mapping[str, Floats]) -> list[tuple[str, tuple[str, Floats]]]:
    return [(SERIES[at % len(SERIES)], item) for at, item in enumerate(predicted.items())]


def _figure(x: str, y: str) -> go.Figure:
    figure = go.Figure()
    figure.update_xaxes(title=x, tickformat=".0%", range=[0, 1])
    figure.update_yaxes(title=y, tickformat=".0%", range=[0, 1.01])
    # Beside the plot: eight names above it would take three lines.
    legend = {"orientation": "v", "x": 1.02, "y": 1, "xanchor": "left", "yanchor": "top"}
    figure.update_layout(height=_HEIGHT, legend=legend)
    return figure


def _line(figure: go.Figure, name: str, colour: str, x: Floats, y: Floats) -> None:
    figure.add_scatter(
        x=np.round(x, 4), y=np.round(y, 4), name=name, mode="lines", line={"color": colour, "width": 1.8}
    )


def _reference(figure: go.Figure, x: list[float], y: list[float]) -> None:
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines",
        line={"color": GREY, "width": 1, "dash": "dot"},
        showlegend=False,
        hoverinfo="skip",
    )
