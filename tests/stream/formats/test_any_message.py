"""Whatever a message holds, a format gives fields that can be checked, or refuses it for a reason."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.events import Event, Reason, RejectedEvent, decode_many
from stream.formats.contract import Format, Message
from stream.formats.registry import format_of
from stream.formats.values import write_json
from stream.formats.woocommerce import WooCommerce
from tests.offline.datasets.test_shop_exports import WOO
from tests.stream.formats import test_ga4, test_segment, test_shopify, test_snowplow, test_wrappers

GOOD: dict[str, list[Any]] = {
    "ga4": [
        test_ga4.request(test_ga4.PURCHASE, test_ga4.sent("view_item", items=[test_ga4.STAN])),
        test_ga4.row("purchase", {"currency": "EUR"}, ecommerce={"transaction_id": "T"}, items=[test_ga4.STAN]),
    ],
    "segment": [test_segment.track("Order Completed", {"products": [test_segment.UNO], "total": 3, "order_id": "o"})],
    "snowplow": [test_snowplow.action("transaction", product=[test_snowplow.PRODUCT], transaction={"revenue": 4})],
    "shopify": [test_shopify.ORDER, test_shopify.REFUND],
    "woocommerce": [WOO],
    "cloudevents": [test_wrappers.envelope(test_wrappers.VIEW)],
    "cloudevents+segment": [test_wrappers.envelope(test_wrappers.CALL)],
}  # fmt: skip
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from(
        ["", "NaN", "-1", "1e999", "(not set)", "\x00", "\ud800", "x" * 300, "2026-02-30T25:00:00Z"]
    ),
    st.just([]),
    st.just({}),
    st.lists(st.one_of(st.none(), st.integers(), st.just({})), max_size=2),
    st.dictionaries(st.sampled_from(["id", "key", "value", "data"]), st.integers(), max_size=2),
)


def named(name: str) -> Format:
    form = WooCommerce() if name == WooCommerce.name else format_of(name)
    assert form is not None
    return form


def translated(form: Format, value: bytes, **record: Any) -> list[Event] | None:
    """Translate a message, and see that what comes out can be checked; return the events, ``None`` if it is refused."""
    try:
        found = form.translate(Message(value, **record))
        values = [write_json(fields) for fields in found.events]
    except RejectedEvent as refused:
        assert refused.reason in Reason
        assert refused.detail
        return None
    assert found.events or found.ignored or form.name == "ga4"
    decoded = decode_many(values)
    assert len(decoded.events) + len(decoded.rejections) + len(decoded.ignored) == len(values)
    return list(decoded.events)


@pytest.mark.parametrize("name", GOOD)
def test_the_messages_that_are_made_odd_are_events_before(name: str) -> None:
    for message in GOOD[name]:
        assert translated(named(name), json.dumps(message).encode(), key=b"u-7", arrived_at=1_709_510_400_000)


@pytest.mark.parametrize("name", GOOD)
def test_a_message_that_carries_a_trace_is_the_same_events(name: str) -> None:
    trace = [
        ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("tracestate", b"\xff"),
    ]
    for message in GOOD[name]:
        record = {"key": b"u-7", "arrived_at": 1_709_510_400_000}
        alone = translated(named(name), json.dumps(message).encode(), **record)
        assert alone == translated(named(name), json.dumps(message).encode(), headers=trace, **record)
        assert alone


@pytest.mark.parametrize("name", GOOD)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_message_with_something_odd_in_it_is_an_event_or_refused(name: str, data: st.DataObject) -> None:
    form = named(name)
    message = json.loads(json.dumps(data.draw(st.sampled_from(GOOD[name]))))
    for _ in range(data.draw(st.integers(1, 3))):
        place: Any = message
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = data.draw(st.sampled_from(keys))
            if isinstance(place[key], dict | list) and data.draw(st.booleans()):
                place = place[key]
                continue
            place[key] = data.draw(ODD)
            break
    events = translated(form, json.dumps(message).encode(), key=b"u-7", arrived_at=1_709_510_400_000)
    assert events is None or all(
        event.customer_id and event.event_id and math.isfinite(event.value or 0.0) for event in events
    )


@pytest.mark.parametrize("name", [*GOOD, "confluent", "confluent+snowplow"])
@settings(max_examples=60, deadline=None)
@given(value=st.one_of(st.binary(max_size=40), st.text(max_size=40).map(str.encode)), framed=st.booleans())
def test_any_bytes_are_refused_for_a_reason(name: str, value: bytes, framed: bool) -> None:
    form = named(name)
    headers = [(told, value) for told in ("content-type", "ce_id", "ce_type", "ce_source", "ce_specversion")]
    found = translated(form, test_wrappers.FRAME + value if framed else value, headers=headers, key=value)
    assert not found, "no event comes of them"
