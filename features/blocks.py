"""ONNX graphs on rows of vectors, so that a row's result depends on the row alone, to the bit."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from features.exceptions import BundleError, SchemaMismatch
from features.onnx_runtime import ort
from features.vector import WIDTH, Vectors

# Rows are taken in blocks of exactly this many (the last one padded): the same row then goes through the same
# kernels whatever the batch, so a repeated score equals the first to the bit.
_BLOCK: Final = 128
# The last few rows, as most rounds at a low rate have, take a third of the time in a block of this many, where that
# gives the same bits: matrix products of four rows and more do, with today's onnxruntime.
_SMALL_BLOCK: Final = 16


class BlockedGraph:
    """A graph from vectors (float32, rows x `WIDTH`) to values (float32, rows x ``width``), ready to run.

    Parameters
    ----------
    graph
        ONNX.
    name
        The graph's file, for errors.
    width
        Values a row.

    Raises
    ------
    BundleError
        The graph is damaged.
    SchemaMismatch
        It is for other columns than this program's.
    """

    def __init__(self, graph: bytes, name: str, width: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1  # one worker per core; threads would also change sums
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises its own classes, which share no base
            raise BundleError(f"{name} cannot be loaded: {error}") from None
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or inputs[0].shape[-1] != WIDTH:
            raise SchemaMismatch(f"{name} does not take one input of {WIDTH} columns: train again")
        self._input = inputs[0].name
        self._width = width
        self._least_block = _SMALL_BLOCK if self._same_in_small_blocks() else _BLOCK

    def values(self, vectors: Vectors) -> NDArray[np.float64]:
        """Return the values of every row, shape ``(rows, width)``."""
        rows = len(vectors)
        out = np.empty((rows, self._width), np.float64)
        for start in range(0, rows, _BLOCK):
            part = vectors[start : start + _BLOCK]
            size = self._least_block if len(part) <= self._least_block else _BLOCK
            block = np.zeros((size, WIDTH), np.float32)
            block[: len(part)] = part
            out[start : start + len(part)] = self._values_of(block)[: len(part)]
        return out

    def _values_of(self, block: Vectors) -> NDArray[np.float32]:
        found: NDArray[np.float32] = self._session.run(None, {self._input: block})[0]
        return found

    def _same_in_small_blocks(self) -> bool:
        """Whether rows get the same values in small blocks as in large ones; which kernels run decides, not values."""
        whole = np.random.default_rng(0).normal(size=(_BLOCK, WIDTH)).astype(np.float32)
        parts = [self._values_of(whole[at : at + _SMALL_BLOCK]) for at in range(0, _BLOCK, _SMALL_BLOCK)]
        return np.array_equal(np.concatenate(parts), self._values_of(whole), equal_nan=True)
