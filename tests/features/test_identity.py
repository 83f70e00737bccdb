"""What partitions hand to each other is looked at as if it had come by itself."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from features.events import MAX_BYTES, RejectedEvent
from features.identity import HandOver, decode_identity, source_offset
from tests.stream.records import NOW

EVENT = {"event_id": "e-1", "type": "search", "customer_id": "a-1", "event_time": NOW}


def handed(event: dict[str, Any]) -> bytes:
    return msgspec.json.encode(
        {
            "event_id": "e-1", "customer_id": "ada", "anonymous_id": "a-1", "event_time": NOW, "source": (2, 77, 1),
            "path": ["a-1"], "type": "merge", "event": event,
        }
    )  # fmt: skip


def test_an_event_that_was_handed_on_is_taken_as_it_is() -> None:
    found = decode_identity(handed(EVENT | {"item_id": "i-1"}))
    assert isinstance(found, HandOver)
    assert found.event is not None
    assert (found.event.event_id, found.event.item_id, found.source) == ("e-1", "i-1", (2, 77, 1))
    assert source_offset(handed(EVENT)) == 77
    assert source_offset(b'{"type":"merge"}') == 0
    assert source_offset(b'{"type":"price","source":[2,78]}') == 78


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"item_id": "i\x07"}, "control characters"),
        ({"items": [{"item_id": "i\x07"}]}, "control characters"),
        ({"event_time": "9999-12-31T23:59:59.999999+00:00", "order_id": "o\x1f"}, "control characters"),
        ({"event_time": "0001-01-01T00:00:00Z"}, "must lie in 1973 to 9999"),
        ({"price": -1}, "price"),
        (
            {"items": [{"item_id": "i" * 128, "category": "\U0001f600" * 128}] * 100},
            f"the limit is {MAX_BYTES}",
        ),
    ],
    ids=["item", "line", "order", "time", "price", "size"],
)
def test_a_bad_event_that_was_handed_on_is_refused(fields: dict[str, Any], detail: str) -> None:
    with pytest.raises(RejectedEvent, match=detail):
        decode_identity(handed(EVENT | fields))
