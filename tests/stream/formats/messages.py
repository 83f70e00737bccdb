"""Messages for tests of formats, and the check that what is made of them is an event."""

from __future__ import annotations

import json
from typing import Any

from features.events import Event, decode_many
from stream.formats.contract import Format, Message, Translation
from stream.formats.values import write_json


def message(value: Any, **record: Any) -> Message:
    """Return a message of a value as JSON."""
    return Message(json.dumps(value).encode(), **record)


def events_of(translation: Translation) -> list[Event]:
    """Return the events of a translation: not one is refused, and no field is dropped."""
    decoded = decode_many([write_json(fields) for fields in translation.events])
    assert decoded.rejections == []
    assert not decoded.dropped
    assert not decoded.ignored
    return decoded.events


def event_of(form: Format, value: Any, **record: Any) -> Event:
    """Return the one event that a message holds."""
    translation = form.translate(message(value, **record))
    assert translation.ignored == []
    (event,) = events_of(translation)
    return event
