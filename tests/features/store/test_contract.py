from __future__ import annotations

import struct

import pytest

from features.exceptions import SchemaMismatch, StoreUnavailable
from features.store.log_mark import UNKNOWN_EPOCH, UNKNOWN_TOPIC, LogMark
from features.store.memory_store import MemoryStore
from features.store.partition_record import NO_WATERMARK, PartitionRecord
from features.store.redis_store import RedisStore
from stream.services.process import free_port
from tests.features.store.contract import StoreContract, WriteItems
from tests.features.store.price_contract import PriceContract
from tests.features.store.timer_contract import TimerContract


class TestMemoryStore(StoreContract, TimerContract, PriceContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()

    @pytest.fixture
    def write_items(self, store: MemoryStore) -> WriteItems:
        return store.write_items

    def test_it_tells_its_customers_in_order(self, store: MemoryStore) -> None:
        assert store.customers(3) == []


@pytest.mark.parametrize(
    "raw",
    [b"", b"\x01", PartitionRecord(1, bytes(16), 0, 0, 1).to_bytes() + b"\x00", b"\x02" + bytes(44), b"{}"],
)
def test_a_record_of_another_version_is_not_read(raw: bytes) -> None:
    with pytest.raises(SchemaMismatch, match="INTENT_REDIS_PREFIX"):
        PartitionRecord.from_bytes(raw)


def test_a_redis_that_is_away_is_named_without_its_password() -> None:
    port = free_port()
    store = RedisStore(f"redis://user:secret@127.0.0.1:{port}/0")
    with pytest.raises(StoreUnavailable) as error:
        store.claim(3, None, PartitionRecord(1, bytes(16), 0, NO_WATERMARK, 1))
    assert f"127.0.0.1:{port}" in str(error.value)
    assert "secret" not in str(error.value)


def test_a_record_of_version_1_knows_no_log_and_counts_as_incarnation_0() -> None:
    first = struct.pack("<BQ16sqqI", 1, 4, b"an owner's token", 70, 1_000, 12)
    found = PartitionRecord.from_bytes(first)
    assert found == PartitionRecord(4, b"an owner's token", 70, 1_000, 12)
    assert (found.topic_id, found.leader_epoch, found.incarnation) == (UNKNOWN_TOPIC, UNKNOWN_EPOCH, 0)
    assert PartitionRecord.from_bytes(found.to_bytes()) == found


def test_a_record_of_version_1_is_claimed_and_then_of_today_s_version() -> None:
    store = MemoryStore()
    store._contents.records[3] = struct.pack("<BQ16sqqI", 1, 4, bytes(16), 70, 1_000, 12)
    found = store.record(3)
    assert found is not None
    store.claim(3, found, found._replace(epoch=5, topic_id=b"an id, 16 bytes."))
    assert store._contents.records[3][0] == 4
    assert store.record(3) == found._replace(epoch=5, topic_id=b"an id, 16 bytes.")


def test_a_record_of_version_2_does_not_say_in_which_log_it_is_silent() -> None:
    fields = (4, b"an owner's token", 70, 1_000, 12, b"an id, 16 bytes.", 3, 69, 900, 8, 90)
    found = PartitionRecord.from_bytes(struct.pack("<BQ16sqqI16siqqIq", 2, *fields))
    assert found == PartitionRecord(*fields)
    assert found.silent
    assert found.scored == LogMark(90, b"an id, 16 bytes.")
    assert PartitionRecord.from_bytes(found.to_bytes()) == found


def test_a_record_of_version_3_had_no_seal_and_is_read() -> None:
    record = PartitionRecord(4, bytes(16), 70, 1_000, 12, b"an id, 16 bytes.", 3, 69, 900, 8, 90, 2, 89, 950)
    assert PartitionRecord.from_bytes(b"\x03" + record.to_bytes()[1:-8]) == record


def test_a_record_with_any_bit_changed_is_not_read() -> None:
    raw = PartitionRecord(4, bytes(16), 70, 1_000, 12, b"an id, 16 bytes.", 3, 69, 900, 8).to_bytes()
    for bit in range(8 * len(raw)):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SchemaMismatch):
            PartitionRecord.from_bytes(bytes(changed))


def test_what_was_scored_is_what_was_read_or_what_the_silence_covers() -> None:
    topic = b"an id, 16 bytes."
    record = PartitionRecord(4, bytes(16), 70, 1_000, 12, topic, 3, 69, 900)
    assert record.scored == record.read == LogMark(70, topic, 3, 69, 900)
    mark = LogMark(90, topic, 5, 88, 950)
    assert record.silenced(mark).scored == mark
    assert record.silenced(mark)._replace(next_offset=90).scored.offset == 90


@pytest.mark.parametrize("mark", [LogMark(0), LogMark(90, b"an id, 16 bytes.", 5, 88, 950)])
def test_a_mark_is_read_from_a_commit(mark: LogMark) -> None:
    assert LogMark.from_commit(mark.offset, mark.to_text()) == mark


@pytest.mark.parametrize(
    "text",
    ["", "somebody's note", "1 90", "2 90 " + "00" * 16 + " 5 88 950", "1 90 00 5 88 950", "1 x y 5 88 950"],
)
def test_of_a_commit_with_other_metadata_only_the_offset_counts(text: str) -> None:
    assert LogMark.from_commit(90, text) == LogMark(90)


def test_every_beginning_is_another_incarnation() -> None:
    drawn = [PartitionRecord.beginning(0, 12).incarnation for _ in range(20)]
    assert len(set(drawn)) > 15
    assert min(drawn) > 0
