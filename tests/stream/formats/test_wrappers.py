"""CloudEvents and Confluent's frame: the envelope is opened, and what it holds is translated."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from features.events import Event, Reason, RejectedEvent
from stream.formats.cloudevents import CloudEvents
from stream.formats.confluent import Confluent
from stream.formats.contract import Message
from stream.formats.registry import format_of
from stream.formats.segment import Segment
from tests.stream.formats.messages import event_of, events_of, message

EVENTS = CloudEvents()
VIEW = {"item_id": "sku-4", "price": 19.9}
CALL = {"type": "track", "event": "Products Searched", "userId": "u-7"}
STRUCTURED = [("content-type", b"application/cloudevents+json; charset=UTF-8")]


def envelope(data: Any, **more: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "type": "com.example.shop.view_item",
        "source": "/mycontext/subcontext",
        "id": "1234-1234-1234",
        "time": "2018-04-05T03:56:24Z",
        "datacontenttype": "application/json",
        "data": data,
    } | more


def headers(**more: bytes) -> list[tuple[str, bytes]]:
    told = {
        "specversion": b"1.0", "type": b"com.example.shop.view_item", "source": b"/mycontext", "id": b"1234",
        "time": b"2018-04-05T03:56:24Z",
    } | more  # fmt: skip
    return [(f"ce_{name}", value) for name, value in told.items()]


def binary(value: bytes, *more: tuple[str, bytes], **attributes: bytes) -> Event:
    found = EVENTS.translate(Message(value, b"anna", [*headers(**attributes), *more]))
    (event,) = events_of(found)
    return event


@pytest.mark.parametrize("told", [STRUCTURED, []])
def test_a_structured_event_says_id_time_and_type_and_the_key_the_customer(told: Any) -> None:
    event = event_of(EVENTS, envelope(VIEW), key=b"anna", headers=told)
    assert (event.event_id, event.type, event.customer_id) == ("1234-1234-1234", "view_item", "anna")
    assert (event.item_id, event.price) == ("sku-4", 19.9)


def test_a_binary_event_has_its_attributes_in_headers() -> None:
    event = binary(json.dumps(VIEW).encode(), ("content-type", b"application/json"))
    assert (event.event_id, event.type, event.customer_id, event.item_id) == (
        "1234",
        "view_item",
        "anna",
        "sku-4",
    )


def test_what_the_data_says_goes_before_the_envelope() -> None:
    own = VIEW | {
        "event_id": "e-1",
        "type": "add_to_cart",
        "customer_id": "bob",
        "event_time": 1_709_510_400_000,
    }
    event = event_of(EVENTS, envelope(own, partitionkey="anna"))
    assert (event.event_id, event.type, event.customer_id) == ("e-1", "add_to_cart", "bob")
    assert event.event_time == 1_709_510_400_000


def test_the_form_of_the_data_is_named_by_schema_or_type_or_the_setting() -> None:
    for more in ({"type": "com.segment.track"}, {"dataschema": "https://example.com/segment/v2"}):
        event = event_of(EVENTS, envelope(CALL, **more))
        assert (event.type, event.customer_id, event.event_id) == ("search", "u-7", "1234-1234-1234")
    named = format_of("cloudevents+segment")
    assert named is not None
    assert event_of(named, envelope(CALL, type="anything")).type == "search"


def test_data_in_base64_is_json_all_the_same() -> None:
    packed = base64.b64encode(json.dumps(VIEW).encode()).decode()
    event = event_of(EVENTS, envelope(None, data_base64=packed), key=b"anna")
    assert event.item_id == "sku-4"


def test_an_event_of_another_type_has_no_counterpart() -> None:
    found = EVENTS.translate(message(envelope({"name": "x"}, type="com.example.customer.created")))
    assert (found.events, found.ignored) == ([], ["com.example.customer.created"])
    assert EVENTS.translate(message(envelope(None))).ignored == ["com.example.shop.view_item"]


@pytest.mark.parametrize(
    ("value", "told", "detail"),
    [
        (b'{"type":"x"}', [], "it has no specversion"),
        (b"[]", [], "no CloudEvent"),
        (b"\x00\x01", [*headers(), ("content-type", b"application/avro")], "must be JSON"),
        (b"{}", [("content-type", b"application/cloudevents+avro")], r"use application/cloudevents\+json"),
        (json.dumps(envelope(None, data_base64="%")).encode(), [], "not base64"),
    ],
)
def test_what_is_no_cloudevent_of_json_is_refused(value: bytes, told: Any, detail: str) -> None:
    with pytest.raises(RejectedEvent, match=detail):
        EVENTS.translate(Message(value, b"anna", told))


FRAME = b"\x00\x00\x00\x00\x0a"
OWN = {"event_id": "e", "type": "search", "customer_id": "anna", "event_time": 1_709_510_400_000}


def test_json_in_a_frame_is_an_event_of_ours_or_of_the_form_that_is_named() -> None:
    (event,) = events_of(Confluent().translate(Message(FRAME + json.dumps(OWN).encode())))
    assert event.event_id == "e"
    call = CALL | {"messageId": "m", "timestamp": "2024-03-04T00:00:00Z"}
    (event,) = events_of(Confluent(Segment()).translate(Message(FRAME + json.dumps(call).encode())))
    assert (event.event_id, event.customer_id) == ("m", "u-7")


def test_a_schema_id_may_stand_in_a_header_instead() -> None:
    told = [("__value_schema_id", b"\x01" + bytes(16))]
    (event,) = events_of(Confluent().translate(Message(json.dumps(OWN).encode(), headers=told)))
    assert event.event_id == "e"


@pytest.mark.parametrize(
    ("value", "reason", "detail"),
    [
        (json.dumps(OWN).encode(), Reason.INVALID_FIELD, "no frame"),
        (b"\x00\x00", Reason.INVALID_FIELD, "no frame"),
        (b"", Reason.INVALID_FIELD, "no frame"),
        (FRAME + b"\x00\x0a\x03abc", Reason.NOT_JSON, "schema id 10 is not JSON: Avro and Protobuf"),
        (FRAME + b"{", Reason.NOT_JSON, "it ends too early"),
        (FRAME + b"[1]", Reason.INVALID_FIELD, "not a JSON object"),
    ],
)
def test_what_has_no_frame_or_no_json_is_refused(value: bytes, reason: Reason, detail: str) -> None:
    with pytest.raises(RejectedEvent, match=detail) as refused:
        Confluent().translate(Message(value))
    assert refused.value.reason == reason


def test_wrappers_wrap_each_other_and_say_so() -> None:
    form = format_of("confluent+cloudevents+segment")
    assert form is not None
    assert form.name == "confluent+cloudevents+segment"
    (event,) = events_of(form.translate(Message(FRAME + json.dumps(envelope(CALL)).encode())))
    assert event.type == "search"
