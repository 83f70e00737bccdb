"""Messages that tell a login: an anonymous id and a known one beside each other."""

from __future__ import annotations

import json
from typing import Any

import pytest

from features.events import LENIENT, Decoded, Reason
from features.identity import Identify, encode_identity
from stream.clients.emit import EventEmitter, emit_lines
from stream.formats.contract import Format
from stream.formats.decoding import decode_records
from stream.formats.registry import format_of
from tests.stream.formats.messages import message
from tests.stream.records import NOW, record

IDENTIFY = {
    "anonymousId": "507f191e810c19729de860ea", "channel": "browser", "messageId": "022bb90c-bbac-11e4",
    "timestamp": "2015-02-23T22:28:55.111Z", "traits": {"name": "Peter Gibbons", "email": "peter@example.com"},
    "type": "identify", "userId": "97980cfea0067",
}  # fmt: skip
ALIAS = {
    "anonymousId": "507f191e810c19729de860ea", "messageId": "022bb90c-bbac-11e5",
    "previousId": "39239-239239-239239-23923", "timestamp": "2015-02-23T22:28:55.387Z", "type": "alias",
    "userId": "507f191e81",
}  # fmt: skip
VIEW = {
    "anonymousId": "a-1", "event": "Product Viewed", "messageId": "m-1", "properties": {"product_id": "p-1"},
    "timestamp": "2015-02-23T22:28:55.111Z", "type": "track", "userId": "u-7",
}  # fmt: skip
GA4_VIEW = {
    "client_id": "1.2", "user_id": "u-7", "timestamp_micros": NOW * 1000,
    "events": [{"name": "view_item", "params": {"items": [{"item_id": "p-1"}]}}],
}  # fmt: skip
GA4_ROW = {
    "event_name": "view_item", "event_timestamp": NOW * 1000, "user_id": "u-7", "user_pseudo_id": "1.2",
    "items": [{"item_id": "p-1"}],
}  # fmt: skip
SNOWPLOW_VIEW = {
    "event": "unstruct", "event_id": "s-1", "user_id": "u-7", "domain_userid": "1.2",
    "derived_tstamp": "2015-02-23T22:28:55.111Z",
    "unstruct_event_com_snowplowanalytics_snowplow_ecommerce_snowplow_ecommerce_action_1": {"type": "product_view"},
    "contexts_com_snowplowanalytics_snowplow_ecommerce_product_1": [{"id": "p-1"}],
}  # fmt: skip

SEGMENT, GA4, SNOWPLOW = (format_of(name) for name in ("segment", "ga4", "snowplow"))


def decoded(form: Format | None, key: str, value: Any) -> Decoded:
    raw = json.dumps(value).encode()
    return decode_records([record(0, raw, key.encode())], [raw], LENIENT, form)


def pair(found: Decoded) -> tuple[str, str]:
    said = found.identities[0]
    assert isinstance(said, Identify)
    return said.anonymous_id, said.customer_id


def test_an_identify_call_keyed_by_the_anonymous_id_is_a_login() -> None:
    found = decoded(SEGMENT, IDENTIFY["anonymousId"], IDENTIFY)
    assert not found.events
    assert not found.rejections
    assert pair(found) == ("507f191e810c19729de860ea", "97980cfea0067")
    assert found.identities[0].event_id == "identify.022bb90c-bbac-11e4"


def test_an_alias_call_makes_the_previous_id_the_user_s() -> None:
    assert pair(decoded(SEGMENT, ALIAS["previousId"], ALIAS)) == ("39239-239239-239239-23923", "507f191e81")
    del (browser := dict(ALIAS))["previousId"]
    assert pair(decoded(SEGMENT, ALIAS["anonymousId"], browser)) == ("507f191e810c19729de860ea", "507f191e81")


@pytest.mark.parametrize(
    ("key", "call"),
    [
        ("97980cfea0067", IDENTIFY),
        ("507f191e81", ALIAS),
        ("507f191e810c19729de860ea", {name: IDENTIFY[name] for name in IDENTIFY if name != "userId"}),
        ("u-7", IDENTIFY | {"anonymousId": "u-7", "userId": "u-7"}),
    ],
    ids=["keyed by the user", "alias keyed by the user", "nobody is known", "both are one"],
)
def test_a_call_that_tells_no_login_on_its_partition_has_no_counterpart(key: str, call: Any) -> None:
    found = decoded(SEGMENT, key, call)
    assert (found.identities, found.rejections, found.ignored) == ({}, [], [0])
    assert dict(found.without_counterpart) == {call["type"]: 1}


@pytest.mark.parametrize(
    ("form", "key", "value"),
    [(SEGMENT, "a-1", VIEW), (GA4, "1.2", GA4_VIEW), (GA4, "1.2", GA4_ROW), (SNOWPLOW, "1.2", SNOWPLOW_VIEW)],
    ids=["segment", "ga4", "ga4 export", "snowplow"],
)
def test_an_event_with_both_ids_is_a_login_too_where_its_key_is_the_anonymous_one(
    form: Format, key: str, value: Any
) -> None:
    found = decoded(form, key, value)
    assert [(event.type, event.customer_id, event.item_id) for event in found.events] == [
        ("view_item", key, "p-1")
    ]
    assert pair(found) == (key, "u-7")
    assert found.identities[0].event_id not in {event.event_id for event in found.events}
    known = decoded(form, "u-7", value)
    assert [event.customer_id for event in known.events] == ["u-7"]
    assert not known.identities


@pytest.mark.parametrize("name", ["login", "sign_up"])
def test_a_login_of_ga4_is_one_and_no_event(name: str) -> None:
    request = GA4_VIEW | {"events": [{"name": name, "params": {"method": "Google"}}]}
    found = decoded(GA4, "1.2", request)
    assert (found.events, pair(found)) == ([], ("1.2", "u-7"))
    assert decoded(GA4, "u-7", request).ignored == [0]


def test_a_bad_known_id_beside_an_event_is_left_out_and_counted() -> None:
    found = decoded(SEGMENT, "a-1", VIEW | {"userId": "u" * 200})
    assert len(found.events) == 1
    assert not found.identities
    assert dict(found.dropped) == {"identify": 1}
    refused = decoded(SEGMENT, IDENTIFY["anonymousId"], IDENTIFY | {"userId": "u" * 200})
    assert [fault.reason for fault in refused.rejections] == [Reason.INVALID_FIELD]


@pytest.mark.parametrize("name", ["confluent", "cloudevents", "cloudevents+segment"])
def test_a_login_may_come_wrapped(name: str) -> None:
    own = {
        "type": "identify",
        "anonymous_id": "a-1",
        "customer_id": "u-7",
        "event_id": "l-1",
        "event_time": NOW,
    }
    value: bytes = json.dumps(own).encode()
    if name == "confluent":
        value = b"\0\0\0\0\1" + value
    else:
        data = VIEW | {"type": "identify"} if name.endswith("segment") else own
        envelope = {"specversion": "1.0", "id": "c-1", "source": "/shop", "type": "x.y", "data": data}
        value = json.dumps(envelope).encode()
    found = decode_records([record(0, value, b"a-1")], [value], LENIENT, format_of(name))
    assert (pair(found), found.events) == (("a-1", "u-7"), [])


class Sent(EventEmitter):
    """An emitter that keeps what it is given."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, ...]] = []

    def emit(self, event: Any = None, /, **fields: object) -> Any:
        self.sent.append((event.type, event.customer_id))
        return event

    def emit_identify(self, value: bytes) -> Any:
        said = json.loads(value)
        self.sent.append((said["type"], said["anonymous_id"], said["customer_id"]))

    def flush(self) -> None:
        pass


def test_lines_without_keys_are_the_user_s_and_each_login_is_emitted_once() -> None:
    calls = [VIEW | {"userId": None}, IDENTIFY, VIEW, VIEW, VIEW | {"userId": "u-8"}]
    emitter = Sent()
    report = emit_lines(emitter, [json.dumps(call).encode() for call in calls], form=SEGMENT)
    assert emitter.sent == [
        ("view_item", "a-1"), ("identify", IDENTIFY["anonymousId"], IDENTIFY["userId"]),
        ("identify", "a-1", "u-7"), ("view_item", "u-7"), ("view_item", "u-7"),
        ("identify", "a-1", "u-8"), ("view_item", "u-8"),
    ]  # fmt: skip
    assert report.emitted == 7


def test_a_request_tells_one_login_however_many_events_it_has() -> None:
    assert GA4 is not None
    found = GA4.translate(message(GA4_VIEW | {"events": GA4_VIEW["events"] * 3}))
    assert (len(found.events), len(found.logins)) == (3, 1)


def test_what_a_login_says_is_an_identify_event_of_our_own_form() -> None:
    said = decoded(SEGMENT, "a-1", VIEW).identities[0]
    again = decoded(None, "a-1", json.loads(encode_identity(said)))
    assert pair(again) == ("a-1", "u-7")
