"""The record that ends a replay: no event, no dead letter, no row of an archive."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from features.state import DAY_MS
from features.watermark import BEGINNING
from stream.kafka.records import CLOSE, CONTROL
from stream.logs.archive import FirstPass, take_events
from stream.scoring.batch import RecordStatus
from stream.scoring.engine import Engine
from stream.scoring.intake import read_batches
from tests.bundles import random_bundle
from tests.malformed import good
from tests.stream.records import NOW, PARTITIONS, batch, home, record

CLOSING = [(CONTROL, CLOSE)]


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(random_bundle(tmp_path), lateness_ms=900_000, ttl_ms=400 * DAY_MS, holdout=0.0)


def test_a_control_record_is_neither_an_event_nor_a_dead_letter(engine: Engine) -> None:
    records = [
        record(0, good(1)),
        record(1, b"", None, headers=CLOSING),
        record(2, b"", None),
        record(3, b"", headers=CLOSING),
        record(4, good(2)),
    ]
    intake = read_batches([batch(*records)], [BEGINNING], engine, partitions=PARTITIONS)
    assert intake.columns.event_ids == ["good-1", "good-2"]
    assert (intake.rows.tolist(), intake.where(RecordStatus.CLOSE).tolist()) == ([0, 4], [1])
    assert [rejection.index for rejection in intake.rejections] == [2, 3], "it has a header and no key"


def test_an_archive_leaves_control_records_out() -> None:
    taken = FirstPass(partitions=PARTITIONS)
    table = take_events(
        taken,
        home(b"anna"),
        [record(0, good(1)), record(1, b"", None, headers=CLOSING), record(2, None)],
        None,
    )
    assert table["offset"].to_pylist() == [0]
    assert (taken.erasures, dict(taken.refused)) == (1, {})
    assert np.array_equal(table["event_time"].cast("int64").to_numpy(), [NOW])
