"""The best score that is possible at all, and how close a prediction comes to it.

On a simulated log `exact_probability` computes the probability p* of a purchase within the horizon given
everything observed. Measures compare a prediction with p* instead of with what happened to be bought:
realised labels are noise around p* (3 million events hold 18,000 purchases), p* is not.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.calendar import zone
from features.labels import UNKNOWN, horizon_labels
from features.whole_files import whole_file
from offline.simulator.exact_filter import ExactFilter
from offline.simulator.shop import PURCHASE, TYPES, ParameterError
from offline.simulator.simulation import Simulation, event_sequence


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
    >>> from offline.simulator.shop import ShopParameters
    >>> from offline.simulator.simulation import simulate
    >>> log = simulate(ShopParameters.default(), customers=50, days=2, seed=7)
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
    table = table.replace_schema_metadata({**metadata, "intent.horizon_ms": str(horizon_ms)})
    with whole_file(path) as partial:
        pq.write_table(table, partial, compression="zstd")


def _customers(log: pa.Table) -> NDArray[np.int64]:
    """Return a number for each row's customer."""
    codes = log["customer_id"].combine_chunks().dictionary_encode().indices
    numbers: NDArray[np.int64] = codes.to_numpy().astype(np.int64)
    return numbers


def _times(log: pa.Table) -> NDArray[np.int64]:
    times: NDArray[np.int64] = log["event_time"].cast(pa.int64()).to_numpy()
    return times
