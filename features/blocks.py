"""ONNX graphs on rows of vectors, so that a row's result depends on the row alone, to the bit."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from features.exceptions import BundleError, SchemaMismatch
from features.onnx_runtime import ort
from features.vector import WIDTH, Vectors

# Rows are taken in blocks of a few sizes (the last one padded): the same row then goes through the same kernels
# whatever the batch, so a repeated score equals the first to the bit.
_BLOCK: Final = 128
# The last few rows, as most rounds at a low rate have, take a quarter of the time in a block of this many, where that
# gives the same bits: matrix products of four rows and more do, with today's onnxruntime.
_SMALL_BLOCK: Final = 16
# Up to so many rows, small blocks take no longer than one of `_BLOCK`.
_FEW: Final = 64
# What a call costs besides is shared by more rows in a large block: a row takes 15% less, again where the bits are the
# same.
_LARGE_BLOCK: Final = 1024


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
        self._least_block = _SMALL_BLOCK if self._same_in_blocks_of(_SMALL_BLOCK) else _BLOCK
        self._most_block = _LARGE_BLOCK if self._same_in_blocks_of(_LARGE_BLOCK) else _BLOCK

    def values(self, vectors: Vectors) -> NDArray[np.float64]:
        """Return the values of every row, shape ``(rows, width)``."""
        rows = len(vectors)
        out = np.empty((rows, self._width), np.float64)
        at = 0
        while at < rows:
            size = self._next_block(rows - at)
            block = np.ascontiguousarray(vectors[at : at + size], np.float32)
            if len(block) < size:
                block = np.concatenate([block, np.zeros((size - len(block), WIDTH), np.float32)])
            out[at : at + size] = self._values_of(block)[: rows - at]
            at += size
        return out

    def _next_block(self, rows: int) -> int:
        """Return how many rows the next block has, where so many are left."""
        if rows >= self._most_block:
            return self._most_block
        return _BLOCK if rows > _FEW else self._least_block

    def _values_of(self, block: Vectors) -> NDArray[np.float32]:
        found: NDArray[np.float32] = self._session.run(None, {self._input: block})[0]
        return found

    def _same_in_blocks_of(self, size: int) -> bool:
        """Whether rows get the same values as in blocks of `_BLOCK`; which kernels run decides, not values."""
        rows = np.random.default_rng(0).normal(size=(max(size, _BLOCK), WIDTH)).astype(np.float32)
        found, known = (
            np.concatenate([self._values_of(rows[at : at + each]) for at in range(0, len(rows), each)])
            for each in (size, _BLOCK)
        )
        return np.array_equal(found, known, equal_nan=True)
