"""What a worker counts, and what it says about the partitions that it owns."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from features.state import DAY_MS, empty
from features.watermark import BEGINNING
from stream.kafka.batches import RecordBatch
from stream.ownership.partitions import Ownership
from stream.scoring.engine import Engine, slots_of
from stream.scoring.intake import read_batches
from stream.scoring.metrics import ScorerMetrics
from tests.bundles import random_bundle
from tests.malformed import good
from tests.stream.records import NOW, PARTITIONS, batch, home, record


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder: Path = tmp_path_factory.mktemp("bundle")
    return Engine(random_bundle(folder), lateness_ms=60_000, ttl_ms=400 * DAY_MS, holdout=0.0)


def count(metrics: ScorerMetrics, engine: Engine, records: RecordBatch, seconds: float = 0.02) -> None:
    intake = read_batches([records], [BEGINNING], engine, partitions=PARTITIONS)
    customers, slots = slots_of(list(intake.columns.customers))
    scored = engine.score(intake.columns, customers, slots, empty(len(customers)))
    metrics.count(intake, scored, seconds)


def test_a_batch_is_counted_by_what_became_of_its_records(engine: Engine) -> None:
    dollars = good(5).replace(b"}", b',"value":3,"currency":"USD"}')
    metrics = ScorerMetrics("v1")
    count(
        metrics,
        engine,
        batch(
            record(0, good(1)), record(1, good(1)), record(2, dollars), record(3, b"{"), record(4, b""),
            record(5, good(2, NOW - 60_001)), record(6, None), record(7, good(3)),
        ),
    )  # fmt: skip
    value = metrics.registry.get_sample_value
    assert value("intent_events_total") == 8
    assert value("intent_scored_total") == 3
    assert value("intent_duplicates_total") == 1
    assert value("intent_erased_total") == 1
    assert value("intent_foreign_currency_total") == 1
    assert value("intent_dead_letters_total", {"reason": "not_json"}) == 2
    assert value("intent_dead_letters_total", {"reason": "late"}) == 1
    assert value("intent_batch_seconds_sum") == 0.02
    assert value("intent_batch_events_sum") == 8
    assert value("intent_model", {"version": "v1"}) == 1
    partition = {"partition": str(home(b"anna"))}
    assert value("intent_watermark_seconds", partition) == (NOW - 60_000) / 1000
    bands = [value("intent_scored_by_band_total", {"band": band}) for band in ("low", "medium", "high")]
    assert sum(cast(list[float], bands)) == 3


def test_batches_add_up(engine: Engine) -> None:
    metrics = ScorerMetrics("v1")
    for number in range(3):
        count(metrics, engine, batch(record(number, good(number))))
    assert metrics.registry.get_sample_value("intent_scored_total") == 3
    assert metrics.registry.get_sample_value("intent_batch_events_count") == 3


def test_a_batch_of_bad_records_has_no_watermark(engine: Engine) -> None:
    metrics = ScorerMetrics("v1")
    count(metrics, engine, batch(record(0, b"{")))
    samples = [s for family in metrics.registry.collect() for s in family.samples]
    assert not [sample for sample in samples if sample.name == "intent_watermark_seconds"]


class Owns:
    """An ownership as far as metrics look at it."""

    ready = True
    parked = (2,)

    def lag(self) -> dict[int, int]:
        return {0: 7, 2: 0}


def test_lag_and_readiness_are_asked_for_when_metrics_are_read() -> None:
    metrics, owns = ScorerMetrics("v1"), Owns()
    metrics.observe(cast(Ownership, owns))
    value = metrics.registry.get_sample_value
    assert (
        value("intent_lag_events", {"partition": "0"}),
        value("intent_lag_events", {"partition": "2"}),
    ) == (7, 0)
    assert value("intent_ready") == 1
    assert value("intent_parked_partitions") == 1
    owns.ready = False
    assert value("intent_ready") == 0
