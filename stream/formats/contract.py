"""What a format is: it turns a message in another form into the fields of events, which nobody has checked yet.

A format only translates. Whether the fields make an event is decided where it is decided for events in our own form
(`features.events`), so there is one place for limits, missing fields and bad optional ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

#: Fields of an event by name, as `features.events.Event` has them. An item also has its ``name``, and an event about
#: one item the ``item_name``: events do not keep them, loaders do.
Fields = dict[str, Any]

Headers = Sequence[tuple[str, bytes | None]]

#: Header of a record whose value is in our own form, whatever the form of the topic is: `intent emit` and
#: `intent replay` write it where `INTENT_FORMAT` names another one.
NATIVE: Final = ("intent_format", b"native")


class Message(NamedTuple):
    """What a shop sent: a record of a topic, or a line of a file.

    Attributes
    ----------
    value
        The bytes.
    key
        The record's key; where it is one of the message's ids of the customer, it is the customer's id.
    headers
        The record's headers.
    arrived_at
        When it arrived, epoch ms; ``None`` where that is not known. The time of messages that name none.
    """

    value: bytes
    key: bytes | None = None
    headers: Headers = ()
    arrived_at: int | None = None


@dataclass(slots=True)
class Translation:
    """What a message holds.

    Attributes
    ----------
    events
        The fields of each event, in their order.
    logins
        The fields of each `features.identity.Identify`: the message names an anonymous id and a known one. They come
        before the events. Messages name both for as long as somebody is known, so the same login comes time and again.
    ignored
        Names of what has no counterpart among our events, such as ``page_view``.
    """

    events: list[Fields] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    logins: list[Fields] = field(default_factory=list)


class Format(Protocol):
    """A form in which shops send events.

    Attributes
    ----------
    name
        As settings and options have it.
    origins
        Where the required fields of an event come from, for messages: ``{"event_id": "messageId"}``.
    """

    @property
    def name(self) -> str:
        """See above."""
        ...

    @property
    def origins(self) -> Mapping[str, str]:
        """See above."""
        ...

    def translate(self, message: Message) -> Translation:
        """Return what a message holds.

        Raises
        ------
        features.events.RejectedEvent
            The message is not of this form.
        """
        ...


def explained(detail: str, form: Format) -> str:
    """Return why something is no event, and where the form has the field that is named.

    Examples
    --------
    >>> from stream.formats.segment import Segment
    >>> explained("the event has no event_id", Segment())
    'the event has no event_id (segment: messageId)'
    """
    named = [origin for name, origin in form.origins.items() if name in detail]
    return f"{detail} ({form.name}: {', '.join(named)})" if named else detail
