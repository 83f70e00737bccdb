"""Segments of the customers of interactions: those of the report, or those of a bundle."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.bundle import Bundle
from features.vector import COLUMN_NAMES, Vectors
from offline.chapters.recommendation.interactions import Interactions
from offline.chapters.recommendation.offers import Groups, stage_of
from offline.chapters.segments.history import facts_of
from offline.chapters.segments.segmented import Segmented
from offline.examples.examples import Context, build_examples


def groups_of_segments(known: Interactions, names: Sequence[str], segments: Segmented) -> Groups:
    """Return the groups of the report's segments.

    Parameters
    ----------
    names
        Customer ids by their numbers in the segments.
    """
    of = {
        names[number]: segment for number, segment in zip(segments.frame.index, segments.members, strict=True)
    }
    members = np.array([of.get(customer, -1) for customer in known.customer_ids], np.int64)
    stages = []
    for segment, name in enumerate(segments.names):
        facts = facts_of(segments.frame[segments.members == segment])
        stages.append(stage_of(name, buyers=facts.buyers, purchases=facts.purchases, carts=facts.carts))
    return Groups(segments.names, members, stages)


def groups_of_bundle(known: Interactions, log: pa.Table, bundle: Bundle, context: Context) -> Groups:
    """Return the groups of a bundle's segments: every customer by the latest vector, as the stream would say.

    Parameters
    ----------
    context
        How the log is read; time zone and currency have to be the bundle's.
    """
    examples = build_examples(log, context)
    ids = log["customer_id"].combine_chunks()
    order = np.argsort(examples.as_of, kind="stable")
    latest: dict[str, int] = dict(
        zip(ids.take(pa.array(examples.rows[order])).to_pylist(), order.tolist(), strict=True)
    )
    at = np.array([latest.get(customer, -1) for customer in known.customer_ids], np.int64)
    vectors = examples.vectors[np.maximum(at, 0)].copy()
    members = np.where(at >= 0, bundle.segmenter.assign(vectors), -1)
    names = [segment.name for segment in bundle.segmenter.segments]
    stages = []
    for segment, name in enumerate(names):
        own = vectors[members == segment]
        stages.append(
            stage_of(
                name,
                buyers=float((_column(own, "purchases") > 0).mean()) if len(own) else 0.0,
                purchases=_mean(own, "purchases"),
                carts=_mean(own, "add_to_cart_7d"),
            )
        )
    return Groups(names, members, stages)


def _column(vectors: Vectors, name: str) -> NDArray[np.float32]:
    return vectors[:, COLUMN_NAMES.index(name)]


def _mean(vectors: Vectors, name: str) -> float:
    return float(_column(vectors, name).mean()) if len(vectors) else 0.0
