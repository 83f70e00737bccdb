"""Lines of events, in our own form or in another one, for a shop's client to emit."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from features.events import Event, Reason, RejectedEvent, decode, decode_many
from features.identity import IDENTIFY, Identify, decode_identity, encode_identity, is_identity_type
from features.prices import is_price_type
from stream.formats.confluent import FRAME_BYTES, Confluent
from stream.formats.contract import Format, Message, Translation, explained
from stream.formats.values import write_json

if TYPE_CHECKING:
    from stream.clients.emit import EventEmitter


# Logins that are remembered: messages tell the same one time and again. One that is told twice does no harm.
_LOGINS: Final = 100_000


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """A line that is no event: its number (from 1), the reason, and a sentence for people."""

    number: int
    reason: Reason
    detail: str


@dataclass(slots=True)
class Emitted:
    """What became of the lines.

    Attributes
    ----------
    emitted
        Events that were emitted, logins among them.
    refused
        Lines that were refused.
    without_counterpart
        What a format has and events here have not, by name; it was passed over.
    dropped
        Bad optional fields that were left out of events of a format, by name.
    """

    emitted: int = 0
    refused: int = 0
    without_counterpart: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)


def emit_lines(
    emitter: EventEmitter,
    lines: Iterable[bytes],
    *,
    form: Format | None = None,
    skip_invalid: bool = False,
    on_refused: Callable[[RefusedLine], None] | None = None,
) -> Emitted:
    """Emit JSON lines, each checked before it is sent; empty ones are passed over.

    Parameters
    ----------
    form
        The form of the lines, ``None`` for our own. A line may then hold several events: all of them are emitted, or
        none where one is bad.
    skip_invalid
        Go on after a line that is no event, instead of stopping there.
    on_refused
        Called with every such line.
    """
    report = Emitted()
    translating = _Translating(report)
    for number, line in enumerate(lines if form is None else _whole(lines, form), 1):
        text = line.strip(b"\r\n") if form is not None else line.strip()
        if not text.strip():
            continue
        try:
            if form is None and is_identity_type(text):
                emitter.emit_identify(text)
                report.emitted += 1
                continue
            if form is None and is_price_type(text):
                emitter.emit_price(text)
                report.emitted += 1
                continue
            for event in [decode(text)] if form is None else translating.events(text, form):
                if isinstance(event, Identify):
                    emitter.emit_identify(encode_identity(event))
                else:
                    emitter.emit(event)
                report.emitted += 1
        except RejectedEvent as error:
            report.refused += 1
            if on_refused is not None:
                on_refused(RefusedLine(number, error.reason, error.detail))
            if not skip_invalid:
                break
    emitter.flush()
    return report


def _whole(lines: Iterable[bytes], form: Format) -> Iterator[bytes]:
    """Yield lines, joined where the number in a frame of the Schema Registry has cut them: it may hold a line end."""
    framed = form.name.startswith(Confluent.title)
    cut = b""
    for line in lines:
        cut += line
        if framed and cut[:1] == b"\0" and len(cut) <= FRAME_BYTES:
            continue
        yield cut
        cut = b""
    if cut:
        yield cut


class _Translating:
    """Translates lines, and knows the logins that they have told."""

    def __init__(self, report: Emitted) -> None:
        self._report = report
        self._told: OrderedDict[tuple[str, str], None] = OrderedDict()

    def events(self, line: bytes, form: Format) -> list[Event | Identify]:
        """Return the events of a line, and before them the logins that are new.

        Bad optional fields, and bad logins beside events, are left out: the shop does not write them for us.
        """
        found = form.translate(Message(line))
        decoded = decode_many([write_json(fields) for fields in found.events])
        for rejection in decoded.rejections:
            raise RejectedEvent(rejection.reason, explained(rejection.detail, form))
        new = list(self._new(found, form))
        self._report.without_counterpart.update(found.ignored)
        self._report.dropped.update(decoded.dropped)
        return [*new, *decoded.events]

    def _new(self, found: Translation, form: Format) -> Iterator[Identify]:
        for login in found.logins:
            try:
                said = cast(Identify, decode_identity(write_json(login)))
            except RejectedEvent as error:
                if not found.events:
                    raise RejectedEvent(error.reason, explained(error.detail, form)) from None
                self._report.dropped[IDENTIFY] += 1
                continue
            pair = said.anonymous_id, said.customer_id
            if pair not in self._told:
                yield said
            self._told[pair] = None
            self._told.move_to_end(pair)
            if len(self._told) > _LOGINS:
                self._told.popitem(last=False)
