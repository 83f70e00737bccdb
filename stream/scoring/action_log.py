"""Actions as a file: Parquet or JSON lines, with the fields of the actions topic."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from features.whole_files import whole_file
from stream.messages.action import Action
from stream.scoring.score_log import REASONS

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
