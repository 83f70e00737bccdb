"""Training of a network on a table: steps in one compiled loop per epoch, early stopping, curves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_PREDICTED: Final = 16_384
_WARM_UP: Final = 0.05  # share of the steps in which the learning rate rises
_FLOOR: Final = 1e-7
_LEAST_EPOCHS: Final = 5
_FORGOTTEN: Final = 0.02  # share of categories that a step takes for unknown
_HALF: Final = 0.5


@dataclass(frozen=True)
class Training:
    """How a network is trained.

    Attributes
    ----------
    epochs
        Passes over the training rows at most; the learning rate falls to 0 on a cosine over them.
    patience
        Epochs without a better log-loss on the validation rows after which training ends; the best epoch's weights
        are kept. 0: all epochs are trained, and the last weights are kept.
    batch
        Rows per step.
    most_steps
        Steps at most: with many rows there are fewer epochs, but at least five.
    learning_rate, weight_decay
        Of AdamW (Loshchilov and Hutter 2019).
    """

    epochs: int = 40
    patience: int = 10
    batch: int = 256
    most_steps: int = 1500
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2

    def fitted_to(self, rows: int) -> Training:
        """Return the training for a number of rows: no batch larger than them, no more steps than there may be.

        Examples
        --------
        >>> Training(epochs=40, batch=512, most_steps=1500).fitted_to(76_800).epochs
        10
        """
        batch = min(self.batch, rows)
        epochs = max(_LEAST_EPOCHS, self.most_steps // (rows // batch))
        return replace(self, batch=batch, epochs=min(self.epochs, epochs))


class Rows(NamedTuple):
    """Rows for a network: numbers, codes and what happened."""

    numbers: Floats
    codes: NDArray[np.int32]
    target: Floats

    def take(self, rows: NDArray[np.intp]) -> Rows:
        """Return some rows."""
        return Rows(self.numbers[rows], self.codes[rows], self.target[rows])


@dataclass
class Curve:
    """Log-loss and accuracy after every epoch, on training and validation rows, and the epoch that was kept."""

    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    best: int = 0


class Trainer:
    """Trains one model again and again from new weights, so that it is compiled once.

    Parameters
    ----------
    model
        From `offline.lab.networks.architectures.build`.
    """

    def __init__(self, model: Any, training: Training, steps: int) -> None:
        from offline.training.network import tensorflow

        tf = tensorflow()
        import keras

        self.model, self.training = model, training
        total = steps * training.epochs
        warm = int(_WARM_UP * total)
        schedule = keras.optimizers.schedules.CosineDecay(
            0.0, max(1, total - warm), warmup_target=training.learning_rate, warmup_steps=warm
        )
        self.optimizer = keras.optimizers.AdamW(schedule, weight_decay=training.weight_decay)
        no_decay = [v.path for v in model.trainable_variables if v.path.endswith(("bias", "into", "out"))]
        self.optimizer.exclude_from_weight_decay(var_names=no_decay)
        self.optimizer.build(model.trainable_variables)
        self._clean = [np.zeros_like(v.numpy()) for v in self.optimizer.variables]
        self._rate_at = [i for i, v in enumerate(self.optimizer.variables) if "learning_rate" in v.path]

        def loss_of(numbers: Any, codes: Any, target: Any) -> tuple[Any, Any]:
            # Code 0 stands for what was never seen; without this it would keep the weights it was drawn with.
            known = tf.random.uniform(tf.shape(codes)) >= _FORGOTTEN
            codes = codes * tf.cast(known, tf.int32)
            logits = model([numbers, codes], training=True)
            truth = tf.broadcast_to(target[:, None], tf.shape(logits))
            # Each member learns on its own: the mean of their losses, not the loss of their mean.
            losses = tf.nn.sigmoid_cross_entropy_with_logits(truth, logits)
            right = tf.cast((tf.reduce_mean(logits, axis=1) > 0) == (target > _HALF), tf.float32)
            return tf.reduce_mean(losses), tf.reduce_mean(right)

        @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
        def epoch(numbers: Any, codes: Any, target: Any, batches: Any) -> Any:
            sums = tf.zeros(2)
            for rows in batches:
                with tf.GradientTape() as tape:
                    loss, right = loss_of(
                        tf.gather(numbers, rows), tf.gather(codes, rows), tf.gather(target, rows)
                    )
                gradients = tape.gradient(loss, model.trainable_variables)
                self.optimizer.apply(gradients, model.trainable_variables)
                sums += tf.stack([loss, right])
            return sums / tf.cast(tf.shape(batches)[0], tf.float32)

        @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
        def predict(numbers: Any, codes: Any) -> Any:
            return tf.reduce_mean(tf.sigmoid(model([numbers, codes], training=False)), axis=1)

        self._epoch, self._predict = epoch, predict

    def fit(
        self,
        weights: list[Floats],
        train: Rows,
        validation: Rows | None,
        seed: int,
        on_epoch: Callable[[int], None] | None = None,
    ) -> tuple[list[Floats], Curve]:
        """Train from some weights and return those of the best epoch, and the curve.

        Without validation rows or patience, all epochs are trained and the last weights are returned.
        """
        import tensorflow as tf

        self.model.set_weights(weights)
        for at, (variable, clean) in enumerate(zip(self.optimizer.variables, self._clean, strict=True)):
            if at not in self._rate_at:
                variable.assign(clean)
        batch = min(self.training.batch, len(train.target))
        steps = len(train.target) // batch
        rng = np.random.default_rng(seed)
        data = [tf.constant(part) for part in train]
        stops = validation is not None and self.training.patience > 0
        curve, best, kept = Curve(), np.inf, self.model.get_weights()
        for epoch in range(self.training.epochs):
            order = rng.permutation(len(train.target))[: steps * batch].astype(np.int32)
            loss, accuracy = self._epoch(*data, tf.constant(order.reshape(steps, batch))).numpy()
            curve.loss.append(float(loss))
            curve.accuracy.append(float(accuracy))
            if validation is not None:
                predicted = self.predict(validation)
                now = _log_loss(validation.target, predicted)
                curve.validation_loss.append(now)
                curve.validation_accuracy.append(
                    float(np.mean((predicted > _HALF) == (validation.target > _HALF)))
                )
                if now < best:
                    best, curve.best, kept = now, epoch, self.model.get_weights()
            if on_epoch is not None:
                on_epoch(epoch + 1)
            if stops and epoch - curve.best >= self.training.patience:
                break
        if not stops:
            curve.best, kept = len(curve.loss) - 1, self.model.get_weights()
        return kept, curve

    def predict(self, rows: Rows, weights: list[Floats] | None = None) -> NDArray[np.float64]:
        """Return the mean probability of the members."""
        if weights is not None:
            self.model.set_weights(weights)
        pieces = range(0, len(rows.target), _PREDICTED)
        parts = [
            self._predict(rows.numbers[at : at + _PREDICTED], rows.codes[at : at + _PREDICTED]).numpy()
            for at in pieces
        ]
        return np.concatenate(parts).astype(np.float64) if parts else np.zeros(0)


def _log_loss(target: Floats, predicted: NDArray[np.float64]) -> float:
    p = np.clip(predicted, _FLOOR, 1 - _FLOOR)
    return float(-np.mean(np.where(target > _HALF, np.log(p), np.log(1 - p))))
