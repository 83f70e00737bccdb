"""Ways to damage a file: its bytes, the cells of a text, the columns of a Parquet file."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

#: Takes good bytes, returns damaged ones.
OfBytes = Callable[[bytes, random.Random], bytes]
#: Takes the lines of a text, the first of them the header.
OfLines = Callable[[list[str], random.Random], list[str]]
#: Takes a table.
OfTable = Callable[[pa.Table, random.Random], pa.Table]

ODD_CELLS = (
    "", " ", "NaN", "inf", "-inf", "1e400", "1e308", "9" * 40, "-1", "0", '"', '""', "'", ";", ",", "\t", "\x00",
    "\x1b[31m", "🛒", "\ufeff", "#DIV/0!", "(not set)", "null", "True", "1,5", "1.234,56 €", "12 %", "(3.20)",
    "0000-00-00", "2024-02-30", "31/31/2024", "25-02-03", "20240131", "1970-01-01", "9999-12-31 23:59:59", "3 may",
    "24:00", "2024-01-01T00:00:00+99:00", "x" * 70_000, "a\nb", "=1+1", "[]", "{}", "0x10", "١٢", "1_000", "--",
)  # fmt: skip


def _cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))]


def _cut_front(data: bytes, chance: random.Random) -> bytes:
    return data[chance.randrange(1, len(data)) :]


def _flip(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 3, 30))):
        changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _overwrite(data: bytes, chance: random.Random) -> bytes:
    at, length = chance.randrange(len(data)), chance.choice((1, 16, 512))
    fill = chance.choice((b"\x00", b"\xff", b'"', b"\n", b"\r", b",", b"\x80", b"{"))
    return data[:at] + fill * length + data[at + length :]


def _insert(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + chance.randbytes(chance.choice((1, 8, 300))) + data[at:]


def _repeat(data: bytes, chance: random.Random) -> bytes:
    start, length = chance.randrange(len(data)), chance.randrange(1, len(data))
    return data[: start + length] + data[start:]


def _swap_halves(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(1, len(data))
    return data[at:] + data[:at]


def _compress(data: bytes, chance: random.Random) -> bytes:
    packed = gzip.compress(data, mtime=0)
    return packed if chance.random() < 0.3 else packed[: chance.randrange(20, len(packed))]


def _other_file(data: bytes, chance: random.Random) -> bytes:
    return chance.choice(
        (
            b"",
            b"\x00" * 64,
            b"PK\x03\x04",
            b"\x1f\x8b",
            b"PAR1",
            b"PAR1PAR1",
            b"<html>",
            b"{}",
            zlib.compress(data),
        )
    )


BYTES: dict[str, OfBytes] = {
    way.__name__[1:]: way
    for way in (_cut, _cut_front, _flip, _overwrite, _insert, _repeat, _swap_halves, _compress, _other_file)
}


def _separator(lines: list[str]) -> str:
    return max(",;\t|", key=lines[0].count)


def _odd_cells(lines: list[str], chance: random.Random) -> list[str]:
    separator, word = _separator(lines), chance.choice(ODD_CELLS)
    column = chance.randrange(lines[0].count(separator) + 1)
    changed = list(lines)
    for at in range(1, len(lines)):
        if chance.random() < chance.choice((0.01, 0.05, 1.0)):
            cells = lines[at].split(separator)
            if column < len(cells):
                cells[column] = word
                changed[at] = separator.join(cells)
    return changed


def _header_lost(lines: list[str], chance: random.Random) -> list[str]:
    return lines[1:]


def _header_only(lines: list[str], chance: random.Random) -> list[str]:
    return lines[: chance.choice((1, 2))]


def _header_twice(lines: list[str], chance: random.Random) -> list[str]:
    at = chance.randrange(1, len(lines))
    return [*lines[:at], lines[0], *lines[at:]]


def _odd_header(lines: list[str], chance: random.Random) -> list[str]:
    names = lines[0].split(_separator(lines))
    at = chance.randrange(len(names))
    names[at] = chance.choice(
        ("", names[at - 1], " " + names[at] + " ", names[at].upper(), '"', "a[b]", "\x00")
    )
    return [_separator(lines).join(names), *lines[1:]]


def _columns_swapped(lines: list[str], chance: random.Random) -> list[str]:
    separator = _separator(lines)
    width = lines[0].count(separator) + 1
    order = chance.sample(range(width), width)
    rows = [line.split(separator) for line in lines[1:]]
    moved = [
        separator.join(row[at] for at in order) if len(row) == width else separator.join(row) for row in rows
    ]
    return [lines[0], *moved]


def _rows_shuffled(lines: list[str], chance: random.Random) -> list[str]:
    return [lines[0], *chance.sample(lines[1:], len(lines) - 1)]


def _rows_repeated(lines: list[str], chance: random.Random) -> list[str]:
    return [*lines, *chance.choices(lines[1:], k=chance.choice((1, 50)))]


def _cells_lost(lines: list[str], chance: random.Random) -> list[str]:
    separator = _separator(lines)
    return [
        line.rpartition(separator)[0]
        if at and chance.random() < 0.1
        else line + separator * (chance.random() < 0.05)
        for at, line in enumerate(lines)
    ]


def _other_separator(lines: list[str], chance: random.Random) -> list[str]:
    return [line.replace(_separator(lines), chance.choice((";", " ", "\t", ",,"))) for line in lines]


def _stray_quotes(lines: list[str], chance: random.Random) -> list[str]:
    return [
        line.replace("1", '"', 1) if at and chance.random() < 0.1 else line for at, line in enumerate(lines)
    ]


LINES: dict[str, OfLines] = {
    way.__name__[1:]: way
    for way in (
        _odd_cells, _header_lost, _header_only, _header_twice, _odd_header, _columns_swapped, _rows_shuffled,
        _rows_repeated, _cells_lost, _other_separator, _stray_quotes,
    )
}  # fmt: skip


def _some_column(table: pa.Table, chance: random.Random) -> str:
    return str(chance.choice(table.column_names))


def _lost_column(table: pa.Table, chance: random.Random) -> pa.Table:
    return table.drop_columns([_some_column(table, chance)])


def _renamed_column(table: pa.Table, chance: random.Random) -> pa.Table:
    old = _some_column(table, chance)
    return table.rename_columns([f"{name} [x]" if name == old else name for name in table.column_names])


def _exchanged_columns(table: pa.Table, chance: random.Random) -> pa.Table:
    return table.rename_columns(chance.sample(table.column_names, table.num_columns))


def _no_rows(table: pa.Table, chance: random.Random) -> pa.Table:
    return table.slice(0, chance.choice((0, 1, 2)))


def _rows_again(table: pa.Table, chance: random.Random) -> pa.Table:
    return pa.concat_tables([table, table])


def _rows_in_any_order(table: pa.Table, chance: random.Random) -> pa.Table:
    return table.take(chance.sample(range(len(table)), len(table)))


def _odd_column(table: pa.Table, chance: random.Random) -> pa.Table:
    """Give a column another type, or odd values."""
    name, rows = _some_column(table, chance), len(table)
    numbers = np.arange(rows)
    made = chance.choice(
        (
            lambda: pa.nulls(rows),
            lambda: pa.nulls(rows, pa.string()),
            lambda: pa.array([None if at % 7 == 0 else f"k{at % 9}" for at in numbers]),
            lambda: pa.array([b"\x80\xff"] * rows),
            lambda: pa.array([b"k1"] * rows, pa.binary(2)),
            lambda: pa.array([["a"]] * rows),
            lambda: pa.array([{"a": 1}] * rows),
            lambda: pa.array([[("a", 1)]] * rows, pa.map_(pa.string(), pa.int64())),
            lambda: pa.array(numbers % 2 == 0),
            lambda: pa.array(np.where(numbers % 5 == 0, np.inf, numbers.astype(float))),
            lambda: pa.array(np.where(numbers % 5 == 0, np.nan, -numbers.astype(float))),
            lambda: pa.array(numbers * 1e300),
            lambda: pa.array(numbers).cast(pa.decimal128(20, 2)),
            lambda: pa.array(numbers, pa.duration("ns")),
            lambda: pa.array((numbers * 1000).astype(np.int32)).cast(pa.time32("ms")),
            lambda: pa.array(numbers.astype(np.int32)).cast(pa.date32()),
            lambda: pa.array(np.full(rows, 2**52), pa.timestamp("ms")),
            lambda: pa.array(np.full(rows, -(2**62)), pa.timestamp("us", "Europe/Berlin")),
            lambda: pa.array(numbers - 5, pa.timestamp("ns")),
            lambda: pa.array(20_240_101 + numbers % 28),
            lambda: pa.array(np.full(rows, 2**64 - 1, np.uint64)),
            lambda: pa.array(["x"] * rows).dictionary_encode(),
            lambda: pa.array(["\x00", "a\nb", "x" * 70_000, "🛒"] * (rows // 4) + ["y"] * (rows % 4)),
            lambda: pa.array(numbers.astype(np.float16)),
        )
    )()
    at = table.column_names.index(name)
    return table.set_column(at, name, made)


TABLES: dict[str, OfTable] = {
    way.__name__[1:]: way
    for way in (
        _lost_column, _renamed_column, _exchanged_columns, _no_rows, _rows_again, _rows_in_any_order, _odd_column,
        _odd_column,
    )
}  # fmt: skip


def damage(good: Path, target: Path, seed: int) -> str:
    """Write a damaged copy of a good file, and return how it was damaged; equal seeds damage alike."""
    chance = random.Random(f"{good.name} {seed}")
    data = good.read_bytes()
    parquet, packed = good.name.endswith(".parquet"), good.name.endswith(".gz")
    of_content = chance.random() < (0.75 if parquet else 0.65)
    if of_content and parquet:
        name = chance.choice([*TABLES, "odd_column", "odd_column"])
        table = TABLES[name](pq.read_table(good), chance)
        pq.write_table(table, target, row_group_size=chance.choice((50, 1000)))
        return name
    if of_content:
        text = (gzip.decompress(data) if packed else data).decode()
        name = chance.choice([*LINES, "odd_cells", "odd_cells", "odd_cells"])
        lines = LINES[name](text.splitlines(), chance)
        end = chance.choice(("\n", "\n", "\n", "\r\n", "\r"))
        encoded = (end.join(lines) + end).encode(
            chance.choice(("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16"))
        )
        target.write_bytes(gzip.compress(encoded, mtime=0) if packed else encoded)
        return name
    name = chance.choice(list(BYTES))
    target.write_bytes(BYTES[name](data, chance))
    return name
