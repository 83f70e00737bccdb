from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from features.state import STATE, States
from features.store import NO_WATERMARK, MemoryStore, PartitionRecord
from features.vector import COLUMN_NAMES
from stream.cli.customer import described, is_past, partition_of
from stream.settings import Settings
from tests.stream.logs import small_bundle


@pytest.fixture
def states() -> States:
    known = np.zeros(1, STATE)
    known["version"], known["events"], known["sessions"] = 1, 3, 1
    known["first_time"] = known["last_time"] = known["session_start"] = 1_772_366_400_000
    known["cart_value"], known["session_events"] = 49.5, 3
    return known


def settings(bundle: Path) -> Settings:
    return Settings(_env_file=None, partitions=5, bundle=bundle)


def test_the_partition_is_that_of_the_count_which_the_worker_wrote_down(tmp_path: Path) -> None:
    store = MemoryStore()
    customers = [f"c{number}" for number in range(50)]
    before = [partition_of(settings(tmp_path), store, customer) for customer in customers]
    store.claim(0, None, PartitionRecord(1, bytes(16), 0, NO_WATERMARK, 40))
    after = [partition_of(settings(tmp_path), store, customer) for customer in customers]
    assert max(before) == 4
    assert max(after) > 4


def test_a_request_is_done_once_the_states_are_saved_past_its_offset() -> None:
    store = MemoryStore()
    assert not is_past(store, 2, 7)
    record = PartitionRecord(1, bytes(16), 7, NO_WATERMARK, 40)
    store.claim(2, None, record)
    assert not is_past(store, 2, 7)
    store.claim(2, record, record._replace(next_offset=8))
    assert is_past(store, 2, 7)


def test_a_customer_is_described_by_state_and_named_columns(tmp_path: Path, states: States) -> None:
    known = described(settings(tmp_path), "ada", 3, states)
    assert known["state"]["events"] == 3
    assert list(known["vector"]) == list(COLUMN_NAMES)
    assert known["vector"]["cart_value"] == 49.5
    assert known["score"] is None


def test_a_bundle_adds_the_score(tmp_path: Path, states: States) -> None:
    known = described(settings(small_bundle(tmp_path)), "ada", 3, states)
    assert 0 < known["score"]["purchase_intent"] < 1
    assert known["score"]["segment"]["name"] in ("visitors", "buyers")
    assert known["vector"]["segment"] == known["score"]["segment"]["id"]
