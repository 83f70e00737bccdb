"""The best score that is possible at all, and how close a prediction comes to it.

On a simulated log `exact_probability` computes the probability p* of a purchase within the horizon given
everything observed. Measures compare a prediction with p* instead of with what happened to be bought:
realised labels are noise around p* (3 million events hold 18,000 purchases), p* is not.
"""

from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray

from features.calendar import zone
from features.labels import UNKNOWN, horizon_labels
from offline.exact_filter import ExactFilter
from offline.shop import PURCHASE, TYPES, ParameterError
from offline.simulator import Simulation, event_sequence

# Float32 predictions may reach 0 or 1; the logarithm must not be infinite for one of them.
_LOG_LOSS_FLOOR: Final = 1e-7


def exact_probability(
    log: pa.Table, horizon_ms: int, simulation: Simulation | None = None
) -> NDArray[np.float64]:
    """Compute the exact probability of a purchase within the horizon after each event.

    Parameters
    ----------
    log
        A simulated event log with every event of its customers, in any order; repeated events count once.
    horizon_ms
        Length of the horizon, milliseconds.
    simulation
        How the log was drawn; from the log's metadata unless given.

    Returns
    -------
    numpy.ndarray
        Probability for each row of the log, given the customer's events up to this one (by event time).

    Raises
    ------
    ParameterError
        The log was not simulated, or not with these parameters.

    Examples
    --------
    >>> from offline.shop import ShopParameters
    >>> from offline.simulator import simulate
    >>> log = simulate(ShopParameters.default(), customers=1000, days=2, seed=7)
    >>> probability = exact_probability(log, horizon_ms=1_800_000)
    >>> bool(0 < probability.min() < probability.max() < 1)
    True
    """
    made = Simulation.of(log) if simulation is None else simulation
    kind = pc.index_in(log["type"], pa.array(TYPES))
    unknown = pc.index(pc.is_null(kind), True).as_py()
    if unknown >= 0:
        name = log["type"][unknown].as_py()
        raise ParameterError(
            f"row {unknown} is of type {name!r}, which no simulated shop sends: it has no exact probability"
        )
    customer, time = _customers(log), _times(log)
    sequence = event_sequence(log["event_id"], made.seed)
    order = np.lexsort((sequence, time, customer))
    exact = ExactFilter(made, horizon_ms)
    probability = np.empty(len(log))
    probability[order] = exact.probability(
        customer[order], time[order], kind.to_numpy().astype(np.int8)[order], sequence[order]
    )
    return probability


def realised_labels(log: pa.Table, horizon_ms: int) -> NDArray[np.int8]:
    """Label simulated events by what was bought within the horizon after each (start 0, as p* has it).

    Parameters
    ----------
    log
        A simulated event log, in order of event time.
    horizon_ms
        Length of the horizon, milliseconds.

    Returns
    -------
    numpy.ndarray
        `POSITIVE` or `NEGATIVE` of `features.labels`; `UNKNOWN` for purchases, which are no examples, and
        where the horizon passes the log's end.
    """
    time = _times(log)
    bought = pc.equal(log["type"], TYPES[PURCHASE]).to_numpy()
    labels = horizon_labels(
        _customers(log),
        time,
        np.where(bought, time, -1),
        horizon_ms=horizon_ms,
        start="0",
        zone=zone("UTC"),
        end=Simulation.of(log).end,
    )
    labels[bought] = UNKNOWN
    return labels


def write_oracle(path: Path, log: pa.Table, probability: NDArray[np.float64], horizon_ms: int) -> None:
    """Write exact probabilities as Parquet: event_id, customer_id, event_time, type, probability."""
    table = log.select(["event_id", "customer_id", "event_time", "type"])
    table = table.append_column("probability", pa.array(probability))
    metadata = {f"intent.{key}": value for key, value in Simulation.of(log).metadata().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    pq.write_table(
        table.replace_schema_metadata({**metadata, "intent.horizon_ms": str(horizon_ms)}),
        partial,
        compression="zstd",
    )
    partial.replace(path)


def _customers(log: pa.Table) -> NDArray[np.int64]:
    """Return a number for each row's customer."""
    codes = log["customer_id"].combine_chunks().dictionary_encode().indices
    numbers: NDArray[np.int64] = codes.to_numpy().astype(np.int64)
    return numbers


def _times(log: pa.Table) -> NDArray[np.int64]:
    times: NDArray[np.int64] = log["event_time"].cast(pa.int64()).to_numpy()
    return times


def soft_auc(p_star: ArrayLike, score: ArrayLike) -> float:
    """Return the area under the ROC curve in which every event counts p* as positive and 1 - p* as negative.

    Parameters
    ----------
    p_star
        Exact probabilities, shape (events,).
    score
        Any score that ranks, shape (events,); ties count half.

    Examples
    --------
    >>> soft_auc([0.0, 0.0, 1.0], [0.1, 0.2, 0.2])
    0.75
    """
    exact, scores = _aligned(p_star, score)
    order = np.argsort(scores, kind="stable")
    exact, scores = exact[order], scores[order]
    first = np.flatnonzero(np.append(True, scores[1:] != scores[:-1]))
    positive = np.add.reduceat(exact, first)
    negative = np.add.reduceat(1 - exact, first)
    below = np.cumsum(negative) - negative
    pairs = positive.sum() * negative.sum()
    if pairs <= 0:
        raise ValueError("the AUC needs some probability of both classes: all p* are 0, or all are 1")
    return float((positive * (below + negative / 2)).sum() / pairs)


def share(p_star: ArrayLike, score: ArrayLike) -> float:
    """Return a score's share of the best possible ranking: its soft AUC above .5 over that of p* itself."""
    best = soft_auc(p_star, p_star) - 0.5
    if best <= 0:
        raise ValueError("p* is the same everywhere: no score can rank better than another")
    return (soft_auc(p_star, score) - 0.5) / best


def soft_log_loss(p_star: ArrayLike, prediction: ArrayLike) -> float:
    """Return the expected log-loss of a prediction when events are positive with probability p*, in nats."""
    exact, predicted = _aligned(p_star, prediction)
    predicted = np.clip(predicted, _LOG_LOSS_FLOOR, 1 - _LOG_LOSS_FLOOR)
    return float(-(exact * np.log(predicted) + (1 - exact) * np.log1p(-predicted)).mean())


def log_loss_share(p_star: ArrayLike, prediction: ArrayLike) -> float:
    """Return where a prediction's log-loss lies between constant prevalence (0) and p* itself (1)."""
    exact, predicted = _aligned(p_star, prediction)
    constant = soft_log_loss(exact, np.full(len(exact), exact.mean()))
    best = soft_log_loss(exact, exact)
    if constant <= best:
        raise ValueError("p* is the same everywhere: no prediction can beat the prevalence")
    return (constant - soft_log_loss(exact, predicted)) / (constant - best)


def ece_against(p_star: ArrayLike, prediction: ArrayLike, bins: int = 20) -> float:
    """Return the expected calibration error against p*.

    Parameters
    ----------
    p_star, prediction
        Probabilities, shape (events,).
    bins
        Number of bins of equal mass, in the order of the prediction; equal predictions share a bin.

    Examples
    --------
    >>> round(ece_against([0.1, 0.3], [0.2, 0.2], bins=1), 12)
    0.0
    """
    exact, predicted = _aligned(p_star, prediction)
    if bins < 1:
        raise ValueError(f"bins must be at least 1, not {bins}")
    order = np.argsort(predicted, kind="stable")
    rank = np.searchsorted(predicted[order], predicted)
    excess = np.bincount(rank * bins // len(rank), weights=predicted - exact)
    return float(np.abs(excess).sum() / len(rank))


def _aligned(p_star: ArrayLike, other: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    exact, values = np.asarray(p_star, np.float64), np.asarray(other, np.float64)
    if exact.ndim != 1 or exact.shape != values.shape or len(exact) == 0:
        raise ValueError(f"p* and scores need the same length above 0, not {exact.shape} and {values.shape}")
    if not ((exact >= 0) & (exact <= 1)).all():
        raise ValueError("p* must be probabilities in [0, 1]")
    if not np.isfinite(values).all():
        raise ValueError("scores must be finite")
    return exact, values
