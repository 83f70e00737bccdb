"""Records in a format: what becomes of each, and that it stays at its place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from features.events import LENIENT, Decoded, Reason
from stream.formats.contract import NATIVE
from stream.formats.decoding import decode_records, values_of
from stream.formats.registry import PLAIN, WRAPPERS, format_of
from stream.setting_values import FORMAT_NAMES, check_format
from tests.malformed import good
from tests.stream.records import NOW, record

CALL = {
    "type": "track", "event": "Products Searched", "messageId": "m-1", "userId": "anna",
    "timestamp": "2024-03-04T00:00:00Z",
}  # fmt: skip
SEARCH = {"name": "search", "params": {}}


def decoded(name: str, *values: Any, headers: Any = ()) -> Decoded:
    raw = [value if isinstance(value, bytes | None) else json.dumps(value).encode() for value in values]
    records = [record(at, value, headers=headers) for at, value in enumerate(raw)]
    return decode_records(records, raw, LENIENT, format_of(name))


def test_each_record_keeps_its_place_whatever_it_holds() -> None:
    page, untimed = {"type": "page"}, {name: CALL[name] for name in CALL if name != "timestamp"}
    found = decoded("segment", CALL, page, b"{", untimed, None, CALL | {"messageId": "m-2"})
    assert [event.event_id for event in found.events] == ["m-1", "m-2"]
    assert (found.indices, found.ignored) == ([0, 5], [1])
    assert dict(found.without_counterpart) == {"page": 1}
    assert [(fault.index, fault.reason, fault.detail) for fault in found.rejections] == [
        (2, Reason.NOT_JSON, found.rejections[0].detail),
        (3, Reason.MISSING_FIELD, "the event has no event_time (segment: timestamp)"),
    ]


def test_a_record_with_several_events_is_refused_and_says_the_way_out() -> None:
    request = {"client_id": "anna", "events": [SEARCH, SEARCH]}
    found = decoded("ga4", request, request | {"events": [SEARCH, {"name": "page_view"}]})
    assert [(fault.index, fault.reason) for fault in found.rejections] == [(0, Reason.SEVERAL_EVENTS)]
    assert "intent emit --format ga4" in found.rejections[0].detail
    assert [event.event_time for event in found.events] == [NOW]
    assert dict(found.without_counterpart) == {"page_view": 1}


def test_a_bad_optional_field_of_a_format_is_dropped_and_counted() -> None:
    found = decoded("segment", CALL | {"properties": {"currency": "dollars"}})
    assert dict(found.dropped) == {"currency": 1}
    assert len(found.events) == 1


def test_a_record_that_says_it_is_native_is_not_translated() -> None:
    found = decoded("segment", good(1), headers=[("arrived_at", b"5"), NATIVE])
    assert [event.event_id for event in found.events] == ["good-1"]
    assert decoded("segment", good(1)).events == []
    refused = decoded("segment", good(1).replace(b"event_id", b"event_ix"), headers=[NATIVE]).rejections
    assert [fault.detail for fault in refused] == ["the event has no event_id"]
    assert len(decoded("native", good(1)).events) == 1


def test_settings_and_registry_know_the_same_formats() -> None:
    assert {*PLAIN, *WRAPPERS, "native"} == set(FORMAT_NAMES)


@pytest.mark.parametrize("name", ["avro", "", "segment+ga4", "confluent+native", "+segment", "confluent+"])
def test_an_unknown_format_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="unknown format"):
        check_format(name)


def test_a_cloudevent_without_data_erases_nobody() -> None:
    told = [(f"ce_{name}", b"x.y") for name in ("specversion", "id", "source", "type")]
    records = [record(0, None, headers=told), record(1, None)]
    values = values_of(records, format_of("cloudevents"))
    assert values == [b"", None]
    found = decode_records(records, values, LENIENT, format_of("cloudevents"))
    assert (found.ignored, dict(found.without_counterpart), found.rejections) == ([0], {"x.y": 1}, [])
    assert values_of(records, format_of("segment")) == values_of(records, None) == [None, None]
