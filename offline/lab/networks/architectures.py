"""Architectures of networks on tables, as Keras models from numbers and codes to logits of members.

Every model takes numbers, shape (rows, numbers), and codes, shape (rows, categories), and returns logits, shape
(rows, members). Keras is imported inside functions only.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Body = Literal["plain", "residual"]
Embedding = Literal["none", "piecewise", "periodic"]


@dataclass(frozen=True)
class Architecture:
    """What a network looks like.

    Attributes
    ----------
    body
        "plain": dense layers; "residual": each hidden layer adds to what came before (He et al. 2016).
    hidden
        Units of the hidden layers; a residual body has all as wide as the first.
    activation
        Of the hidden layers, by Keras's name.
    embedding
        How a number enters: itself ("none"), its position among quantiles ("piecewise"), or sines and cosines of
        learned frequencies ("periodic"), the last two followed by a dense layer of its own (Gorishniy et al. 2022,
        arXiv 2203.05556).
    embedded
        Width of a number's embedding.
    members
        Networks that share their weights and differ by the scales of each layer's inputs and outputs, and by their
        heads (BatchEnsemble: Wen et al. 2020, arXiv 2002.06715; TabM: Gorishniy et al. 2024, arXiv 2410.24210).
        1 is an ordinary network.
    dropout
        Share of the hidden units that a step leaves out.
    batch_norm
        Whether hidden layers are normalised by batch.
    """

    body: Body = "plain"
    hidden: tuple[int, ...] = (128, 128)
    activation: str = "relu"
    embedding: Embedding = "none"
    embedded: int = 8
    members: int = 1
    dropout: float = 0.1
    batch_norm: bool = False


def build(
    architecture: Architecture,
    numbers: int,
    categories: Sequence[int],
    bins: NDArray[np.float32],
    seed: int,
) -> Any:
    """Return an untrained Keras model.

    Parameters
    ----------
    numbers
        How many numbers a row has.
    categories
        How many codes each category has.
    bins
        Edges of the bins of every number, shape (numbers, edges); only for piecewise embeddings.
    seed
        Of the weights and of dropout.
    """
    from offline.training.network import tensorflow

    tensorflow()
    import keras

    keras.utils.set_random_seed(seed)
    layers = _layers()
    values = keras.Input((numbers,), name="numbers")
    codes = keras.Input((len(categories),), dtype="int32", name="codes")
    parts = []
    if numbers:
        parts.append(_embedded(values, architecture, numbers, bins, layers))
    for at, count in enumerate(categories):
        size = int(min(16, round(1.6 * count**0.56)))
        parts.append(keras.layers.Embedding(count, size, embeddings_initializer="he_uniform")(codes[:, at]))
    x = keras.layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
    if architecture.members > 1:
        x = keras.layers.RepeatVector(architecture.members)(x)
    x = _body(x, architecture, layers)
    if architecture.members > 1:
        logits = layers["Heads"](architecture.members)(x)
    else:
        logits = keras.layers.Dense(1, kernel_initializer="glorot_uniform")(x)
    return keras.Model([values, codes], logits)


def _embedded(
    values: Any, architecture: Architecture, numbers: int, bins: NDArray[np.float32], layers: dict[str, Any]
) -> Any:
    import keras

    if architecture.embedding == "none":
        return values
    if architecture.embedding == "piecewise":
        encoded = layers["Piecewise"](bins)(values)
    else:
        encoded = layers["Periodic"](numbers)(values)
    per_number = keras.layers.EinsumDense(
        "bne,nef->bnf", (numbers, architecture.embedded), bias_axes="nf", activation="relu"
    )(encoded)
    return keras.layers.Concatenate()([values, keras.layers.Flatten()(per_number)])


def _body(x: Any, architecture: Architecture, layers: dict[str, Any]) -> Any:
    import keras

    def hidden(x: Any, units: int, *, first: bool) -> Any:
        if architecture.members > 1:
            x = layers["SharedDense"](units, first)(x)
        else:
            x = keras.layers.Dense(units, kernel_initializer="he_normal")(x)
        if architecture.batch_norm:
            x = keras.layers.BatchNormalization(momentum=0.9)(x)
        x = keras.layers.Activation(architecture.activation)(x)
        return keras.layers.Dropout(architecture.dropout)(x) if architecture.dropout else x

    residual = architecture.body == "residual"
    for at, units in enumerate(architecture.hidden):
        if residual and at > 0:
            x = keras.layers.Add()([x, hidden(x, architecture.hidden[0], first=False)])
        else:
            x = hidden(x, units, first=at == 0)
    return x


@functools.cache
def _layers() -> dict[str, Any]:
    """Return the layers that Keras lacks; their classes need Keras, so they are made when first used."""
    import keras
    from keras import ops

    class SharedDense(keras.layers.Layer):
        """A dense layer for all members, with scales of inputs and outputs and a bias for each."""

        def __init__(self, units: int, first: bool) -> None:
            super().__init__()
            self.units, self.first = units, first

        def build(self, shape: tuple[int, ...]) -> None:
            _, members, width = shape
            # The first layer's signs make members see different inputs; later ones begin alike.
            sign = _signs if self.first else "ones"
            self.kernel = self.add_weight((width, self.units), "he_normal", name="kernel")
            self.into = self.add_weight((members, width), sign, name="into")
            self.out = self.add_weight((members, self.units), "ones", name="out")
            self.bias = self.add_weight((members, self.units), "zeros", name="bias")

        def call(self, x: Any) -> Any:
            return ops.matmul(x * self.into, self.kernel) * self.out + self.bias

    class Heads(keras.layers.Layer):
        """One linear head for each member: (rows, members, units) to (rows, members)."""

        def __init__(self, members: int) -> None:
            super().__init__()
            self.members = members

        def build(self, shape: tuple[int, ...]) -> None:
            self.kernel = self.add_weight((self.members, shape[-1]), "glorot_uniform", name="kernel")
            self.bias = self.add_weight((self.members,), "zeros", name="bias")

        def call(self, x: Any) -> Any:
            return ops.sum(x * self.kernel, axis=-1) + self.bias

    class Piecewise(keras.layers.Layer):
        """Position among bins: 1 for every bin below the number, the share covered of its own, 0 above."""

        def __init__(self, bins: NDArray[np.float32]) -> None:
            super().__init__()
            self.low = ops.convert_to_tensor(bins[:, :-1])
            self.width = ops.convert_to_tensor(np.maximum(np.diff(bins, axis=1), 1e-6))

        def call(self, x: Any) -> Any:
            return ops.clip((ops.expand_dims(x, -1) - self.low) / self.width, 0.0, 1.0)

    class Periodic(keras.layers.Layer):
        """Sines and cosines of a number times learned frequencies."""

        def __init__(self, numbers: int, frequencies: int = 16, deviation: float = 0.3) -> None:
            super().__init__()
            spread = keras.initializers.RandomNormal(stddev=deviation)
            self.frequencies = self.add_weight((numbers, frequencies), spread, name="frequencies")

        def call(self, x: Any) -> Any:
            angle = 2 * np.pi * ops.expand_dims(x, -1) * self.frequencies
            return ops.concatenate([ops.sin(angle), ops.cos(angle)], axis=-1)

    return {"SharedDense": SharedDense, "Heads": Heads, "Piecewise": Piecewise, "Periodic": Periodic}


def _signs(shape: tuple[int, ...], dtype: Any = None) -> Any:
    from keras import ops, random

    return ops.sign(random.uniform(shape, -1.0, 1.0, dtype=dtype or "float32"))
