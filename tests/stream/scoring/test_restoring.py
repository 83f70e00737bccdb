"""States from an archived log equal those of its scoring, and nobody goes on from half of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest

from features.bundle import Bundle
from features.exceptions import LogError, StoreConflict
from features.links import Link
from features.log import ERASED
from features.state import DAY_MS, empty
from features.store.customer_store import DueRequest, LoadRequest
from features.store.memory_store import MemoryStore
from features.store.partition_record import NO_WATERMARK, RESTORING, PartitionRecord
from stream.decisions.following import PolicyInForce
from stream.decisions.memory import memories_of
from stream.decisions.policy_file import parse_policy
from stream.decisions.rulebook import Rulebook
from stream.exceptions import RecordExists
from stream.scoring.engine import Engine
from stream.scoring.restoring import (
    OF_ERASED,
    REFUSED,
    REPEATED,
    RestoredPartition,
    restore,
    write_partition,
)
from stream.scoring.score_log import score_log
from tests.bundles import random_bundle
from tests.integration.shop_logs import partition_column
from tests.stream.logs.logs import random_log

PARTITIONS = 3
ROWS = 600


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder: Path = tmp_path_factory.mktemp("bundle")
    bundle: Bundle = random_bundle(folder)
    text = "version: 1\nrules: [{name: back, trigger: win_back, after: 1m, action: come_back}]"
    policy = PolicyInForce(Rulebook.of(parse_policy(text), bundle, 0.1))
    return Engine(bundle, lateness_ms=4_000, ttl_ms=400 * DAY_MS, holdout=0.1, policy=policy)


def archived(seed: int = 1) -> pa.Table:
    """A log with partitions and offsets (with holes), some of whose rows belong to erased customers."""
    log = random_log(ROWS, seed)
    kinds = [ERASED if at % 50 == 0 else kind for at, kind in enumerate(log["type"].to_pylist())]
    columns = {
        "type": pa.array(kinds),
        "partition": pa.array(partition_column(log, PARTITIONS), pa.int32()),
        "offset": pa.array(np.arange(ROWS) * 2 + 5, pa.int64()),
    }
    for name, column in columns.items():
        at = log.schema.get_field_index(name)
        log = log.set_column(at, log.schema.field(name), column.cast(log.schema.field(name).type))
    return log


def test_the_states_are_those_of_the_logs_scoring(engine: Engine, seed: int) -> None:
    log, store = archived(seed), MemoryStore()
    report = restore(log, engine, store, partitions=PARTITIONS)
    truth = score_log(log, engine, partitions=PARTITIONS)
    erased = log["type"].to_pylist().count(ERASED)
    wanted_out = {OF_ERASED: erased, REFUSED: truth.dead_letters, REPEATED: truth.duplicates}
    assert report.left_out == Counter(wanted_out)
    assert report.events == len(log) - erased
    wanted = {c: s.tobytes() for c, s in zip(truth.customers, truth.states, strict=True)}
    found: dict[str, bytes] = {}
    for number in range(PARTITIONS):
        customers = store.customers(number)
        found |= {c: s.tobytes() for c, s in zip(customers, store.load(number, customers), strict=True)}
        record = store.record(number)
        assert record is not None
        last = max(
            offset
            for offset, partition in zip(log["offset"].to_pylist(), log["partition"].to_pylist(), strict=True)
            if partition == number
        )
        assert record.next_offset == last + 1 == report.next_offsets[number]
        assert (record.watermark, record.partitions) == (truth.watermarks[number], PARTITIONS)
        due = {
            c: int(d)
            for c, d in zip(customers, memories_of(store.load(number, customers))["due"], strict=True)
        }
        timers = store.due_many([DueRequest(number, record, 2**60, 1_000)])[0].customers
        assert timers == sorted((c for c, d in due.items() if d), key=lambda customer: due[customer])
        assert len(timers) > 0
        assert store.pending(number, record).outbox is None, "nothing is published for the past"
    assert found == wanted
    assert report.customers == len(wanted)
    assert report.events == sum(kind != ERASED for kind in log["type"].to_pylist())


def test_states_that_are_there_are_kept_unless_they_are_to_be_replaced(engine: Engine) -> None:
    log, store = archived(), MemoryStore()
    mine = PartitionRecord(7, bytes(16), 40, NO_WATERMARK, PARTITIONS)
    store.claim(1, None, mine)
    with pytest.raises(RecordExists, match="partition 1: stop the workers and add --replace"):
        restore(log, engine, store, partitions=PARTITIONS)
    assert [store.record(number) for number in range(PARTITIONS)] == [None, mine, None]
    store.claim(2, None, mine)
    with pytest.raises(RecordExists, match="partitions 1 and 2: stop"):
        restore(log, engine, store, partitions=PARTITIONS)
    restore(log, engine, store, partitions=PARTITIONS, replace=True)
    record = store.record(1)
    assert record is not None
    assert record.epoch == 8, "a worker that is still there is fenced"
    assert record.incarnation != mine.incarnation


@pytest.mark.parametrize("column", ["partition", "offset"])
def test_a_log_that_was_not_archived_cannot_be_restored(engine: Engine, column: str) -> None:
    log = archived()
    at = log.schema.get_field_index(column)
    bare = log.set_column(at, log.schema.field(at), pa.nulls(len(log), log.schema.field(at).type))
    with pytest.raises(LogError, match="`intent archive`"):
        restore(bare, engine, MemoryStore(), partitions=PARTITIONS)
    with pytest.raises(LogError, match="--partitions"):
        restore(log, engine, MemoryStore(), partitions=PARTITIONS - 1)


def test_a_restoring_that_is_broken_off_leaves_a_record_from_which_nobody_goes_on(engine: Engine) -> None:
    class Claimed(MemoryStore):
        """A worker claims a partition while its states are written."""

        def save(self, *arguments: object, **options: object) -> None:  # type: ignore[override]
            raise StoreConflict("partition 0 has another record")

    store = Claimed()
    with pytest.raises(StoreConflict, match="stop the workers"):
        restore(archived(), engine, store, partitions=PARTITIONS)
    record = store.record(0)
    assert record is not None
    assert record.next_offset == RESTORING


def test_links_are_written_in_pieces(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    class Watched(MemoryStore):
        """Notes how many links are written at a time."""

        written: ClassVar[list[int]] = []

        def save(
            self, *arguments: Any, links: Mapping[str, bytes | None] = MappingProxyType({}), **more: Any
        ) -> None:
            self.written.append(len(links))
            super().save(*arguments, links=links, **more)

    monkeypatch.setattr("stream.scoring.restoring._STATES", 10)
    store, links = (
        Watched(),
        {f"a-{number}": Link(members=(f"b-{number}",)).to_bytes() for number in range(25)},
    )
    write_partition(RestoredPartition(0, [], empty(0), 0, 7, links, {}, {}), store, None, PARTITIONS)
    assert [count for count in store.written if count] == [10, 10, 5]
    record = store.record(0)
    assert record is not None
    assert (record.next_offset, record.links) == (7, True)
    (found,) = store.load_many([LoadRequest(0, [], record, links_of=list(links))])
    assert list(found.links) == list(links.values())
