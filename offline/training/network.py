"""The network: a multilayer perceptron on standardised columns, trained with Keras, exported to ONNX.

Transforms (logarithm, standardisation, clipping; `offline.training.scaling`) are inside the exported network, so the
stream feeds it plain vectors. Besides the label the hidden layers also learn side targets
(`offline.training.side_targets`), what else happens within the horizon: they hold far more information per example than
the rare label does, and they are cut off before the export [Caruana 1997, doi 10.1023/A:1007379606734].

TensorFlow is imported inside functions only: it costs seconds and 600 MB, and serving doesn't need it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.onnx_runtime import ort
from features.vector import WIDTH, Vectors
from offline.exceptions import MissingExtra, TrainingError
from offline.training.interrupts import interrupts_kept
from offline.training.scaling import CLIP, LARGEST, ON_LOG_SCALE, Scaling

#: Largest difference between Keras's and ONNX Runtime's logits that an export may show.
PARITY: Final = 1e-4

# Batches given to TensorFlow at once: amortises the call, bounds the copy (about 20 MB).
_BLOCK_BATCHES: Final = 64
_PREDICTED: Final = 50_000
_WARM_UP: Final = 0.05  # share of the steps in which the learning rate rises
_OPSET: Final = 17


class NetworkSettings(NamedTuple):
    """Architecture and training of the network.

    Attributes
    ----------
    hidden
        Units of the hidden layers.
    epochs
        Passes over the data; the learning rate falls to 0 on a cosine over them.
    batch
        Examples per step.
    l2
        Penalty on half the squared weights of the hidden layers, in the loss: decay that doesn't shrink with the
        learning rate.
    side_weight
        Weight of each side target's loss beside the label's, which has 1.
    """

    hidden: tuple[int, ...] = (128, 64)
    activation: str = "silu"
    epochs: float = 4.0
    batch: int = 1024
    learning_rate: float = 3e-3
    l2: float = 2e-4
    side_weight: float = 2.0
    seed: int = 0


class Network:
    """A trained network: the Keras model on standardised columns, one logit, and the scaling before it."""

    def __init__(self, core: Any, scaling: Scaling) -> None:
        self._core = core
        self.scaling = scaling

    def logits(self, vectors: Vectors) -> NDArray[np.float64]:
        """Return the logit of every row of vectors."""
        pieces = range(0, len(vectors), _PREDICTED)
        parts = [
            self.scaled_logits(self.scaling.apply(vectors[start : start + _PREDICTED])) for start in pieces
        ]
        return np.concatenate(parts) if parts else np.zeros(0)

    def scaled_logits(self, scaled: Vectors) -> NDArray[np.float64]:
        """Return the logit of every row of standardised columns."""
        pieces = range(0, len(scaled), _PREDICTED)
        parts = [
            self._core(scaled[start : start + _PREDICTED], training=False).numpy()[:, 0] for start in pieces
        ]
        return np.concatenate(parts).astype(np.float64) if parts else np.zeros(0)

    def stacks(self) -> list[tuple[list[tuple[NDArray[np.float32], NDArray[np.float32]]], str]]:
        """Return weights and biases by layer, and the hidden layers' activation, of each network in the mean."""
        found = []
        members = [layer for layer in self._core.layers if hasattr(layer, "layers")] or [self._core]
        for member in members:
            dense = [layer for layer in member.layers if hasattr(layer, "kernel")]
            layers = [(layer.kernel.numpy(), layer.bias.numpy()) for layer in dense]
            found.append((layers, dense[0].activation.__name__ if len(dense) > 1 else "relu"))
        return found

    def to_onnx(self) -> bytes:
        """Return network and transforms as ONNX: float32 ``(rows, WIDTH)`` to logits ``(rows, 1)``."""
        tf, keras = tensorflow(), _keras()
        ops = keras.ops
        inputs = keras.Input((WIDTH,), dtype="float32", name="vectors")
        bounded = ops.clip(
            inputs, -LARGEST, LARGEST
        )  # `where` is exported as products: infinity would be NaN
        logs = ops.log(1.0 + ops.maximum(bounded, 0.0))  # log1p has no ONNX operator
        scaled = (ops.where(ON_LOG_SCALE, logs, bounded) - self.scaling.center) / self.scaling.scale
        model = keras.Model(inputs, self._core(ops.clip(scaled, -CLIP, CLIP)), name="purchase_intent")
        model(tf.zeros((1, WIDTH)))  # a model that was never called exports no signature
        with tempfile.TemporaryDirectory() as folder, _quiet(), interrupts_kept():
            path = Path(folder) / "network.onnx"
            model.export(str(path), format="onnx", verbose=False, opset_version=_OPSET)
            return _renamed(path.read_bytes())


def fit_network(
    scaled: Vectors,
    targets: NDArray[np.uint8],
    scaling: Scaling,
    settings: NetworkSettings = NetworkSettings(),  # noqa: B008  (immutable)
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> Network:
    """Train a network; equal arguments give equal weights.

    Parameters
    ----------
    scaled
        Standardised columns (`Scaling.apply`), shape ``(examples, WIDTH)``.
    targets
        The label in the first column, side targets in the others, 0 or 1, shape ``(examples, 1 + side
        targets)``.
    on_progress
        Called with steps done and in all.
    """
    tf, keras = tensorflow(), _keras()
    keras.utils.set_random_seed(settings.seed)
    core, heads = _layers(keras, settings, targets)
    batch = min(settings.batch, len(scaled))
    steps = max(int(len(scaled) * settings.epochs / batch), 1)
    warm_up = max(int(steps * _WARM_UP), 1)
    rate = keras.optimizers.schedules.CosineDecay(
        settings.learning_rate / warm_up,
        max(steps - warm_up, 1),
        warmup_target=settings.learning_rate,
        warmup_steps=warm_up,
    )
    optimizer = keras.optimizers.Adam(rate)
    variables = heads.trainable_variables
    optimizer.build(variables)
    weights = tf.constant([1.0] + [settings.side_weight] * (targets.shape[1] - 1))

    @tf.function  # type: ignore[misc, unused-ignore, untyped-decorator]
    def train(rows: Any, wanted: Any, count: Any) -> None:
        for i in tf.range(count):
            x, y = rows[i * batch : (i + 1) * batch], wanted[i * batch : (i + 1) * batch]
            with tf.GradientTape() as tape:
                losses = tf.nn.sigmoid_cross_entropy_with_logits(
                    labels=tf.cast(y, tf.float32), logits=heads(x, training=True)
                )
                loss = tf.reduce_sum(tf.reduce_mean(losses, 0) * weights) + tf.add_n(heads.losses)
            optimizer.apply(tape.gradient(loss, variables), variables)

    done = 0
    for rows in _blocks(len(scaled), batch, steps, settings.seed):
        with interrupts_kept():
            train(tf.constant(scaled[rows]), tf.constant(targets[rows]), tf.constant(len(rows) // batch))
        done += len(rows) // batch
        if on_progress is not None:
            on_progress(done, steps)
    return Network(core, scaling)


def averaged(members: Sequence[Network]) -> Network:
    """Return one network whose logit is the mean of those of networks with the same scaling."""
    keras = _keras()
    inputs = keras.Input((WIDTH,), dtype="float32")
    logits = [member._core(inputs) for member in members]
    return Network(keras.Model(inputs, keras.layers.Average()(logits)), members[0].scaling)


def export(network: Network, sample: Vectors) -> bytes:
    """Return the network as ONNX, having compared it with Keras on a sample of vectors.

    Raises
    ------
    TrainingError
        The exported network answers differently.
    """
    exported = network.to_onnx()
    session = ort.InferenceSession(exported, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {session.get_inputs()[0].name: sample})
    worst = float(np.abs(logits[:, 0] - network.logits(sample)).max(initial=0.0))
    if not worst <= PARITY:
        raise TrainingError(
            f"the exported network differs from Keras by {worst:.2g} on the logit (at most {PARITY:g}): "
            "train with the versions in constraints.txt"
        )
    return exported


def _renamed(exported: bytes) -> bytes:
    """Return the same graph with names that don't depend on what else this process has built."""
    import onnx

    model = onnx.load_from_string(exported)
    graph = model.graph
    names = {"": "", graph.input[0].name: "vectors", graph.output[0].name: "logits"}
    for (
        node
    ) in graph.node:  # in the order of their use: the converter sorts constants by names that count layers
        for name in (*node.input, *node.output):
            names.setdefault(name, f"t{len(names)}")
    used = {name: at for at, name in enumerate(names)}
    constants = sorted((one for one in graph.initializer if one.name in used), key=lambda one: used[one.name])
    del graph.initializer[:]
    graph.initializer.extend(constants)
    for number, node in enumerate(graph.node):
        node.name = f"n{number}"
        node.input[:] = [names[name] for name in node.input]
        node.output[:] = [names[name] for name in node.output]
    for value in (*graph.initializer, *graph.input, *graph.output):
        value.name = names[value.name]
    for value in (graph.input[0], graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_param = "rows"
    del graph.value_info[:]
    graph.name, graph.doc_string = "purchase_intent", ""
    return bytes(model.SerializeToString(deterministic=True))


def _layers(keras: Any, settings: NetworkSettings, targets: NDArray[np.uint8]) -> tuple[Any, Any]:
    """Return the network with one logit and, sharing all layers, the one with a logit per target."""
    inputs = keras.Input((WIDTH,), dtype="float32")
    hidden = inputs
    for units in settings.hidden:
        penalty = keras.regularizers.L2(settings.l2 / 2)
        hidden = keras.layers.Dense(units, settings.activation, kernel_regularizer=penalty)(hidden)
    rates = np.clip(targets.mean(axis=0, dtype=np.float64), 1e-4, 1 - 1e-4)
    start = np.log(rates / (1 - rates))  # each head begins at its target's prevalence
    logit = keras.layers.Dense(1, bias_initializer=keras.initializers.Constant(start[0]))(hidden)
    core = keras.Model(inputs, logit)
    if len(start) == 1:
        return core, core
    side = keras.layers.Dense(len(start) - 1)
    both = keras.layers.Concatenate()([logit, side(hidden)])
    side.bias.assign(start[1:])
    return core, keras.Model(inputs, both)


def _blocks(examples: int, batch: int, steps: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yield rows in random order without replacement, a whole number of batches at a time, ``steps`` in all."""
    rng = np.random.default_rng(seed)
    whole = examples // batch * batch
    while steps > 0:
        order = rng.permutation(examples)[:whole]
        for start in range(0, whole, batch * _BLOCK_BATCHES):
            rows = order[start : start + batch * _BLOCK_BATCHES][: steps * batch]
            if not len(rows):
                return
            steps -= len(rows) // batch
            yield rows


def tensorflow() -> Any:
    """Return the module `tensorflow`, imported without its chatter.

    Raises
    ------
    MissingExtra
        It is not installed.
    """
    if (imported := sys.modules.get("tensorflow")) is not None:
        return imported
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    try:
        with _quiet():
            import tensorflow as tf
            import tf2onnx  # noqa: F401  (its absence should be noticed before the training, not after it)
    except ImportError as error:
        raise MissingExtra("TensorFlow" if "tensorflow" in str(error) else str(error.name)) from None
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    tf.get_logger().setLevel(logging.ERROR)
    return tf


def restart_layer_names() -> None:
    """Have Keras number its layers from the beginning: their names stand in the exported network.

    Raises
    ------
    MissingExtra
        TensorFlow is not installed.
    """
    _keras().utils.clear_session()


def _keras() -> Any:
    tensorflow()
    import keras

    return keras


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what native libraries write to standard error off the screen, unless the block fails."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as kept, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        screen = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException as error:
            if not isinstance(error, ImportError):
                kept.seek(0)
                os.write(screen, kept.read())
            raise
        finally:
            os.dup2(screen, 2)
            os.close(screen)
