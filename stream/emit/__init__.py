"""The old name of `stream.clients.emit`: in new code write ``from stream import EventEmitter``."""

from stream.clients.emit import (
    DELIVERY_SECONDS,
    DeliveryError,
    Emitted,
    EventEmitter,
    RefusedLine,
    emit_lines,
)

__all__ = ["DELIVERY_SECONDS", "DeliveryError", "Emitted", "EventEmitter", "RefusedLine", "emit_lines"]
