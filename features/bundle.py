"""A bundle: everything that turns a customer's vector into a score, in a folder of ONNX and JSON.

::

    network.onnx       vector (float32, rows x columns) -> logit (float32, rows x 1); transforms inside
    segmenter.json     `features.segments.Segmenter`
    calibration.json   `Calibration`
    manifest.json      `Manifest`
    reference.json     `features.reference.Reference`; without it drift of the population is not measured
    reasons.onnx       vector -> effect of every column on the calibrated logit; without it scores carry no reasons
    signature.json     `features.signing`; only asked for where a key is given

`offline` writes bundles and `stream` reads them; they meet nowhere else.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.blocks import BlockedGraph
from features.calendar import timezone_database, zone
from features.decoding import Undecodable, decoded
from features.exceptions import BundleError, IntentError, SchemaMismatch
from features.explainer import REASONS, TOLERANCE, Explainer, ReferenceCustomer
from features.labels import LabelStart
from features.phrases import Naming
from features.reference import Reference
from features.segments import Segmenter
from features.shelf import bundle_folder, is_shelf, on_shelf
from features.traffic import BotRule
from features.vector import SEGMENT_AT, Vectors, schema_hash
from features.whole_files import whole_file

logger = logging.getLogger(__name__)

BANDS: Final[tuple[Literal["low", "medium", "high"], ...]] = ("low", "medium", "high")
NETWORK, SEGMENTER, CALIBRATION, MANIFEST, REFERENCE = (
    "network.onnx",
    "segmenter.json",
    "calibration.json",
    "manifest.json",
    "reference.json",
)
_NEEDED: Final = (NETWORK, SEGMENTER, CALIBRATION)
_OPTIONAL: Final = (REFERENCE, REASONS)

# What two bundles must have in common to be compared, or to take each other's place.
_QUESTION: Final = ("horizon_seconds", "label_start", "timezone", "currency", "example_types")


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """Platt scaling: calibrated logit = ``slope`` x logit + ``intercept`` [Platt 1999].

    Fitted on a slice of time that neither the network nor the test has seen.
    """

    slope: float
    intercept: float
    examples: int
    method: Literal["platt"] = "platt"

    def log_odds(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the calibrated logit of every logit."""
        return self.slope * logits + self.intercept

    def probabilities(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the calibrated probability of every logit."""
        return 1.0 / (1.0 + np.exp(-self.log_odds(logits)))


class DataFingerprint(msgspec.Struct, frozen=True, kw_only=True):
    """Which log a bundle was trained on."""

    source: str
    sha256: str
    events: int
    customers: int
    first_event: str
    last_event: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle is, what it was trained on, and how good it was.

    Attributes
    ----------
    version
        Names the bundle in every score; made from the data's and the network's hashes.
    features_version
        `features.vector.schema_hash` at training time; a program with another one refuses the bundle.
    horizon_seconds, label_start, timezone, currency
        What the probability means, and how money and local time are read.
    timezone_database
        Where the rules of the time zone came from at training time (`features.calendar.timezone_database`); ``None`` in
        a bundle from before this was kept.
    example_types
        Event types that make examples and count in metrics.
    band_thresholds
        Lowest probability of the bands ``medium`` and ``high`` (top 20% and top 5% of the reference data).
    metrics
        By model (network, rule, logistic, lightgbm; on simulated data also best_possible).
    reference_customer
        Whom the reasons of a score compare with; ``None`` in a bundle from before there were reasons.
    bots
        The rules by which events of machines were left out of training; ``None`` in a bundle from before that was kept.
    """

    version: str
    features_version: str
    horizon_seconds: float
    label_start: LabelStart
    timezone: str
    currency: str
    example_types: list[str]
    band_thresholds: dict[Literal["medium", "high"], float]
    data: DataFingerprint
    split: dict[str, Any]
    metrics: dict[str, dict[str, Any]]
    created_at: str
    timezone_database: str | None = None
    reference_customer: ReferenceCustomer | None = None
    bots: list[BotRule] | None = None


class BundleScores(NamedTuple):
    """What a bundle says about each row of a batch."""

    segment: NDArray[np.int64]  # segment id
    logit: NDArray[np.float64]  # of the network, before calibration
    probability: NDArray[np.float64]  # calibrated
    band: NDArray[np.uint8]  # index into `BANDS`


_Part = TypeVar("_Part")


class Bundle:
    """A bundle in memory, ready to score.

    ``explainer`` is ``None`` in a bundle from before there were reasons.

    Raises
    ------
    BundleError
        A file is missing or damaged.
    SchemaMismatch
        The bundle was trained on other columns than this program's.
    """

    def __init__(
        self,
        manifest: Manifest,
        segmenter: Segmenter,
        calibration: Calibration,
        network: bytes,
        reference: Reference | None = None,
        reasons: bytes | None = None,
    ) -> None:
        self.manifest = manifest
        self.reference = reference
        self.segmenter = segmenter
        self.calibration = calibration
        if manifest.features_version != schema_hash():
            raise SchemaMismatch(
                f"the bundle was trained on features {manifest.features_version}, this program computes "
                f"{schema_hash()}: train again with `intent train`"
            )
        self._thresholds = _thresholds(manifest)
        _compare_time_zones(manifest)
        self._network = BlockedGraph(network, NETWORK, 1)
        self.explainer = None if reasons is None else self._explainer(reasons)
        #: What texts about customers name.
        self.naming = Naming(manifest.currency, tuple(one.name for one in segmenter.segments))

    @classmethod
    def load(cls, directory: str | Path, *, key: Path | None = None) -> Bundle:
        """Read a bundle from its folder, or the live one of a shelf (`features.shelf`).

        Parameters
        ----------
        key
            A public key: what it has not signed is refused, and so are the slots of a shelf.
        """
        folder = bundle_folder(directory, key)
        if not (folder / MANIFEST).is_file():
            missing = (
                f"the shelf {directory} has no bundle {folder.name}" if folder != Path(directory) else ""
            )
            raise BundleError(
                missing or f"there is no bundle in {folder}: make one with `intent train LOG -o {folder}`"
            )
        names = (MANIFEST, *_NEEDED, *(name for name in _OPTIONAL if (folder / name).is_file()))
        files = {name: _bytes(folder / name) for name in names}
        if key is not None:
            from features.signing import verify  # takes a while to be imported

            verify(folder, key, files)
        return cls(
            _parsed(MANIFEST, files[MANIFEST], Manifest),
            _parsed(SEGMENTER, files[SEGMENTER], Segmenter),
            _parsed(CALIBRATION, files[CALIBRATION], Calibration),
            files[NETWORK],
            _parsed(REFERENCE, files[REFERENCE], Reference) if REFERENCE in files else None,
            files.get(REASONS),
        )

    @classmethod
    def of_shelf(cls, shelf: Path, version: str, *, key: Path | None = None) -> Bundle:
        """Read a bundle of a shelf; see `load`."""
        found = cls.load(on_shelf(shelf, version), key=key)
        if found.manifest.version != version:
            raise BundleError(
                f"{on_shelf(shelf, version)} holds bundle {found.manifest.version}: `intent bundle add` it again"
            )
        return found

    def logits(self, vectors: Vectors) -> NDArray[np.float64]:
        """Return the network's logit of every row; the segment column must be filled."""
        return self._network.values(vectors)[:, 0]

    def _explainer(self, graph: bytes) -> Explainer:
        """Return the explainer; its effects must add up to what this network says, calibrated."""
        if self.manifest.reference_customer is None:
            raise BundleError(
                f"the bundle has {REASONS}, but its {MANIFEST} names no reference customer: train again"
            )
        explainer = Explainer(graph, self.manifest.reference_customer)
        row = explainer.reference.row
        tried = np.concatenate([row, np.zeros_like(row), row * 2.0, np.ones_like(row)])
        tried[:, SEGMENT_AT] = explainer.reference.segment
        log_odds = self.calibration.log_odds(self.logits(tried))
        missed = np.abs(explainer.effects(tried).sum(axis=1) - (log_odds - log_odds[0])).max()
        if not (missed <= TOLERANCE and abs(log_odds[0] - explainer.reference.log_odds) <= TOLERANCE):
            raise BundleError(
                f"the bundle's {REASONS} is not of its {NETWORK} and {CALIBRATION}: train again"
            )
        return explainer

    def score(self, vectors: Vectors) -> BundleScores:
        """Score every row; writes the segment to the rows' segment column."""
        segment = self.segmenter.assign(vectors)
        logit = self.logits(vectors)
        probability = self.calibration.probabilities(logit)
        return BundleScores(segment, logit, probability, self.bands(probability))

    def bands(self, probability: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Return the index into `BANDS` for every probability."""
        return np.searchsorted(self._thresholds, probability, side="right").astype(np.uint8)


def read_manifest(directory: str | Path) -> Manifest | None:
    """Return the manifest of a bundle, or of a shelf's live one; ``None`` where there is no bundle."""
    path = bundle_folder(directory) / MANIFEST
    return _parsed(MANIFEST, _bytes(path), Manifest) if path.is_file() else None


def has_bundle(directory: str | Path) -> bool:
    """Whether a folder is that of a bundle, or a shelf."""
    return is_shelf(directory) or (Path(directory) / MANIFEST).is_file()


def question_differs(one: Manifest, other: Manifest) -> str:
    """Return in words how the probabilities of two bundles mean different things; empty where they do not."""
    for name in _QUESTION:
        first, second = getattr(one, name), getattr(other, name)
        if first != second:
            return f"{name.replace('_', ' ')} is {first} and {second}"
    return ""


def save(
    directory: str | Path,
    manifest: Manifest,
    segmenter: Segmenter,
    calibration: Calibration,
    network: bytes,
    reference: Reference | None = None,
    reasons: bytes | None = None,
) -> None:
    """Write a bundle to a folder; the manifest comes last, so that a folder with a manifest is whole."""
    folder = Path(directory)
    (folder / MANIFEST).unlink(missing_ok=True)
    for name, graph in ((NETWORK, network), (REASONS, reasons)):
        if graph is None:
            (folder / name).unlink(missing_ok=True)
            continue
        with whole_file(folder / name) as partial:
            partial.write_bytes(graph)
    parts = [(SEGMENTER, segmenter), (CALIBRATION, calibration), (REFERENCE, reference), (MANIFEST, manifest)]
    for name, part in parts:
        if part is None:
            (folder / name).unlink(missing_ok=True)
            continue
        with whole_file(folder / name) as partial:
            partial.write_bytes(msgspec.json.format(msgspec.json.encode(part), indent=2) + b"\n")


def _thresholds(manifest: Manifest) -> NDArray[np.float64]:
    """Return the lowest probabilities of the bands above the lowest; raise `BundleError` where values make no sense."""
    bands = manifest.band_thresholds
    if bands.keys() != set(BANDS[1:]):
        raise BundleError(f"the bundle's {MANIFEST} has thresholds of {sorted(bands)}: train again")
    if not manifest.horizon_seconds > 0:
        raise BundleError(
            f"the bundle's {MANIFEST} has a horizon of {manifest.horizon_seconds} s: train again"
        )
    return np.array([bands["medium"], bands["high"]])


def _compare_time_zones(manifest: Manifest) -> None:
    try:
        zone(manifest.timezone)
    except IntentError as error:
        raise BundleError(f"the bundle's {MANIFEST} is damaged: {error}; train again") from None
    trained, here = manifest.timezone_database, timezone_database(manifest.timezone)
    if trained is not None and trained != here:
        logger.warning(
            "the bundle was trained with the time zone database %s, this program has %s: where the rules of %s differ, "
            "so do local times; install the same version, or train again",
            trained,
            here,
            manifest.timezone,
        )


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"the bundle's {path.name} cannot be read: {error.strerror}; train again") from None


def _parsed(name: str, content: bytes, kind: type[_Part]) -> _Part:
    try:
        return decoded(msgspec.json.Decoder(kind).decode, content)
    except Undecodable as error:
        raise BundleError(f"the bundle's {name} is damaged: {error}; train again") from None
