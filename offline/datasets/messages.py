"""Files of messages in the form of another system: one JSON object (or line of text) each, or a row of Parquet.

How a source is understood:

- A file is JSON lines, one JSON array, one object whose only list holds the messages (``{"orders": [...]}``), Parquet,
  or lines of tab-separated text; plain, gzip or zip, which its first bytes say.
- What a message means is the translator's business: it gives the fields of events, and the names of what has no
  counterpart. A *row* of the account is one thing in a message: an event, or something without counterpart.
- A login (`features.identity`) is no row of the account. Messages tell it time and again; the log has it once.
- Events are checked as a worker checks them. A bad optional field is left out and noted, a bad required one drops the
  event. An event id that comes again is dropped.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, cast

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.events import TYPE_CODES, Event, Item, RejectedEvent, decode_many, epoch_ms
from features.items import ItemNames
from features.log import LOG_SCHEMA
from offline.datasets.conversion import DatasetError, Tally
from offline.datasets.csv_bytes import clear_errors, open_bytes
from offline.datasets.dataset import Dataset, codes, finish, first_marked, join, repeated
from offline.datasets.logins import Logins
from offline.datasets.values import as_dictionary
from offline.progress import OnProgress


class Translated(NamedTuple):
    """What a message holds: the fields of events and of logins, and the names of what has no counterpart."""

    events: Sequence[dict[str, Any]]
    ignored: Sequence[str] = ()
    logins: Sequence[dict[str, Any]] = ()


#: Raises `features.events.RejectedEvent` for a message that is not of its form.
Translate = Callable[[bytes], Translated]

_SUFFIXES: Final = (
    ".json", ".jsonl", ".ndjson", ".tsv", ".txt", ".log", ".gz", ".zip", ".parquet", ".pq",
)  # fmt: skip
_CHUNK: Final = 20_000
# Names without counterpart that are counted apart, and a file that is read as a whole.
_NAMES: Final = 30
_WHOLE_BYTES: Final = 1 << 30
_UTF16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

_TEXTS: Final = (
    "customer_id", "item_id", "category", "currency", "order_id", "session_id", "channel", "device", "country",
)  # fmt: skip
_encode = msgspec.json.Encoder().encode


def load_messages(
    path: Path,
    translate: Translate,
    *,
    source: str,
    timezone: str = "UTC",
    on_progress: OnProgress | None = None,
) -> Dataset:
    """Convert a file of messages, or all files of a folder.

    Parameters
    ----------
    path
        A file, or a folder of files in one form.
    translate
        Says what a message holds.
    source
        Name of the form, for the account.
    timezone
        IANA name of the shop's zone.
    on_progress
        Called with bytes read and bytes in all.

    Raises
    ------
    DatasetError
        If a file cannot be read, or there is no event.
    """
    files = _files(Path(path))
    account = _Account(translate)
    total, before = sum(file.stat().st_size for file in files), 0
    for file in files:
        messages = enumerate(_messages(file), 1)
        while chunk := list(islice(messages, _CHUNK)):
            account.take(file, chunk)
        before += file.stat().st_size
        if on_progress is not None:
            on_progress(before, total)
    if not account.drafts:
        raise DatasetError(account.nothing(str(files[0])))
    events = join(account.drafts)
    account.notes.add("login: an anonymous id is a customer's", *account.logins.count())
    again = repeated(codes(events["event_id"]))
    account.dropped.add("repeated event_id", int(again.sum()), first_marked(events, again))
    dataset = finish(
        source,
        files,
        account.rows,
        events.filter(pa.array(~again)),
        merged=0,
        dropped=account.dropped,
        notes=account.notes,
        timezone=timezone,
    )
    return replace(dataset, items=account.items.table(), logins=account.logins.table())


@dataclass
class _Account:
    """What became of the messages so far."""

    translate: Translate
    rows: int = 0
    drafts: list[pa.Table] = field(default_factory=list)
    dropped: Tally = field(default_factory=Tally)
    notes: Tally = field(default_factory=Tally)
    items: ItemNames = field(default_factory=ItemNames)
    logins: Logins = field(default_factory=Logins)
    _names: set[str] = field(default_factory=set)

    def take(self, file: Path, chunk: Sequence[tuple[int, bytes]]) -> None:
        """Translate and check messages, each with its number in the file."""
        fields: list[dict[str, Any]] = []
        encoded: list[bytes] = []
        numbers: list[int] = []
        for number, message in chunk:
            try:
                events, ignored, logins = self.translate(message)
                values = [_encode(event) for event in events]
            except RejectedEvent as refused:
                self.rows += 1
                self.dropped.add(*_refusal(refused.reason, refused.detail, file, number))
                continue
            for login in logins:
                self._login(login, _place(file, number), alone=not events)
            if not values and not ignored and not logins:
                self.rows += 1
                self.dropped.add("message that holds no event", 1, _place(file, number))
            self.rows += len(values) + len(ignored)
            for name in ignored:
                self.dropped.add(self._without_counterpart(name), 1, _place(file, number))
            fields += events
            encoded += values
            numbers += [number] * len(values)
        self._check(file, fields, encoded, numbers)

    def nothing(self, name: str) -> str:
        """Return why there is no event at all."""
        reasons = "; ".join(f"{count.reason}: {count.rows}" for count in self.dropped.counts())
        return f"no event in {name} ({reasons or 'there are no messages'})"

    def _without_counterpart(self, name: str) -> str:
        if name not in self._names and len(self._names) >= _NAMES:
            return "no counterpart: further names"
        self._names.add(name)
        return f"no counterpart: {name}"

    def _login(self, login: dict[str, Any], place: str, *, alone: bool) -> None:
        try:
            self.logins.add(_encode(login), place)
        except RejectedEvent as refused:
            if alone:
                self.rows += 1
                self.dropped.add(
                    f"refused: {refused.reason.replace('_', ' ')}", 1, f"{place}: {refused.detail[:160]}"
                )
            else:
                self.notes.add("bad login: left out, the event is kept", 1, place)

    def _check(
        self, file: Path, fields: Sequence[dict[str, Any]], values: Sequence[bytes], numbers: Sequence[int]
    ) -> None:
        decoded = decode_many(values)
        for rejection in decoded.rejections:
            self.dropped.add(*_refusal(rejection.reason, rejection.detail, file, numbers[rejection.index]))
        for at in decoded.ignored:
            missing = self._without_counterpart(str(fields[at].get("type")))
            self.dropped.add(missing, 1, _place(file, numbers[at]))
        for name, times in decoded.dropped.items():
            bad = next((at for at, value in enumerate(values) if name in decode_many([value]).dropped), None)
            example = None if bad is None else _place(file, numbers[bad])
            self.notes.add(f"bad {name}: left out, the event is kept", times, example)
        if not decoded.events:
            return
        for at in decoded.indices:
            self.items.add_fields(fields[at])
        self.drafts.append(_draft(decoded.events, sum(len(draft) for draft in self.drafts)))


def _refusal(reason: str, detail: str, file: Path, number: int) -> tuple[str, int, str]:
    return f"refused: {str(reason).replace('_', ' ')}", 1, f"{_place(file, number)}: {detail[:160]}"


def _place(file: Path, number: int) -> str:
    return f"{file.name}, message {number}"


def _draft(events: Sequence[Event], before: int) -> pa.Table:
    columns: dict[str, Any] = {
        "row": np.arange(before, before + len(events), dtype=np.int64),
        "type": np.array([TYPE_CODES[event.type] for event in events], np.int8),
        "event_time": np.array([epoch_ms(event.event_time) for event in events], np.int64),
        "event_id": as_dictionary(pa.array([event.event_id for event in events])),
        "price": pa.array([event.price for event in events], pa.float64()),
        "quantity": pa.array([event.quantity for event in events], pa.int64()),
        "value": pa.array([event.value for event in events], pa.float64()),
        "bot": pa.array([event.bot for event in events], pa.bool_()),
        "items": pa.array(
            [[_line(item) for item in event.items] if event.items else None for event in events],
            LOG_SCHEMA.field("items").type,
        ),
    }
    for name in _TEXTS:
        columns[name] = as_dictionary(pa.array([getattr(event, name) for event in events], pa.string()))
    return pa.table(columns)


def _line(item: Item) -> tuple[str, str | None, float | None, int | None]:
    return item.item_id, item.category, item.price, item.quantity


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        if not path.exists():
            raise DatasetError(f"no such file: {path}")
        return [path]
    found = sorted(one for one in path.iterdir() if one.is_file() and one.name.lower().endswith(_SUFFIXES))
    if not found:
        raise DatasetError(f"no data file in {path}: expected files ending in {', '.join(_SUFFIXES)}")
    return found


def _messages(file: Path) -> Iterator[bytes]:
    """Yield the messages that a file holds, as JSON or lines of text."""
    with clear_errors(file):
        with file.open("rb") as raw:
            magic = raw.read(4)
        if magic == b"PAR1":
            yield from _of_parquet(file)
            return
        with _lines(file) as lines:
            yield from _of_lines(file, lines)


@contextmanager
def _lines(file: Path) -> Iterator[IO[bytes]]:
    with open_bytes(file) as stream:
        mark = cast(io.BufferedReader, stream).peek(3)[:3]  # as readers of gzip and zip can, too
        if mark.startswith(_UTF16):
            yield io.BytesIO(stream.read().decode("utf-16").encode())
            return
        if mark == codecs.BOM_UTF8:
            stream.read(len(codecs.BOM_UTF8))
        yield stream


def _of_lines(file: Path, lines: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines of a file, or the messages of the one JSON document that it is."""
    first = next((line for line in lines if line.strip()), b"")
    if first.lstrip()[:1] not in (b"[", b"{") or _is_json_object(first):
        yield from (line for line in _with(first, lines) if line.strip())
        return
    rest = lines.read(_WHOLE_BYTES)
    if len(rest) >= _WHOLE_BYTES:
        raise DatasetError(
            f"{file} is one JSON document of more than {_WHOLE_BYTES >> 20} MB: write a message a line"
        )
    try:
        yield from _of_document(first + rest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        yield from (line for line in _with(first, io.BytesIO(rest)) if line.strip())


def _with(first: bytes, lines: Iterable[bytes]) -> Iterator[bytes]:
    yield first
    yield from lines


def _is_json_object(line: bytes) -> bool:
    try:
        found = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return _held(found) is None


def _of_document(text: bytes) -> Iterator[bytes]:
    if text.lstrip()[:1] == b"[":
        yield from map(bytes, msgspec.json.decode(text, type=list[msgspec.Raw]))
        return
    held = _held(msgspec.json.decode(text, type=dict[str, msgspec.Raw]))
    yield from [text] if held is None else map(bytes, held)


def _held(found: dict[str, msgspec.Raw]) -> list[msgspec.Raw] | None:
    """Return the messages of an object that is nothing but a list of them (``{"orders": [...]}``)."""
    if len(found) != 1:
        return None
    (value,) = found.values()
    try:
        return msgspec.json.decode(value, type=list[msgspec.Raw])
    except msgspec.DecodeError:
        return None


def _of_parquet(file: Path) -> Iterator[bytes]:
    for batch in pq.ParquetFile(file).iter_batches(batch_size=_CHUNK):
        for row in batch.to_pylist():
            yield _encode(row)
