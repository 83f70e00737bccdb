"""What bundles beside the live one said, in records of examples and on its way to the learner."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from features.bundle import Bundle
from features.exceptions import SchemaMismatch
from stream.learning.labels.cursors import Progress
from stream.learning.labels.waiting import Waiting
from stream.learning.records import header as headers
from stream.learning.records.examples import Examples, decode_examples, encode_examples
from stream.learning.records.header import Header
from stream.learning.records.outcomes import Outcomes, encode_outcomes
from stream.learning.records.rows import read_examples, read_outcomes
from tests.bundles import random_bundle
from tests.stream.learning.lessons import lesson

FEATURES = "f"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return random_bundle(Path(tmp_path_factory.mktemp("bundle")))


def examples(bundle: Bundle, rows: slice, **beside: float) -> Examples:
    """Return examples of which each bundle beside said one probability, plus a thousandth for each offset."""
    found, _ = lesson(bundle, rows.stop, seed=1)
    found = found[rows]
    return replace(found, beside={v: p + found.offset / 1_000 for v, p in beside.items()})


def header(bundle: Bundle, rows: slice) -> Header:
    return Header(rows.start, rows.stop, 2**41, (), 0, bundle.manifest.version, FEATURES)


def test_probabilities_survive_the_record(bundle: Bundle) -> None:
    rows = slice(0, 7)
    sent = examples(bundle, rows, new=0.25, other=0.5)
    [raw] = encode_examples(header(bundle, rows), sent, 0)
    record = decode_examples(raw, 0, FEATURES)
    assert record.header.beside == ("new", "other")
    assert record.examples is not None
    assert list(record.examples.beside) == ["new", "other"]
    for version in sent.beside:
        np.testing.assert_array_equal(record.examples.beside[version], sent.beside[version])
    np.testing.assert_array_equal(record.examples.vectors, sent.vectors)
    assert record.examples.customer == sent.customer


def test_a_large_batch_keeps_its_probabilities_in_every_record(bundle: Bundle) -> None:
    rows = slice(0, 300)
    sent = examples(bundle, rows, new=0.25)
    raws = list(encode_examples(header(bundle, rows), sent, 0, limit=30_000))
    assert len(raws) > 3
    came = [decode_examples(raw, 0, FEATURES).examples for raw in raws]
    joined = np.concatenate([one.beside["new"] for one in came if one is not None])
    np.testing.assert_array_equal(joined, sent.beside["new"])


@pytest.mark.parametrize("beside", [("a", "b", "c"), ("x" * 201,)])
def test_more_than_a_record_can_hold_is_refused(bundle: Bundle, beside: tuple[str, ...]) -> None:
    raw = headers.pack(
        headers.EXAMPLES, Header(0, 2, 0, (), 0, bundle.manifest.version, FEATURES, beside), b""
    )
    with pytest.raises(SchemaMismatch, match="is damaged"):
        headers.unpack(headers.EXAMPLES, raw)


def test_examples_reach_the_learner_with_what_was_said_of_each_and_whose_they_are(bundle: Bundle) -> None:
    """Records with different bundles beside, in one mini-batch."""
    parts = [
        (slice(0, 4), {}),
        (slice(4, 8), {"new": 0.1}),
        (slice(8, 12), {"other": 0.2, "new": 0.3}),
    ]
    raws = [
        raw
        for rows, beside in parts
        for raw in encode_examples(header(bundle, rows), examples(bundle, rows, **beside), 0)
    ]
    records = read_examples(((at, -1, raw) for at, raw in enumerate(raws)), bundle.manifest.version, FEATURES)
    assert not records.unreadable
    waiting = Waiting.of(bundle.manifest, Progress.beginning(1))
    waiting.add_examples(0, records)
    [last] = encode_outcomes(header(bundle, slice(0, 12)), Outcomes.none(), 0)
    waiting.add_outcomes(0, read_outcomes([(0, -1, last)]))
    [batch] = list(waiting.release())
    told = batch.examples
    assert told.offset.tolist() == list(range(12))
    nothing = [np.nan] * 4
    np.testing.assert_allclose(
        told.beside["new"],
        nothing + [0.1 + k / 1000 for k in range(4, 8)] + [0.3 + k / 1000 for k in range(8, 12)],
    )
    np.testing.assert_allclose(told.beside["other"], nothing * 2 + [0.2 + k / 1000 for k in range(8, 12)])
    assert len(set(batch.customers.tolist())) == 12
