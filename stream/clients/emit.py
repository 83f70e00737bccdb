"""The shop's client: typed events into Kafka, each on its customer's partition, none lost without a word.

::

    with EventEmitter() as shop:
        shop.emit(type="view_item", customer_id="c-17", item_id="sku-4", price=19.9)
        shop.identify("a-93f1", "c-17")  # who came as a-93f1 has logged in
        shop.price("sku-4", 14.9)  # what the item costs from now on
"""

from __future__ import annotations

import atexit
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

import msgspec
from kafka import KafkaProducer
from kafka.codec import has_lz4, has_snappy, has_zstd
from kafka.errors import KafkaError, KafkaTimeoutError, TopicAuthorizationFailedError

from features.causes import cause
from features.events import MAX_ID, Event, Reason, RejectedEvent, decode, encode
from features.identity import IDENTIFY, Identify, decode_identity
from features.prices import PRICE, Price, decode_price
from stream.clients.lines import Emitted, RefusedLine, emit_lines
from stream.exceptions import BrokerError, BrokerUnavailable, SettingsError
from stream.formats.contract import NATIVE
from stream.kafka.diagnosis import check_access, unavailable
from stream.setting_values import NATIVE_NAME
from stream.settings import Settings, load_settings
from stream.texts import counted
from stream.tracing.headers import active_trace

__all__ = ["DELIVERY_SECONDS", "DeliveryError", "Emitted", "EventEmitter", "RefusedLine", "emit_lines"]

# How long the broker and the topic may take to be found, at the start.
_CONNECT_MS: Final = 10_000
# One request; the producer repeats it until an event's delivery time is over.
_REQUEST_MS: Final = 10_000
# An event that the broker has not acknowledged by then has failed. Bounds `flush` and the end of the program,
# too.
DELIVERY_SECONDS: Final = 30.0
# `flush` waits a little longer than the delivery of the last event, whose outcome it then knows.
_FLUSH_SECONDS: Final = DELIVERY_SECONDS + 5.0
# A batch waits this long for company; a view of a product need not reach the broker sooner.
_LINGER_MS: Final = 5
# What is still there after the flush is lost in any case.
_END_SECONDS: Final = 1.0
_BATCH_BYTES: Final = 128 * 1024
# Events on their way. kafka-python's own buffer has no bound; here, `emit` waits where the broker is slower
# than the shop.
_PENDING_BYTES: Final = 32 * 1024 * 1024
# A message names this many of the failed events; the exception has all.
_NAMED: Final = 5


class DeliveryError(BrokerError):
    """Events were handed over, and Kafka did not take them.

    Attributes
    ----------
    event_ids
        The events that failed since the last time that this was raised; ``erase:<customer>`` for a request to
        erase.
    """

    def __init__(self, event_ids: list[str], reason: str) -> None:
        named = ", ".join(event_ids[:_NAMED]) + (", ..." if len(event_ids) > _NAMED else "")
        failed = counted(len(event_ids), "event")
        super().__init__(f"Kafka did not accept {failed} ({named}): {reason}; emit them again")
        self.event_ids = event_ids


class EventEmitter:
    """Sends events to the events topic: idempotent, acknowledged by all replicas, keyed by customer.

    Events go out in the background, up to a few milliseconds later. A failed delivery is raised by the next
    `emit`, by `flush` or by `close`, whichever comes first; the event of that `emit` has been handed over all the same.
    May be shared by threads. What is still on its
    way is flushed at the end of the ``with`` block and, without one, at the end of the program.

    In a program that traces by OpenTelemetry, a record carries the span that is active when it is emitted, in the
    headers ``traceparent`` and ``tracestate``.

    Parameters
    ----------
    settings
        Where Kafka is and what the topics are called; from the environment where none are given.
    clock
        Returns epoch milliseconds: the time of an event that is emitted by fields and names none.

    Raises
    ------
    BrokerUnavailable
        No broker answers.
    TopicMismatch
        There is no events topic.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        settings = settings or load_settings()
        self.topic = settings.events_topic
        self._headers = [] if settings.format == NATIVE_NAME else [NATIVE]
        self._clock = clock
        self._failed: list[str] = []
        self._reason = ""
        self._pending = 0
        self._room = threading.Condition()
        self._closed = False
        security = settings.kafka_python_security()
        check_access(settings.kafka, security)
        _check_codec(settings.compression)
        try:
            self._producer = KafkaProducer(
                bootstrap_servers=settings.kafka,
                client_id="intent-emitter",
                acks="all",
                enable_idempotence=True,
                linger_ms=_LINGER_MS,
                batch_size=_BATCH_BYTES,
                compression_type=settings.compression_type,
                max_block_ms=_CONNECT_MS,
                bootstrap_timeout_ms=_CONNECT_MS,
                request_timeout_ms=_REQUEST_MS,
                delivery_timeout_ms=int(DELIVERY_SECONDS * 1000),
                allow_auto_create_topics=False,
                **security,
            )
        except KafkaError as error:
            raise unavailable(settings.kafka, security) from error
        try:
            self.partitions = len(self._producer.partitions_for(self.topic))
        except KafkaError as error:
            self._end()
            raise unavailable(settings.kafka, security, self.topic) from error
        atexit.register(self.close)

    def emit(self, event: Event | None = None, /, **fields: Any) -> Event:
        """Send an event, given whole or by its fields; return it.

        By fields, ``event_id`` is a random one and ``event_time`` now where they are left out.

        Raises
        ------
        RejectedEvent
            The event breaks the schema; nothing was sent.
        DeliveryError
            Events that were emitted before have failed, and are named; this one is on its way unless it is among them.
        """
        if event is None:
            event = self._made(fields)
        elif fields:
            raise TypeError("emit takes an event or its fields, not both")
        value = _encoded(event)
        decode(value)
        self._send(event.event_id, event.customer_id.encode(), value)
        return event

    def identify(
        self,
        anonymous_id: str,
        customer_id: str,
        *,
        event_id: str | None = None,
        event_time: int | None = None,
    ) -> Identify:
        """Say that somebody who was anonymous is a customer, after a login for example; return what was sent.

        What is known of the anonymous id, and whatever comes under it later, becomes the customer's. Where two
        customers log in under one anonymous id, only the first gets what was known until the second did.

        Raises
        ------
        RejectedEvent
            An id is bad, or both are the same; nothing was sent.
        DeliveryError
            As with `emit`.
        """
        value = _encoded(
            {
                "event_id": event_id or uuid.uuid4().hex,
                "type": IDENTIFY,
                "anonymous_id": anonymous_id,
                "customer_id": customer_id,
                "event_time": self._clock() if event_time is None else event_time,
            }
        )
        return self.emit_identify(value)

    def emit_identify(self, value: bytes) -> Identify:
        """Send an identify event as JSON, once it was checked."""
        identity = decode_identity(value)
        if not isinstance(identity, Identify):
            raise RejectedEvent(Reason.UNKNOWN_TYPE, "only workers hand states over: send an identify event")
        self._send(identity.event_id, identity.anonymous_id.encode(), value)
        return identity

    def price(
        self,
        item_id: str,
        price: float,
        *,
        currency: str | None = None,
        event_id: str | None = None,
        event_time: int | None = None,
    ) -> Price:
        """Say what one piece of an item costs from a moment on; return what was sent.

        Send it when a price changes. Rules of the trigger ``price_dropped`` find the customers who have the item in the
        cart or on the wish list.

        Raises
        ------
        RejectedEvent
            The item's id or the price is bad; nothing was sent.
        DeliveryError
            As with `emit`.
        """
        fields = {
            "event_id": event_id or uuid.uuid4().hex,
            "type": PRICE,
            "item_id": item_id,
            "price": price,
            "event_time": self._clock() if event_time is None else event_time,
        }
        return self.emit_price(_encoded(fields if currency is None else fields | {"currency": currency}))

    def emit_price(self, value: bytes) -> Price:
        """Send a price as JSON, once it was checked."""
        price = decode_price(value)
        if not isinstance(price, Price):
            raise RejectedEvent(Reason.UNKNOWN_TYPE, "only workers copy prices: send a price event")
        self._send(price.event_id, price.item_id.encode(), value)
        return price

    def erase(self, customer_id: str) -> tuple[int, int]:
        """Ask for a customer to be erased; return the request's partition and offset once it is in Kafka."""
        if not 0 < len(customer_id) <= MAX_ID:
            raise RejectedEvent(
                Reason.INVALID_FIELD, f"a customer id has 1 to {MAX_ID} characters: {customer_id!r}"
            )
        future = self._send(f"erase:{customer_id}", customer_id.encode(), None)
        self.flush()
        written = future.get(timeout=0)
        return written.partition, written.offset

    def flush(self) -> None:
        """Wait until Kafka has taken all that was emitted.

        Raises
        ------
        DeliveryError
            It did not take some of it.
        """
        try:
            self._producer.flush(timeout=_FLUSH_SECONDS)
        except KafkaTimeoutError as error:
            self._raise_failures()
            raise BrokerUnavailable(
                f"Kafka has not answered for {_FLUSH_SECONDS:.0f} s: the last events may be lost, emit them again"
            ) from error
        self._raise_failures()

    def close(self) -> None:
        """Flush, and end; further calls do nothing."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        try:
            self.flush()
        finally:
            self._end()

    def _end(self) -> None:
        """Let go of the producer, whatever it still holds."""
        try:
            self._producer.close(timeout=_END_SECONDS)
        except KafkaTimeoutError:
            # kafka-python stops at the flush that comes first, and would flush again, for long, when the program ends.
            self._producer._sender.force_close()
            with suppress(KafkaError):  # what it could not send has been told
                self._producer.close(timeout=_END_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _made(self, fields: dict[str, Any]) -> Event:
        unknown = fields.keys() - set(Event.__struct_fields__)
        if unknown:
            raise TypeError(f"an event has no field {min(unknown)!r}")
        return decode(_encoded({"event_id": uuid.uuid4().hex, "event_time": self._clock()} | fields))

    def _send(self, event_id: str, key: bytes, value: bytes | None) -> Any:
        size = len(key) + len(value or b"")
        with self._room:
            self._room.wait_for(lambda: self._pending < _PENDING_BYTES)
            self._pending += size
        try:
            headers = [*self._headers, *active_trace()]
            future = self._producer.send(self.topic, value=value, key=key, headers=headers)
        except KafkaError as error:
            self._settle(size)
            raise DeliveryError([event_id], str(error)) from error
        except BaseException:
            self._settle(size)
            raise
        future.add_callback(lambda _: self._settle(size))
        future.add_errback(lambda error: self._settle(size, event_id, error))
        self._raise_failures()  # of earlier events, now that this one is on its way
        return future

    def _settle(self, size: int, failed: str | None = None, error: BaseException | None = None) -> None:
        """Take note that an event is no longer on its way. Runs in the producer's thread."""
        with self._room:
            self._pending -= size
            if failed is not None:
                self._failed.append(failed)
                self._reason = (
                    f"it does not let this client write {self.topic}; allow it (kafka-acls.sh)"
                    if isinstance(error, TopicAuthorizationFailedError)
                    else cause(error or TimeoutError())
                )
            self._room.notify_all()

    def _raise_failures(self) -> None:
        with self._room:
            failed, self._failed = self._failed, []
        if failed:
            raise DeliveryError(failed, self._reason)


def _check_codec(name: str) -> None:
    """Raise `SettingsError` if the library of a compression is not installed."""
    there = {"snappy": has_snappy, "lz4": has_lz4, "zstd": has_zstd}
    if name in there and not there[name]():
        raise SettingsError(
            f"INTENT_COMPRESSION is {name}, whose library is not installed: pip install 'kafka-python[{name}]', or set "
            "gzip or none"
        )


def _encoded(event: Event | dict[str, Any]) -> bytes:
    try:
        return encode(event) if isinstance(event, Event) else msgspec.json.encode(event)
    except UnicodeEncodeError as error:
        raise RejectedEvent(Reason.INVALID_FIELD, f"a text that UTF-8 cannot hold: {error}") from None
