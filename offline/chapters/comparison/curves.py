"""Pictures of predictions: ROC, precision and recall, reliability, gain and lift, one line for each model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from offline.lab.models import MODELS
from offline.report.lines import Look, label_in_corner, looks
from offline.report.section import Picture
from offline.report.theme import BLUE, GREEN, GREY, ORANGE
from offline.training.evaluation import ECE_BINS

Floats = NDArray[np.float64]
Lines = dict[str, tuple[Floats, Floats]]

# Models that the best one is measured by, and their colours.
_REFERENCES: Final = {MODELS["logistic"].title: ORANGE, MODELS["rule"].title: GREEN}
# Points of a line: more cannot be seen, and pages grow.
_POINTS: Final = 300
_HEIGHT: Final = 460
# Less than this share of the rows is too few to count positives in.
_LEAST_FLAGGED: Final = 0.01
_TENTH: Final = 0.1
_GREYS: Final = "Grey: the other models; a line says its name when touched."


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
        _roc(target, predicted, best),
        _precision_recall(target, predicted, best),
        _reliability(target, predicted, best),
        _gain(target, predicted, unit, best),
        _lift(target, predicted, unit, best),
    ]


def _roc(target: NDArray[np.bool_], predicted: Mapping[str, Floats], best: str | None) -> Picture:
    lines = {}
    for name, p in predicted.items():
        negatives, positives, _ = roc_curve(target, p)
        lines[name] = _thinned(negatives, positives)
    figure = _figure("share of negatives flagged", "share of positives found")
    _draw(figure, lines, best, "lower right")
    _reference(figure, [0, 1], [0, 1])
    return Picture(
        "ROC curves", figure, f"The further to the upper left, the better; the diagonal is chance. {_GREYS}"
    )


def _precision_recall(
    target: NDArray[np.bool_], predicted: Mapping[str, Floats], best: str | None
) -> Picture:
    lines = {}
    for name, p in predicted.items():
        precision, recall, thresholds = precision_recall_curve(target, p)
        # Of a few flagged rows, precision says nothing; the last point (precision 1) is scikit-learn's own.
        ordered = np.sort(p)
        kept = np.append((len(p) - np.searchsorted(ordered, thresholds)) >= _LEAST_FLAGGED * len(p), False)
        lines[name] = _thinned(recall[kept][::-1], precision[kept][::-1])
    figure = _figure("recall: share of positives found", "precision: share of flagged that are positive")
    figure.update_yaxes(range=[0, _end(lines)])
    _draw(figure, lines, best, "upper right")
    prevalence = float(target.mean())
    _reference(figure, [0, 1], [prevalence, prevalence])
    return Picture(
        "Precision and recall",
        figure,
        f"The dotted line is the prevalence, {prevalence:.1%}: what flagging at random finds. Lines begin where "
        f"{_LEAST_FLAGGED:.0%} of the rows are flagged. {_GREYS}",
    )


def _reliability(target: NDArray[np.bool_], predicted: Mapping[str, Floats], best: str | None) -> Picture:
    lines = {}
    for name, p in predicted.items():
        order = np.argsort(p, kind="stable")
        bins = [part for part in np.array_split(order, ECE_BINS) if len(part)]
        lines[name] = (
            np.array([p[part].mean() for part in bins]),
            np.array([target[part].mean() for part in bins]),
        )
    figure = _figure("predicted probability", "share that was positive")
    end = max(_end(lines), _end({name: (y, x) for name, (x, y) in lines.items()}))
    figure.update_xaxes(range=[0, end])
    figure.update_yaxes(range=[0, end])
    _draw(figure, lines, best, "lower right", mode="lines+markers")
    _reference(figure, [0, end], [0, end])
    return Picture(
        "Reliability",
        figure,
        f"{ECE_BINS} bins with equally many rows. Honest probabilities lie on the diagonal; below it a model promises "
        f"too much. {_GREYS}",
    )


def _gain(target: NDArray[np.bool_], predicted: Mapping[str, Floats], unit: str, best: str | None) -> Picture:
    figure = _figure(f"share of {unit}s, likeliest first", "share of positives among them")
    _draw(figure, {name: _gains(target, p) for name, p in predicted.items()}, best, "lower right")
    _reference(figure, [0, 1], [0, 1])
    return Picture(
        "Cumulative gain",
        figure,
        f"How many of all positives are reached by contacting the likeliest {unit}s first"
        + (
            f": {_reached(target, predicted[best]):.0%} by the likeliest tenth with {best}, 10% at random."
            if best is not None
            else "."
        )
        + f" {_GREYS}",
    )


def _lift(target: NDArray[np.bool_], predicted: Mapping[str, Floats], unit: str, best: str | None) -> Picture:
    lines = {}
    for name, p in predicted.items():
        share, found = _gains(target, p)
        kept = share >= _LEAST_FLAGGED
        lines[name] = share[kept], found[kept] / share[kept]
    figure = _figure(f"share of {unit}s, likeliest first", "positives by those expected at random")
    highest = max((float(y.max()) for _, y in lines.values() if len(y)), default=1.0)
    figure.update_yaxes(tickformat=".1f", range=[0, max(1.1, 1.05 * highest)])
    _draw(figure, lines, best, "upper right")
    _reference(figure, [0, 1], [1, 1])
    caption = f"How many times as many positives as at random; 1 is chance. {_GREYS}"
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


def _figure(x: str, y: str) -> go.Figure:
    figure = go.Figure()
    figure.update_xaxes(title=x, tickformat=".0%", range=[0, 1])
    figure.update_yaxes(title=y, tickformat=".0%", range=[0, 1.01])
    figure.update_layout(height=_HEIGHT, showlegend=False)
    return figure


def _end(lines: Lines) -> float:
    """Return where the vertical axis of shares ends: a little above the highest point, at most at 1."""
    highest = max((float(y.max()) for _, y in lines.values() if len(y)), default=1.0)
    return min(1.05 * highest, 1.01)


def _draw(figure: go.Figure, lines: Lines, best: str | None, corner: str, mode: str = "lines") -> None:
    """Draw the best model and those it is measured by in colour with their names, all others grey."""
    strong = {name: colour for name, colour in _REFERENCES.items() if name != best and name in lines}
    if best is not None:
        strong = {best: BLUE} | strong
    # The best one is drawn last, on top.
    for look in looks(list(lines), dict(reversed(strong.items()))):
        _line(figure, look, *lines[look.name], mode)
    label_in_corner(figure, lines, strong, corner)


def _line(figure: go.Figure, look: Look, x: Floats, y: Floats, mode: str) -> None:
    figure.add_scatter(
        x=np.round(x, 4), y=np.round(y, 4), name=look.name, mode=mode,
        line={"color": look.colour, "width": look.width}, marker={"size": 6 if look.strong else 4},
    )  # fmt: skip


def _reference(figure: go.Figure, x: list[float], y: list[float]) -> None:
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines",
        line={"color": GREY, "width": 1, "dash": "dot"},
        showlegend=False,
        hoverinfo="skip",
    )
