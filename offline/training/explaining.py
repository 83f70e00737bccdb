"""The graph behind the reasons of scores: the network taken apart by DeepLIFT's rescale rule, as ONNX.

The network is columns transformed one by one, then layers of matrix products and elementwise activations. So the rule
is needed for activations and transforms only: each passes on its secant between customer and reference, and matrices
pass on their weights [Shrikumar et al. 2017, arXiv 1704.02685, section 3.5.2]. The effects of the columns then add up
to the difference of the logits. The same arithmetic written as a graph runs where the network runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.bundle import Calibration
from features.explainer import ReferenceCustomer
from features.vector import COLUMN_NAMES, NEVER_S, WIDTH, Vectors
from offline.exceptions import TrainingError
from offline.training.network import Network
from offline.training.scaling import CLIP, LARGEST, ON_LOG_SCALE, Scaling

#: How the reference customer is chosen; stands in the manifest.
DESCRIPTION: Final = (
    "an example of the training data with about the mean log-odds, and of such the one nearest the median of the "
    "standardised columns; numbers rounded to three digits"
)

_EXAMPLES: Final = 50_000  # looked at to choose the reference customer
_LEAST_NEAR: Final = 50
_NEAR: Final = 0.02  # share of the examples that count as having about the mean log-odds
_DIGITS: Final = 3
_OPSET, _IR = 17, 9

# Secants are (rise x run + tangent x this) / (run^2 + this): the tangent's slope where there is hardly a run, whose
# float32 has too few digits. It misses a smooth function by half its curvature times this, one with a kink by at most
# half the root of this.
_SMOOTH: Final = 1e-8
_KINK: Final = 1e-12

Layer = tuple[NDArray[np.float32], NDArray[np.float32]]


class Member(NamedTuple):
    """A network on standardised columns: weights (inputs x units) and biases by layer, the last one the logit's."""

    layers: Sequence[Layer]
    activation: str


def evenly(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return as many of the rows as are looked at to choose the reference customer."""
    return rows[:: max(len(rows) // _EXAMPLES, 1)]


def choose_reference(network: Network, calibration: Calibration, vectors: Vectors) -> ReferenceCustomer:
    """Return the customer that others are compared with.

    Parameters
    ----------
    vectors
        Examples that the network was trained on (`evenly` some), segment column filled.
    """
    log_odds = calibration.log_odds(network.logits(vectors))
    away = np.abs(log_odds - log_odds.mean())
    near = np.argsort(away, kind="stable")[: max(int(len(vectors) * _NEAR), _LEAST_NEAR)]
    scaled = network.scaling.apply(vectors)
    typical = np.median(scaled, axis=0)
    nearest = near[np.argmin(np.abs(scaled[near] - typical).sum(axis=1))]
    row = _rounded(vectors[nearest])
    return ReferenceCustomer(
        description=DESCRIPTION,
        log_odds=float(calibration.log_odds(network.logits(row[None]))[0]),
        vector=dict(zip(COLUMN_NAMES, map(float, row), strict=True)),
    )


def export_reasons(network: Network, calibration: Calibration, reference: ReferenceCustomer) -> bytes:
    """Return the graph from vectors to the effects of their columns on the network's calibrated logit."""
    return reasons_graph(members_of(network), network.scaling, reference.row, slope=calibration.slope)


def members_of(network: Network) -> list[Member]:
    """Return the networks whose mean a network is, or itself."""
    return [Member(layers, activation) for layers, activation in network.stacks()]


def reasons_graph(  # noqa: PLR0914  (one name a step of the rule)
    members: Sequence[Member],
    scaling: Scaling,
    reference: Vectors,
    *,
    slope: float = 1.0,
    clip: float = CLIP,
    on_log_scale: NDArray[np.bool_] = ON_LOG_SCALE,
) -> bytes:
    """Return the graph of a mean of networks.

    Parameters
    ----------
    reference
        The reference customer's vector, shape ``(1, WIDTH)``.
    slope
        Of the calibration.
    clip, on_log_scale
        Of the transforms before the network: see `offline.training.scaling`.
    """
    graph = _Graph()
    bounded = graph.add("Clip", "vectors", graph.constant(-LARGEST), graph.constant(LARGEST))
    shifted = graph.add("Add", graph.add("Relu", bounded), graph.constant(1.0))
    seen = _either(graph, on_log_scale, graph.add("Log", shifted), bounded)
    centred = graph.add("Sub", seen, graph.constant(scaling.center))
    scaled = graph.add("Div", centred, graph.constant(scaling.scale))
    inputs = graph.add("Clip", scaled, graph.constant(-clip), graph.constant(clip))
    at_reference = _scaled(reference, scaling, clip, on_log_scale)
    multipliers = [
        _multipliers(graph, inputs, member, at_reference, slope / len(members)) for member in members
    ]
    total = multipliers[0]
    for more in multipliers[1:]:
        total = graph.add("Add", total, more)
    graph.add("Mul", total, graph.add("Sub", inputs, graph.constant(at_reference)), output="effects")
    return graph.bytes()


class _Activation(NamedTuple):
    """An elementwise function: as nodes, and as value and slope at the reference."""

    nodes: Callable[[_Graph, str], str]
    at: Callable[[NDArray[np.float64]], tuple[NDArray[np.float64], ...]]
    close: float  # see `_SMOOTH`


def _multipliers(
    graph: _Graph, inputs: str, member: Member, at_reference: NDArray[np.float64], share: float
) -> str:
    """Return by how much a unit more of every standardised column moves ``share`` of the logit: rows x columns."""
    try:
        activation = _ACTIVATIONS[member.activation]
    except KeyError:
        raise TrainingError(
            f"there is no rule for the activation {member.activation!r}: use one of {', '.join(_ACTIVATIONS)}"
        ) from None
    values, reference, secants = inputs, np.asarray(at_reference, np.float64), []
    for weights, bias in member.layers[:-1]:
        before = graph.add("Gemm", values, graph.constant(weights), graph.constant(bias))
        values = activation.nodes(graph, before)
        reference_before = reference @ weights.astype(np.float64) + bias
        reference, slope = activation.at(reference_before)
        step = graph.add("Sub", before, graph.constant(reference_before))
        rise = graph.add("Sub", values, graph.constant(reference))
        top = graph.add("Add", graph.add("Mul", rise, step), graph.constant(slope * activation.close))
        bottom = graph.add("Add", graph.add("Mul", step, step), graph.constant(activation.close))
        secants.append(graph.add("Div", top, bottom))
    found = graph.constant(member.layers[-1][0].T.astype(np.float64) * share)
    for (weights, _), secant in zip(reversed(member.layers[:-1]), reversed(secants), strict=True):
        found = graph.add("MatMul", graph.add("Mul", secant, found), graph.constant(weights.T))
    return found


class _Graph:
    """An ONNX graph in the making; constants are float32."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def add(self, kind: str, *inputs: str, output: str | None = None) -> str:
        """Add a node and return the name of its output."""
        from onnx import helper

        output = output or f"t{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [output], name=f"n{len(self._nodes)}"))
        return output

    def constant(self, value: float | NDArray[Any]) -> str:
        """Add a constant and return its name."""
        from onnx import numpy_helper

        array = np.asarray(value, np.float32)
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def bytes(self) -> bytes:
        """Return the graph, written down."""
        from onnx import TensorProto, helper

        ends = [
            helper.make_tensor_value_info(n, TensorProto.FLOAT, ["rows", WIDTH])
            for n in ("vectors", "effects")
        ]
        graph = helper.make_graph(self._nodes, "reasons", ends[:1], ends[1:], self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
        return bytes(model.SerializeToString(deterministic=True))


def _either(graph: _Graph, first: NDArray[np.bool_], one: str, other: str) -> str:
    """Return some columns of one and some of the other; products cost less than ``Where``, and all is finite."""
    kept = graph.add("Mul", one, graph.constant(first))
    return kept if first.all() else graph.add("Add", kept, graph.add("Mul", other, graph.constant(~first)))


def _silu_nodes(graph: _Graph, before: str) -> str:
    return graph.add("Mul", before, graph.add("Sigmoid", before))


def _silu(z: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    s = 1.0 / (1.0 + np.exp(-z))
    return z * s, s * (1 + z * (1 - s))


def _tanh(z: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    t = np.tanh(z)
    return t, 1 - t**2


def _relu(z: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    return np.maximum(z, 0.0), (z > 0).astype(np.float64)


_ACTIVATIONS: Final = {
    "silu": _Activation(_silu_nodes, _silu, _SMOOTH),
    "tanh": _Activation(lambda graph, before: graph.add("Tanh", before), _tanh, _SMOOTH),
    "relu": _Activation(lambda graph, before: graph.add("Relu", before), _relu, _KINK),
}


def _scaled(
    vectors: Vectors, scaling: Scaling, clip: float, on_log_scale: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return what the network sees, in double precision, rounded as the graph rounds it."""
    bounded = np.clip(vectors, -LARGEST, LARGEST).astype(np.float32)
    seen = np.where(on_log_scale, np.log(np.maximum(bounded, 0) + np.float32(1)), bounded).astype(np.float32)
    scaled = ((seen - scaling.center) / scaling.scale).astype(np.float32)
    return np.clip(scaled, -clip, clip).astype(np.float64)


def _rounded(row: Vectors) -> Vectors:
    """Return a vector that shows nobody's exact numbers; "never" stays what it is."""
    rounded = [float(f"{value:.{_DIGITS}g}") for value in row.tolist()]
    return np.where(row >= NEVER_S, row, np.asarray(rounded, np.float32)).astype(np.float32)
