"""The learner's core: judge what had been published, count, learn."""

from __future__ import annotations

from typing import Any, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.bundle import BANDS, Bundle
from stream.learning.judging.drift import SLOTS_A_HORIZON, LossDrift, PopulationDrift, excess_loss
from stream.learning.judging.prequential import Quality
from stream.learning.judging.rivals import Rivals
from stream.learning.model.advisor import check_bundle, version_arrays
from stream.learning.model.blending import FixedShare
from stream.learning.model.history import History, PublishedHistory, Version
from stream.learning.model.inputs import Inputs
from stream.learning.model.newton import UNTRUSTED
from stream.learning.model.online import online_models
from stream.learning.model.recalibration import Recalibration
from stream.learning.model.settings import LearningSettings
from stream.learning.model.snapshot import Snapshot, SnapshotError
from stream.learning.records.examples import Examples
from stream.messages.alert import Alert, Drifted


class OnlineLearner:
    """Learns from labelled mini-batches; everything in it depends on their contents and order alone.

    Parameters
    ----------
    bundle
        Whose network is the starting point.
    settings
        How to learn.

    Attributes
    ----------
    version
        Mini-batches learned.
    quality
        Prequential figures.
    rivals
        Those of bundles that score beside this one.
    published_history
        What had been published about the last mini-batch.
    """

    def __init__(self, bundle: Bundle, settings: LearningSettings) -> None:
        self.bundle = bundle
        self.settings = settings
        self.version = 0
        self.published_history: PublishedHistory | None = None
        self._horizon_ms = round(bundle.manifest.horizon_seconds * 1000)
        self._as_of: int | None = None
        self._inputs = Inputs(bundle)
        self._models = online_models(settings, self._inputs.names)
        self._blend = FixedShare(
            np.array([0.5] + [0.5 / len(self._models)] * len(self._models)),
            rate=settings.blend_rate,
            share_rate=settings.share_rate,
            start=np.array([1.0] + [0.0] * len(self._models)),
        )
        self._recalibration = Recalibration(
            settings.recalibration_half_life, settings.recalibration_deviation
        )
        thresholds = bundle.manifest.band_thresholds
        self._thresholds = np.array([thresholds["medium"], thresholds["high"]])
        self.quality = Quality(
            segments=len(bundle.segmenter.segments),
            bands=len(BANDS),
            horizon_ms=self._horizon_ms,
            windows=settings.windows,
        )
        self.rivals = Rivals()
        self._loss_drift = LossDrift(max(self._horizon_ms // SLOTS_A_HORIZON, 1))
        self.population = PopulationDrift(
            bundle.reference,
            block_ms=self._horizon_ms * settings.windows,
            threshold=settings.psi_threshold,
        )
        delay_ms = self._horizon_ms + round(settings.lateness_seconds * 1000)
        self._history = History(self._now(), delay_ms)

    def learn(
        self, examples: Examples, labels: NDArray[np.uint8], customers: NDArray[np.uint64] | None = None
    ) -> list[Alert]:
        """Judge what had been published about a mini-batch, then learn from it.

        Parameters
        ----------
        examples
            One mini-batch, in order of release.
        labels
            1 where the customer bought within the horizon, 0 where not.
        customers
            Whose examples they are (a hash each): what bundles beside said is judged by customer, or not at all.

        Returns
        -------
        list of Alert
            Drift episodes that begin here.
        """
        if len(examples) == 0:
            return []
        rows = self._inputs.rows(examples.vectors, examples.logit, examples.segment)
        weights = examples.weight.astype(np.float64)
        weights[~(np.isfinite(weights) & (weights > 0))] = 0.0
        weights = np.minimum(weights, UNTRUSTED)
        self._history.drop_before(int(examples.as_of[0]))
        self.published_history = history = self._history.predict(rows, examples.as_of)

        losses = self._count(examples, labels, weights, history)
        if customers is not None:
            for version, said in examples.beside.items():
                published = np.column_stack([history.network, history.published])
                self.rivals.count(version, examples.as_of, customers, labels, weights, published, said)
        alerts = self._watch(examples, weights, losses, history)

        elapsed = self._elapsed(int(examples.as_of[-1]))
        self._blend.update(_summed_losses(history, labels, weights), elapsed)
        self._recalibration.update(np.log(history.blend / (1.0 - history.blend)), labels, weights, elapsed)
        for model in self._models:
            if self._loss_drift.changed:
                model.forget(self.settings.kept_at_drift)
            model.learn_many(rows, labels, weights, elapsed)
        self.version += 1
        self._history.add(self._now(), int(examples.as_of[-1]))
        return alerts

    def snapshot(self) -> Snapshot:
        """Return everything: to go on from, and for scorers (`stream.learning.model.advisor`)."""
        arrays = dict(version_arrays(self._now()))
        for name, part in self._parts().items():
            arrays |= {f"{name}/{key}": array for key, array in part.arrays().items()}
        arrays["blend/weights"] = self._blend.weights
        return Snapshot(
            {name: array.copy() for name, array in arrays.items()},
            {
                "version": self.version,
                "as_of": self._as_of,
                "bundle": self.bundle.manifest.version,
                "settings": msgspec.to_builtins(self.settings),
            },
        )

    @classmethod
    def restore(cls, bundle: Bundle, settings: LearningSettings, snapshot: Snapshot) -> Self:
        """Return the learner that a snapshot was taken of; it continues as that one would have, to the bit.

        Raises
        ------
        SnapshotError
            The snapshot was learned for another bundle or with other settings.
        """
        check_bundle(snapshot, bundle)
        learned = msgspec.convert(snapshot.meta["settings"], LearningSettings)
        if learned != settings:
            raise SnapshotError(
                f"the snapshot was learned with {learned}, the settings are {settings}: set them back, or run "
                "`intent learner --start-over`"
            )
        learner = cls(bundle, settings)
        learner.version, learner._as_of = snapshot.version, snapshot.meta["as_of"]
        for name, part in learner._parts().items():
            part.set_arrays(snapshot.under(name))
        learner._blend.weights = snapshot.arrays["blend/weights"].copy()
        return learner

    def _parts(self) -> dict[str, Any]:
        parts = {f"model{at}": model for at, model in enumerate(self._models)}
        return parts | {
            "recalibration": self._recalibration,
            "history": self._history,
            "quality": self.quality,
            "loss_drift": self._loss_drift,
            "population": self.population,
            "rivals": self.rivals,
        }

    def _now(self) -> Version:
        return Version(
            tuple(model.predictor for model in self._models), self._blend.weights, self._recalibration.line
        )

    def _elapsed(self, as_of: int) -> float:
        """Return the horizons since the last mini-batch."""
        before = as_of if self._as_of is None else self._as_of
        self._as_of = max(as_of, before)
        return max(as_of - before, 0) / self._horizon_ms

    def _count(
        self,
        examples: Examples,
        labels: NDArray[np.uint8],
        weights: NDArray[np.float64],
        history: PublishedHistory,
    ) -> NDArray[np.float64]:
        band = np.searchsorted(self._thresholds, history.published, side="right").astype(np.uint8)
        judged = np.column_stack([history.network, history.online, history.published])
        return self.quality.count(examples.as_of, examples.segment, band, labels, weights, judged)

    def _watch(
        self,
        examples: Examples,
        weights: NDArray[np.float64],
        losses: NDArray[np.float64],
        history: PublishedHistory,
    ) -> list[Alert]:
        excess = excess_loss(losses[:, 0], history.network)
        as_of = examples.as_of
        found: list[tuple[Any, int, list[Drifted]]] = [
            ("log_loss", since, [Drifted("network_log_loss", rise)])
            for since, rise in self._loss_drift.update(as_of, excess, weights)
        ]
        found += [
            ("population", since, drifted)
            for since, drifted in self.population.update(as_of, examples.vectors, weights)
        ]
        return [
            Alert(
                kind=kind,
                since=since,
                as_of=int(as_of[-1]),
                drifted=drifted,
                bundle=self.bundle.manifest.version,
            )
            for kind, since, drifted in found
        ]


def _summed_losses(
    history: PublishedHistory, labels: NDArray[np.uint8], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the summed log-loss of the network and of each model."""
    parts = np.column_stack([history.network, history.models])
    right = np.where(labels[:, None] > 0, parts, 1.0 - parts)
    return np.asarray(-(weights[:, None] * np.log(np.maximum(right, 1e-12))).sum(axis=0))
