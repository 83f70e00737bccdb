"""Why the network says what it says: the effect of every column, by DeepLIFT's rescale rule.

The effects of a vector are its columns' parts in the difference of its calibrated logit from that of the bundle's
reference customer, and add up to it [Shrikumar et al. 2017, arXiv 1704.02685]. `offline.training.explaining` writes the
graph, ``reasons.onnx``, that computes them.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.blocks import BlockedGraph
from features.exceptions import BundleError
from features.vector import COLUMN_NAMES, SEGMENT_AT, WIDTH, Vectors

REASONS: Final = "reasons.onnx"

#: The effects of a row miss the difference of its logit from the reference's by no more than this.
TOLERANCE: Final = 1e-3


class ReferenceCustomer(msgspec.Struct, frozen=True, kw_only=True):
    """Whom customers are compared with.

    Attributes
    ----------
    description
        How the vector was chosen.
    log_odds
        The network's calibrated logit.
    vector
        Every column by name, the segment included.
    """

    description: str
    log_odds: float
    vector: dict[str, float]

    def __post_init__(self) -> None:
        if self.vector.keys() != set(COLUMN_NAMES):
            raise BundleError("the bundle's reference customer has other columns: train again")

    @property
    def row(self) -> Vectors:
        """The vector, shape ``(1, WIDTH)``."""
        return np.array([[self.vector[name] for name in COLUMN_NAMES]], np.float32)

    @property
    def segment(self) -> int:
        """The segment's id."""
        return int(self.vector[COLUMN_NAMES[SEGMENT_AT]])


class Explainer:
    """Effects of columns on the network's calibrated logit.

    Parameters
    ----------
    graph
        Vector (float32, rows x columns) to effects (float32, rows x columns), as ONNX.

    Raises
    ------
    BundleError
        The graph is damaged.
    SchemaMismatch
        It is for other columns than this program's.
    """

    def __init__(self, graph: bytes, reference: ReferenceCustomer) -> None:
        self.reference = reference
        self._graph = BlockedGraph(graph, REASONS, WIDTH)

    def effects(self, vectors: Vectors) -> NDArray[np.float64]:
        """Return the effect of every column, shape ``(rows, WIDTH)``; each row depends on its vector alone.

        Parameters
        ----------
        vectors
            Model input, segment column filled.
        """
        return self._graph.values(vectors)
