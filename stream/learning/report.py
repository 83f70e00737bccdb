"""The live figures of a learner: one JSON document, saved with every snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from features.bundle import BANDS, Bundle
from features.decoding import Undecodable, decoded
from features.exceptions import SchemaMismatch
from stream.learning.judging.intervals import Interval, intervals
from stream.learning.judging.prequential import Cell, Figures
from stream.learning.judging.rivals import Judged

if TYPE_CHECKING:
    from stream.learning.online_learner import OnlineLearner

_OTHERS: Final = "unknown"


class Window(msgspec.Struct, frozen=True):
    """The figures of one horizon window; ``start`` is its beginning (event time, epoch ms)."""

    start: int
    figures: dict[str, Figures]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """How good the published probabilities were, judged before anything was learned from the outcomes.

    ``figures`` are by model (network, online, blend).

    Attributes
    ----------
    bundle
        Version of the bundle.
    horizon_seconds
        What the probabilities are about.
    mini_batches
        How many were learned.
    as_of
        Event time of the last example learned, epoch ms.
    total
        Since learning began.
    windows
        The last horizon windows, oldest first.
    segments, bands
        Recent examples by segment name, and by band of the published probability.
    beside
        Bundles that score beside the live one.
    """

    bundle: str
    horizon_seconds: float
    mini_batches: int
    as_of: int | None
    total: dict[str, Figures]
    windows: list[Window]
    segments: dict[str, dict[str, Figures]]
    bands: dict[str, dict[str, Figures]]
    beside: list[Judged] = []


_decoder = msgspec.json.Decoder(Report)


def decode_report(raw: bytes) -> Report:
    """Return the figures that a learner saved.

    Raises
    ------
    SchemaMismatch
        Another version of this program saved them.
    """
    try:
        return decoded(_decoder.decode, raw)
    except Undecodable as error:
        raise SchemaMismatch(
            f"the live figures in Redis are damaged, or of another version ({error}): a running learner of this "
            "version soon replaces them"
        ) from None


def intervals_of(report: Report) -> dict[str, dict[str, Interval]]:
    """Return the intervals of the total figures by model and measure."""
    return {
        model: intervals(figures, [w.figures[model] for w in report.windows if model in w.figures])
        for model, figures in report.total.items()
    }


def report_of(learner: OnlineLearner, bundle: Bundle, as_of: int | None) -> Report:
    """Return the figures of a learner that has learned up to ``as_of``."""
    quality = learner.quality
    names = [segment.name for segment in bundle.segmenter.segments]
    return Report(
        bundle=bundle.manifest.version,
        horizon_seconds=bundle.manifest.horizon_seconds,
        mini_batches=learner.version,
        as_of=as_of,
        total=quality.total.figures(),
        windows=[
            Window(start, figures) for start, cell in quality.windows().items() if (figures := cell.figures())
        ],
        segments=_by_name([*names, _OTHERS], quality.segments()),
        bands=_by_name(list(BANDS), quality.bands()),
        beside=learner.rivals.judged(),
    )


def _by_name(names: list[str], cells: list[Cell]) -> dict[str, dict[str, Figures]]:
    return {name: figures for name, cell in zip(names, cells, strict=True) if (figures := cell.figures())}
