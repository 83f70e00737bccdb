"""What a worker counts, and what it says about the partitions that it owns."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pytest

from features.state import DAY_MS, empty
from features.watermark import BEGINNING
from stream.kafka.batches import RecordBatch
from stream.ownership.partitions import Ownership
from stream.ownership.steps import STEPS, Steps
from stream.scoring.engine import Engine, slots_of
from stream.scoring.intake import read_batches
from stream.scoring.metrics import ScorerMetrics
from tests.bundles import random_bundle
from tests.malformed import good
from tests.stream.records import NOW, PARTITIONS, batch, record


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
    bands = [value("intent_scored_by_band_total", {"band": band}) for band in ("low", "medium", "high")]
    assert sum(cast(list[float], bands)) == 3


def test_batches_add_up(engine: Engine) -> None:
    metrics = ScorerMetrics("v1")
    for number in range(3):
        count(metrics, engine, batch(record(number, good(number))))
    assert metrics.registry.get_sample_value("intent_scored_total") == 3
    assert metrics.registry.get_sample_value("intent_batch_events_count") == 3


def test_a_latency_is_counted_for_every_event_at_once() -> None:
    metrics = ScorerMetrics("v1")
    metrics.count_latency(np.array([0.004, 0.02, 0.021, 700.0]))
    value = metrics.registry.get_sample_value
    assert value("intent_latency_seconds_count") == 4
    assert value("intent_latency_seconds_sum") == pytest.approx(700.045)
    bounds = ("0.0025", "0.005", "0.02", "0.025", "300", "+Inf")
    assert [value("intent_latency_seconds_bucket", {"le": le}) for le in bounds] == [0, 1, 2, 3, 3, 4]


class Owns:
    """An ownership as far as metrics look at it."""

    ready = True
    parked = (2,)
    trouble = ""
    assignments = 2

    def __init__(self) -> None:
        self.rounds = self
        self.steps = Steps()
        self.cached, self.uncached = 5, 3
        self.behind = {0: 7, 2: 0}

    def lag(self) -> dict[int, int]:
        return self.behind

    def stable_lag(self) -> dict[int, int]:
        return {0: 2, 2: 0}

    def watermarks(self) -> dict[int, int]:
        return {0: NOW}


def test_what_partitions_are_at_is_asked_for_when_metrics_are_read() -> None:
    metrics, owns = ScorerMetrics("v1"), Owns()
    metrics.observe(cast(Ownership, owns), owns)
    value = metrics.registry.get_sample_value
    lags = [value("intent_lag_events", {"partition": number}) for number in "02"]
    assert lags == [7, 0]
    assert value("intent_stable_lag_events", {"partition": "0"}) == 2
    assert value("intent_watermark_seconds", {"partition": "0"}) == NOW / 1000
    assert value("intent_watermark_seconds", {"partition": "2"}) is None, "it has had no event yet"
    assert value("intent_rebalances_total") == 2
    assert (value("intent_cache_hits_total"), value("intent_cache_misses_total")) == (5, 3)
    assert value("intent_ready") == 1
    assert value("intent_parked_partitions") == 1
    owns.ready, owns.behind = False, {2: 0}
    assert value("intent_ready") == 0
    assert value("intent_lag_events", {"partition": "0"}) is None, "it was given away"


def test_the_steps_of_rounds_are_timed() -> None:
    metrics, owns = ScorerMetrics("v1"), Owns()
    metrics.observe(cast(Ownership, owns), owns)
    value = metrics.registry.get_sample_value
    with owns.steps.round([3]) as step:
        step("read")
        step("load")
        under_way = owns.steps.oldest()
        assert under_way is not None
        assert (under_way.name, under_way.partitions) == ("load", [3])
    assert owns.steps.oldest() is None
    counts = [value("intent_step_seconds_count", {"step": name}) for name in STEPS]
    assert counts == [1, 1, 0, 0, 0, 0]
