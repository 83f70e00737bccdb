from __future__ import annotations

import pytest

from features.exceptions import SchemaMismatch, StoreUnavailable
from features.store.customer_store import NO_WATERMARK, MemoryStore, PartitionRecord
from features.store.redis_store import RedisStore
from stream.services.process import free_port
from tests.features.store.contract import StoreContract, WriteItems


class TestMemoryStore(StoreContract):
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
