from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from stream.ownership.promised import pack_outbox, unpack_outbox
from stream.scoring.metrics import ScorerMetrics
from stream.scoring.publisher import Output
from stream.scoring.scorer import Scorer

RECORDS: list[tuple[str, bytes | None]] = [("Zoë", b'{"a":1}'), ("\x00", None), ("Zoë", bytes(range(256)))]


def test_records_come_back_as_they_were_in_their_order() -> None:
    assert unpack_outbox(pack_outbox(RECORDS)).actions == RECORDS
    assert pack_outbox(RECORDS) == pack_outbox(list(RECORDS)), "the same bytes"


def test_no_records_are_an_empty_outbox() -> None:
    assert pack_outbox([]) == b""


@pytest.mark.parametrize("raw", [b"", b"{}", msgspec.msgpack.encode((3, []))])
def test_another_form_is_not_taken_for_records(raw: bytes) -> None:
    with pytest.raises(ValueError, match="version 3|truncated|array"):
        unpack_outbox(raw)


def test_the_scorer_publishes_what_was_promised_to_the_partition_it_belongs_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[Output] = []

    async def publish(outputs: list[Output]) -> None:
        written.extend(outputs)

    publisher = cast("Any", SimpleNamespace(publish=publish))
    scorer = Scorer(cast("Any", None), publisher, ScorerMetrics("test"), "events", 4)
    asyncio.run(scorer.act([(3, pack_outbox(RECORDS))]))
    assert written == [Output(3, actions=RECORDS)]
    assert scorer.metrics.registry.get_sample_value("intent_actions_total") == 2, "a tombstone is no action"
    written.clear()
    monkeypatch.setattr("stream.scoring.keeping_promises._AT_ONCE", 2)
    asyncio.run(scorer.act([(3, pack_outbox(RECORDS))]))
    assert written == [Output(3, actions=RECORDS[:2]), Output(3, actions=RECORDS[2:])]
    written.clear()
    asyncio.run(scorer.act([(at, pack_outbox(RECORDS[at:])) for at in range(3)]))
    assert [(output.partition, output.actions) for output in written] == [
        (0, RECORDS[:2]),
        (0, RECORDS[2:]),
        (1, RECORDS[1:]),
        (2, RECORDS[2:]),
    ]
    written.clear()
    scorer.acting = False
    asyncio.run(scorer.act([(3, pack_outbox(RECORDS))]))
    assert not written, "there is no topic any more"
