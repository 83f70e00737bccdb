"""Actions as a file: Parquet or JSON lines, with the fields of the actions topic."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from features.whole_files import whole_file
from stream.exceptions import NO_ACTIONS, SettingsError
from stream.kafka.reading import TopicReader
from stream.kafka.unreadable import unreadable
from stream.messages.action import Action, decode_action
from stream.scoring.score_log import REASONS
from stream.settings import Settings

#: Endings of the files that can be written.
ENDINGS: Final = (".parquet", ".jsonl")

_TIME: Final = pa.timestamp("ms", tz="UTC")
_TYPES: Final[dict[str, pa.DataType]] = {
    "purchase_intent": pa.float64(),
    "segment": pa.struct([("id", pa.int64()), ("name", pa.string())]),
    **dict.fromkeys(("as_of", "decided_at", "expires_at"), _TIME),
    "items": pa.list_(pa.string()),
    "reasons": REASONS,
}
SCHEMA: Final = pa.schema([(name, _TYPES.get(name, pa.string())) for name in Action.__struct_encode_fields__])

_encode = msgspec.json.Encoder().encode


class ActionArchive(NamedTuple):
    """What `archive_actions` has written, and what it has left out: repetitions, and records that are no actions."""

    actions: int
    repeated: int
    refused: int


def archive_actions(
    settings: Settings, path: Path, *, on_progress: Callable[[int, int], None] | None = None
) -> ActionArchive:
    """Write what the actions topic holds to a file, in the order of their moments.

    Of customers who were erased later nothing is written.

    Raises
    ------
    BrokerError
        Kafka does not answer, or has no such topic.
    SettingsError
        There is no topic of actions.
    """
    if not settings.actions_topic:
        raise SettingsError(NO_ACTIONS)
    found, repeated, refused = asyncio.run(_read_topic(settings, on_progress))
    actions = sorted(found, key=lambda action: action.decided_at)
    write_actions(path, actions)
    return ActionArchive(len(actions), repeated, refused)


async def _read_topic(
    settings: Settings, on_progress: Callable[[int, int], None] | None
) -> tuple[list[Action], int, int]:
    found: dict[bytes, dict[str, Action]] = {}
    repeated = refused = 0
    async with TopicReader(settings, settings.actions_topic) as reader:
        async for _, records in reader.read(on_progress=on_progress):
            for record in records:
                if record.value is None:
                    found.pop(record.key or b"", None)
                    continue
                try:
                    if unreadable(record):
                        raise msgspec.DecodeError
                    action = decode_action(record.value)
                except (msgspec.MsgspecError, UnicodeDecodeError):
                    refused += 1
                    continue
                own = found.setdefault(action.customer_id.encode(), {})
                repeated += action.action_id in own
                own.setdefault(action.action_id, action)
    return [action for own in found.values() for action in own.values()], repeated, refused


def write_actions(path: Path, actions: Sequence[Action]) -> None:
    """Write actions to a file, whose ending says in which form."""
    with whole_file(path) as partial:
        if path.suffix == ".jsonl":
            partial.write_bytes(b"".join(_encode(action) + b"\n" for action in actions))
        else:
            pq.write_table(actions_table(actions), partial, compression="zstd")


def actions_table(actions: Sequence[Action]) -> pa.Table:
    """Return actions as a table, one row each."""
    return pa.table(
        {
            field.name: pa.array([_plain(getattr(action, field.name)) for action in actions], field.type)
            for field in SCHEMA
        },
        schema=SCHEMA,
    )


def _plain(value: object) -> object:
    return msgspec.to_builtins(value) if isinstance(value, (msgspec.Struct, list)) else value
