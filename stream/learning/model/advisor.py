"""What scorers ask: the online model's score and the published probability, from one snapshot.

An advisor never changes; `stream.learning.newest_advisor` replaces a scorer's advisor when a newer snapshot is there.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from features.bundle import Bundle
from features.vector import Vectors
from stream.learning.model.effects import blend_effects
from stream.learning.model.history import Version, predict
from stream.learning.model.inputs import Inputs
from stream.learning.model.linear import LinearPredictor
from stream.learning.model.snapshot import Snapshot, SnapshotError, snapshot_errors

# No number of a version comes near this, and sums of products of such stay finite.
_LARGEST: Final = 1e100
_LEAST_SCALE: Final = 1e-300  # one over it is a number
_TOLERANCE: Final = 1e-6


class Advice(NamedTuple):
    """What online learning says about each row; probabilities."""

    online: NDArray[np.float64]
    probability: NDArray[np.float64]  # published: blended and calibrated


class Advisor:
    """The newest version of one snapshot; immutable.

    Attributes
    ----------
    version
        Number of mini-batches learned; 0 = the network decides alone.
    """

    def __init__(self, bundle: Bundle, version: int, knows: Version) -> None:
        self.version = version
        self._inputs = Inputs(bundle)
        self._knows = knows
        self._reference: NDArray[np.float64] | None = None
        if bundle.explainer is not None:
            customer = bundle.explainer.reference
            logit = bundle.logits(customer.row)
            self._reference = self._inputs.rows(customer.row, logit, np.array([customer.segment]))[0]

    @classmethod
    def of(cls, snapshot: Snapshot, bundle: Bundle) -> Self:
        """Return the advisor of a snapshot (or of `scorer_part` of one).

        Raises
        ------
        SnapshotError
            The snapshot was learned for another bundle, or is damaged.
        """
        check_bundle(snapshot, bundle)
        with snapshot_errors():
            version = version_of(snapshot)
            _check(version, len(Inputs(bundle).names))
            return cls(bundle, snapshot.version, version)

    def advise(self, vectors: Vectors, logit: NDArray[np.float64], segment: NDArray[np.int64]) -> Advice:
        """Return the advice on every row, which depends on the row alone, to the bit.

        Parameters
        ----------
        vectors
            Model input, segment column filled.
        logit
            Of the network, before calibration.
        segment
            Segment ids.
        """
        said = predict(self._knows, self._inputs.rows(vectors, logit, segment))
        return Advice(said.online, said.published)

    def effects(
        self,
        vectors: Vectors,
        logit: NDArray[np.float64],
        segment: NDArray[np.int64],
        network: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Return the effect of every column on the published log-odds, compared with the reference customer's.

        Parameters
        ----------
        vectors, logit, segment
            As `advise` takes them.
        network
            The columns' effects on the network's calibrated logit (`features.explainer`).
        """
        assert self._reference is not None  # a bundle without an explainer has no effects to carry on
        rows = self._inputs.rows(vectors, logit, segment)
        return blend_effects(self._knows, rows, self._reference, network)


def version_arrays(version: Version) -> dict[str, NDArray[np.float64]]:
    """Return the arrays that `version_of` reads."""
    models = version.predictors
    return {
        "now/center": np.array([m.center for m in models]),
        "now/scale": np.array([m.scale for m in models]),
        "now/weights": np.array([m.weights for m in models]),
        "now/intercept": np.array([m.intercept for m in models]),
        "now/offset": np.array([m.offset for m in models]),
        "now/blend": version.blend.copy(),
        "now/line": np.array(version.line),
    }


def version_of(snapshot: Snapshot) -> Version:
    """Return the newest version in a snapshot."""
    now = snapshot.under("now")
    predictors = tuple(
        LinearPredictor(center, scale, weights, float(intercept), float(offset))
        for center, scale, weights, intercept, offset in zip(
            now["center"], now["scale"], now["weights"], now["intercept"], now["offset"], strict=True
        )
    )
    return Version(predictors, now["blend"], (float(now["line"][0]), float(now["line"][1])))


def _check(version: Version, inputs: int) -> None:
    """Raise `ValueError` unless what a version says of whatever rows are probabilities."""
    arrays = version_arrays(version)
    for name in ("center", "scale", "weights"):
        shape, wanted = arrays[f"now/{name}"].shape, (len(version.predictors), inputs)
        if shape != wanted:
            raise ValueError(f"{name} of shape {shape}, where {wanted} is needed")
    for name, array in arrays.items():
        if not (np.abs(array) < _LARGEST).all():  # nor is NaN
            raise ValueError(f"{name} holds what no learner writes")
    shares = version.blend
    if not (
        (arrays["now/scale"] > _LEAST_SCALE).all()
        and (shares >= 0).all()
        and abs(shares.sum() - 1.0) < _TOLERANCE
    ):
        raise ValueError("a scale of 0, or shares of the blend that are none")
    if shares.shape != (1 + len(version.predictors),):
        raise ValueError(f"{len(shares)} shares for {len(version.predictors)} models and the network")


def scorer_part(snapshot: Snapshot) -> Snapshot:
    """Return the few kilobytes of a snapshot that scorers need."""
    arrays = {name: array for name, array in snapshot.arrays.items() if name.startswith("now/")}
    meta = {name: snapshot.meta[name] for name in ("version", "bundle", "as_of")}
    return Snapshot(arrays, meta)


def check_bundle(snapshot: Snapshot, bundle: Bundle) -> None:
    """Raise `SnapshotError` unless the snapshot was learned for this bundle."""
    if snapshot.meta.get("bundle") != bundle.manifest.version:
        raise SnapshotError(
            f"the snapshot was learned for bundle {snapshot.meta.get('bundle')}, this is "
            f"{bundle.manifest.version}: start the learner with this bundle"
        )
