"""Actions and what was bought, from topics or from files: what `intent uplift` compares.

A file is Parquet or JSON lines; its first bytes tell which.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.events import decode_many, epoch_ms
from features.exceptions import LogError
from features.identity import IDENTIFY, Identify, decode_identity, is_identity_type
from features.log import LOG_SCHEMA, iterate_log
from features.persons import Persons
from features.refusals import RejectedEvent
from features.usual_days import UsualDays
from stream.exceptions import NO_ACTIONS, SettingsError
from stream.kafka.reading import TopicReader
from stream.kafka.unreadable import unreadable
from stream.logs.archive import archive
from stream.messages.action import Arm
from stream.messages.score import Probability, SegmentRef
from stream.settings import Settings

OnProgress = Callable[[int, int], None]

_PARQUET: Final = b"PAR1"
_LINES: Final = 20_000
_PAID: Final = pa.array(["purchase", "refund"])
#: Of scores: not all files have them.
_OPTIONAL: Final = ("purchase", "traffic", "merged")


class _Assignment(msgspec.Struct, frozen=True, gc=False):
    """What of an action is compared; names of triggers and actions may be newer than this program."""

    action_id: str
    customer_id: str
    trigger: str
    action: str
    purchase_intent: Probability
    band: str
    segment: SegmentRef | str
    decided_at: int
    arm: Arm
    experiment: str


class _Scored(msgspec.Struct, frozen=True, gc=False):
    event_id: str
    customer_id: str
    event_time: int
    purchase: bool = False
    traffic: str | None = None
    merged: str | None = None


class Actions(NamedTuple):
    """Rows of actions: the fields of `_Assignment`, the segment by its name; and how many records are no actions."""

    table: pa.Table
    refused: int


class PaymentLog(NamedTuple):
    """Purchases and refunds.

    Attributes
    ----------
    table
        Their rows, as an event log has them.
    first, end
        Times of the first and of the last event of all, lonely dates aside; epoch ms.
    money
        Whether they say what was paid: scores do not.
    notes
        What was left out, one sentence each.
    apart
        Customers of whom an event is marked as a bot's, or a score names other traffic than a customer's.
    persons
        Which ids are one person's, by the logins of the log, or by the scores that tell of a merge.
    """

    table: pa.Table
    first: int
    end: int
    money: bool
    notes: tuple[str, ...]
    apart: frozenset[str] = frozenset()
    persons: Persons = Persons()


def read_actions(settings: Settings, path: Path | None, on_progress: OnProgress | None = None) -> Actions:
    """Read actions from a file, or from the topic if there is none.

    Raises
    ------
    LogError
        The file holds no action, or cannot be read.
    BrokerError
        Kafka does not answer, or has no such topic.
    SettingsError
        There is no topic of actions.
    """
    decoder = msgspec.json.Decoder(_Assignment)
    rows: list[_Assignment] = []
    refused = 0
    if path is None:
        if not settings.actions_topic:
            raise SettingsError(f"{NO_ACTIONS}, or give a file of actions")
        rows, refused = asyncio.run(_actions_of_topic(settings, decoder, on_progress))
    elif _is_parquet(path):
        for row in _rows(path, _Assignment.__struct_fields__):
            try:
                rows.append(msgspec.convert(row, _Assignment))
            except msgspec.ValidationError as error:
                raise LogError(f"{path}: row {len(rows)} is no action: {error}") from None
    else:
        for line in _lines(path, on_progress):
            try:
                rows.append(decoder.decode(line))
            except msgspec.MsgspecError as error:
                refused += 1
                if not rows:
                    raise LogError(f"{path}: the first line is no action: {error}") from None
    columns: dict[str, Any] = {
        name: [getattr(row, name) for row in rows] for name in _Assignment.__struct_fields__
    }
    columns["segment"] = [one if isinstance(one, str) else one.name for one in columns["segment"]]
    kinds = {"purchase_intent": pa.float64(), "decided_at": pa.int64()}
    return Actions(
        pa.table({name: pa.array(values, kinds.get(name, pa.string())) for name, values in columns.items()}),
        refused,
    )


async def _actions_of_topic(
    settings: Settings, decoder: msgspec.json.Decoder[_Assignment], on_progress: OnProgress | None
) -> tuple[list[_Assignment], int]:
    """Return the actions of a topic, without those of customers who were erased after them."""
    found: dict[str, list[_Assignment]] = {}
    refused = 0
    async with TopicReader(settings, settings.actions_topic) as reader:
        async for _, records in reader.read(on_progress=on_progress):
            for record in records:
                if record.value is None:
                    found.pop((record.key or b"").decode(errors="replace"), None)
                    continue
                try:
                    if unreadable(record):
                        raise msgspec.DecodeError
                    action = decoder.decode(record.value)
                except (msgspec.MsgspecError, UnicodeDecodeError):
                    refused += 1
                else:
                    found.setdefault(action.customer_id, []).append(action)
    return [action for actions in found.values() for action in actions], refused


def read_payments(
    settings: Settings,
    path: Path | None,
    topic: Literal["events", "scores"] = "events",
    on_progress: OnProgress | None = None,
) -> PaymentLog:
    """Read purchases and refunds from a file of events or of scores, or from a topic if there is none.

    Raises
    ------
    LogError
        The file has no events, or cannot be read.
    BrokerError
        Kafka does not answer, or has no such topic.
    """
    if path is not None:
        return _payments_of_file(path, on_progress)
    if topic == "scores":
        return asyncio.run(_scores_of_topic(settings, on_progress))
    with tempfile.TemporaryDirectory(prefix="intent-uplift-") as folder:
        log = Path(folder, "events.parquet")
        archive(settings, log, on_progress=on_progress)
        return _payments_of_log(log, settings.events_topic)


def _payments_of_file(path: Path, on_progress: OnProgress | None) -> PaymentLog:
    if not _is_parquet(path):
        return _payments_of_lines(path, on_progress)
    if "purchase_intent" not in _names(path):
        return _payments_of_log(path, str(path))
    rows = (msgspec.convert(row, _Scored) for row in _rows(path, _Scored.__struct_fields__))
    try:
        return _of_scores(list(rows), 0, str(path))
    except msgspec.ValidationError as error:
        raise LogError(f"{path}: a row is no score: {error}") from None


def _payments_of_log(path: Path, name: str) -> PaymentLog:
    paid, times = [LOG_SCHEMA.empty_table()], [np.zeros(0, np.int64)]
    apart: set[str] = set()
    logins: list[Identify] = []
    for whole in iterate_log(path, identities=True):
        logins += _logins(whole)
        piece = whole.filter(pc.is_null(whole["identity"]))  # what was handed on is there under its own id
        paid.append(piece.filter(pc.is_in(piece["type"], _PAID)).replace_schema_metadata(None))
        times.append(piece["event_time"].cast(pa.int64()).to_numpy())
        apart.update(pc.unique(piece["customer_id"].filter(piece["bot"])).to_pylist())
    found = _usual(pa.concat_tables(paid), np.concatenate(times), True, [], name)
    return found._replace(apart=frozenset(apart), persons=Persons.of(logins))


def _logins(table: pa.Table) -> list[Identify]:
    texts = table["identity"].filter(pc.equal(table["type"], IDENTIFY)).drop_null().to_pylist()
    said = [decode_identity(text.encode()) for text in texts]
    return [one for one in said if isinstance(one, Identify)]


def _payments_of_lines(path: Path, on_progress: OnProgress | None) -> PaymentLog:
    """Read JSON lines of events, or of scores where the first one is a score."""
    lines = _lines(path, on_progress)
    paid: list[dict[str, Any]] = []
    scores: list[_Scored] = []
    apart: set[str] = set()
    logins: list[Identify] = []
    times, refused, of_scores = [np.zeros(0, np.int64)], 0, None
    decoder = msgspec.json.Decoder(_Scored)
    while some := list(islice(lines, _LINES)):
        if of_scores is None:
            of_scores = b'"purchase_intent"' in some[0]
        if of_scores:
            for line in some:
                try:
                    scores.append(decoder.decode(line))
                except msgspec.MsgspecError:
                    refused += 1
            continue
        events, wrong = _without_identities(some, logins)
        refused += wrong
        decoded = decode_many(events)
        refused += len(decoded.rejections)
        times.append(np.array([epoch_ms(event.event_time) for event in decoded.events], np.int64))
        apart.update(event.customer_id for event in decoded.events if event.bot)
        for event, time in zip(decoded.events, times[-1].tolist(), strict=True):
            if event.type in ("purchase", "refund"):
                paid.append(msgspec.to_builtins(event) | {"event_time": time})
    if of_scores:
        return _of_scores(scores, refused, str(path))
    notes = [f"{refused:,} lines of {path.name} are no events and were left out."] if refused else []
    found = _usual(_log(paid), np.concatenate(times), True, notes, str(path))
    return found._replace(apart=frozenset(apart), persons=Persons.of(logins))


def _without_identities(lines: list[bytes], logins: list[Identify]) -> tuple[list[bytes], int]:
    """Return the lines that are not about who is who, and how many of the others are wrong; add the logins."""
    events, wrong = [], 0
    for line in lines:
        if not is_identity_type(line):
            events.append(line)
            continue
        try:
            said = decode_identity(line)
        except RejectedEvent:
            wrong += 1
            continue
        if isinstance(said, Identify):
            logins.append(said)  # what workers hand over is there under its own id
    return events, wrong


async def _scores_of_topic(settings: Settings, on_progress: OnProgress | None) -> PaymentLog:
    decoder = msgspec.json.Decoder(_Scored)
    rows: list[_Scored] = []
    refused = 0
    async with TopicReader(settings, settings.scores_topic) as reader:
        async for _, records in reader.read(on_progress=on_progress):
            for record in records:
                try:
                    rows.append(decoder.decode(record.value or b""))
                except (msgspec.MsgspecError, UnicodeDecodeError):
                    refused += 1
    return _of_scores(rows, refused, settings.scores_topic)


def _of_scores(rows: list[_Scored], refused: int, name: str) -> PaymentLog:
    paid = [
        {
            "event_id": row.event_id,
            "type": "purchase",
            "customer_id": row.customer_id,
            "event_time": row.event_time,
        }
        for row in rows
        if row.purchase
    ]
    notes = [f"{refused:,} records of {name} are no scores and were left out."] if refused else []
    found = _usual(_log(paid), np.array([row.event_time for row in rows], np.int64), False, notes, name)
    apart = frozenset(row.customer_id for row in rows if row.traffic is not None)
    pairs = dict.fromkeys((row.merged, row.customer_id) for row in rows if row.merged is not None)
    return found._replace(apart=apart, persons=Persons.of_pairs(pairs))


def _usual(table: pa.Table, times: NDArray[np.int64], money: bool, notes: list[str], name: str) -> PaymentLog:
    """Leave out lonely dates, by which every window would seem to have ended."""
    usual = UsualDays.of(times)
    if usual.lonely:
        notes = [*notes, *usual.sentences()]
        table = table.filter(pa.array(usual.hold(table["event_time"].cast(pa.int64()).to_numpy())))
        times = times[usual.hold(times)]
    if not len(times):
        raise LogError(f"{name} has no events: there is nothing to compare")
    return PaymentLog(table, int(times.min()), int(times.max()), money, tuple(notes))


def _log(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=LOG_SCHEMA)


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_PARQUET)) == _PARQUET


def _names(path: Path) -> list[str]:
    try:
        return list(pq.read_schema(path).names)
    except (pa.ArrowException, OSError) as error:
        raise LogError(f"{path} is not a Parquet file: {str(error).splitlines()[0]}") from None


def _rows(path: Path, fields: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Yield rows of a Parquet file with the named columns, times as epoch milliseconds."""
    there = _names(path)
    wanted = [name for name in fields if name in there]
    missing = [name for name in fields if name not in there and name not in _OPTIONAL]
    if missing:
        raise LogError(f"{path} has no column {missing[0]!r}; its columns are {', '.join(there)}")
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=wanted):
            table = pa.Table.from_batches([batch])
            for at, field in enumerate(table.schema):
                if pa.types.is_timestamp(field.type):
                    whole = pc.floor_temporal(table[field.name], unit="millisecond")
                    millis = whole.cast(pa.timestamp("ms", field.type.tz), safe=False).cast(pa.int64())
                    table = table.set_column(at, field.name, millis)
            yield from table.to_pylist()


def _lines(path: Path, on_progress: OnProgress | None) -> Iterator[bytes]:
    """Yield the lines of a file that are not empty."""
    size, done = path.stat().st_size, 0
    with path.open("rb") as file:
        for number, line in enumerate(file):
            done += len(line)
            if on_progress is not None and number % _LINES == 0:
                on_progress(done, size)
            if line.strip():
                yield line.strip()
