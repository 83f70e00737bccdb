"""Which scores of a log can be judged, by what happened then, and how good streamed ones were."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from features.bundle import Manifest
from features.calendar import zone
from features.labels import NEGATIVE, POSITIVE, UNKNOWN, horizon_labels
from features.log import ERASED
from features.logins import NO_LOGINS, Logins
from offline.examples.people import Events, People, family_labels
from offline.simulator.oracle import exact_probability
from offline.training.soft_measures import share


class StreamQuality(NamedTuple):
    """Quality of scores on the examples after the embargo whose horizon is complete.

    Attributes
    ----------
    examples
        How many were judged.
    auc
        Against what happened; ``None`` where only one class happened.
    best_possible_auc
        That of the exact probability, against the same outcomes; ``None`` on real data.
    share
        Of the exact best: (soft AUC - 0.5) by that of the exact probability itself. Both are expected values under
        the exact probabilities, free of the outcomes' noise, so it is not the share that the two measured AUCs above
        would give; ``None`` on real data.
    """

    examples: int
    auc: float | None
    best_possible_auc: float | None
    share: float | None


class Judged(NamedTuple):
    """The scores of a log that can be judged, and what happened.

    Attributes
    ----------
    scores
        Their positions among the scores, in the order of the log.
    rows
        Their positions in the log.
    customers
        Number of each one's customer.
    labels
        1 where the customer bought within the horizon, 0 where not.
    """

    scores: NDArray[np.int64]
    rows: NDArray[np.int64]
    customers: NDArray[np.int64]
    labels: NDArray[np.int8]


def judged(
    log: pa.Table,
    event_ids: Sequence[str] | pa.ChunkedArray,
    as_of: NDArray[np.int64],
    manifest: Manifest,
    *,
    since: int,
    lateness_ms: int,
    apart: NDArray[np.bool_] | None = None,
    logins: Logins = NO_LOGINS,
) -> Judged:
    """Return the scores whose horizon is complete, of the events that the bundle is trained to score.

    Parameters
    ----------
    log
        The log, in order of arrival.
    event_ids, as_of
        The scores: event, and moment that it refers to (epoch ms).
    manifest
        Of the bundle that scored: horizon, label rule and example types.
    since
        Moments before this one (epoch ms) are left out.
    lateness_ms
        How late an event may be: the last labels of the log may still change.
    apart
        Which scores are of no customer: they are not judged, and their purchases judge no others; ``None``: none.
    logins
        Who logged in; the log comes with them (`features.logins.split_logins`). Whoever did is one customer, whose
        purchases under any id count.
    """
    ids = event_ids if isinstance(event_ids, pa.ChunkedArray) else pa.array(event_ids)
    rows = pc.index_in(ids, log["event_id"].combine_chunks()).to_numpy()
    order = np.argsort(rows, kind="stable")
    rows, as_of = rows[order], as_of[order]
    apart = np.zeros(len(rows), np.bool_) if apart is None else apart[order]
    scored = log.take(rows)
    kind, times = scored["type"], scored["event_time"].cast(pa.int64()).to_numpy()
    customers = scored["customer_id"].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    bought, end = pc.equal(kind, "purchase").to_numpy() & ~apart, int(times.max(initial=0)) - lateness_ms
    if len(logins.before):
        labels, customers = _of_people(log, logins, rows, as_of, bought, end, manifest)
    else:
        labels = horizon_labels(
            customers,
            as_of,
            np.where(bought, times, -1),
            horizon_ms=int(manifest.horizon_seconds * 1000),
            start=manifest.label_start,
            zone=zone(manifest.timezone),
            end=end,
        )
    known = (
        ~apart
        & (labels != UNKNOWN)
        & (as_of >= since)
        & pc.is_in(kind, pa.array(manifest.example_types)).to_numpy(zero_copy_only=False)
    )
    return Judged(order[known], rows[known], customers[known], labels[known])


def _of_people(  # noqa: PLR0917  (scores, and what judges them)
    log: pa.Table,
    logins: Logins,
    rows: NDArray[np.int64],
    as_of: NDArray[np.int64],
    bought: NDArray[np.bool_],
    end: int,
    manifest: Manifest,
) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    """Return the labels of scores where people log in, and the number of each one's person."""
    events = Events.of_log(log)
    scored = np.zeros(len(log), np.bool_)
    scored[rows] = True
    own = np.flatnonzero(scored & ~events.handed)
    people = People(events, logins, logins.moments(own, events.times[own], events.partitions[own]))
    marked = pc.fill_null(log["bot"], False).to_numpy()
    purchases = scored & ~marked & pc.equal(log["type"], "purchase").to_numpy()
    outcomes = people.outcomes(rows[bought], purchases, np.zeros(len(people.names), np.bool_))
    labels = family_labels(
        people,
        rows,
        as_of,
        events.times[rows],
        bought,
        outcomes,
        end,
        int(manifest.horizon_seconds * 1000),
        manifest.label_start,
        zone(manifest.timezone),
    )
    return labels, people.persons[people.owners[rows]]


def stream_quality(
    log: pa.Table,
    event_ids: list[str],
    as_of: NDArray[np.int64],
    probability: NDArray[np.float64],
    manifest: Manifest,
    *,
    lateness_ms: int,
) -> StreamQuality:
    """Judge scores by the log that was streamed.

    Parameters
    ----------
    log
        The log, in order of arrival; a simulated one carries its parameters in the metadata.
    event_ids, as_of, probability
        The scores: event, moment it refers to (epoch ms), published probability.
    manifest
        Of the bundle that scored: horizon, label rule, example types, and when its test period begins.
    """
    found = judged(log, event_ids, as_of, manifest, since=test_begin(manifest), lateness_ms=lateness_ms)
    labels, probability = found.labels, probability[found.scores]
    if not ((labels == POSITIVE).any() and (labels == NEGATIVE).any()):
        return StreamQuality(len(labels), None, None, None)
    auc = float(roc_auc_score(labels, probability))
    if (
        b"intent.simulator" not in (log.schema.metadata or {})
        or pc.any(pc.equal(log["type"], ERASED)).as_py()
    ):
        return StreamQuality(len(labels), auc, None, None)
    best = exact_probability(log, int(manifest.horizon_seconds * 1000))[found.rows]
    return StreamQuality(len(labels), auc, float(roc_auc_score(labels, best)), share(best, probability))


def test_begin(manifest: Manifest) -> int:
    """Return the first moment (epoch ms) from which on a bundle has learned nothing: where its test period begins."""
    return _epoch_ms(manifest.split["test"][0])


def _epoch_ms(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).timestamp() * 1000)
