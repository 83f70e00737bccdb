"""Any CSV or Parquet file with one row per event or order line, by naming its columns.

How the source is understood:

- Types named in the mapping become the event type given for them, types that are event types already pass,
  all others are dropped and counted by name. The type ``*`` stands for every type not named, and for files
  without such a column.
- A cell of an order that is empty takes the value of the row above, if that has the same order (exports of Shopify
  name the customer, the currency and the like only in the first row of an order).
- Rows of purchases with the same order, customer and currency become one purchase, dated by the last row;
  rows of refunds only if they have the same time too. A row without quantity is one piece.
- The value of an order is `value` where the rows have it: once, if the rows of most orders agree on it (the
  total of the order, repeated), otherwise summed (amounts of lines). Else it is the sum of price times
  quantity.
- Refunds with negative price, value or quantity are turned to positive. A line of an order with a negative price or
  value is a discount: it lowers the order's value, and is no item. A quantity with a fraction (0.75 kg) is one piece
  at the price of its line, rounded to cents.
- Without `event_id`, ids are made of the file's name and the row's number. Rows alike are then all kept:
  nothing tells a repetition of the log from an event that happened twice. With `event_id`, the first row of
  an id counts.
- A row with a bad value is dropped: no customer, no time, a number that cannot be read or is beyond the limits
  of an event, a text that is too long. Only an unknown channel is left out and the row kept.
- Texts are read as in tables (`offline.problems`): words for missing values, decimal signs and the order of day
  and month are those of `offline.datasets.missing`, `numbers` and `dates`. Signs and order are decided once for
  a whole column, over all files, in a first pass over the files; what was decided is noted in the account.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.events import (
    CHANNELS,
    EVENT_TYPES,
    MAX_ID,
    MAX_MONEY,
    MAX_QUANTITY,
    MAX_TEXT,
    PURCHASE,
    REFUND,
    TYPE_CODES,
)
from offline.datasets.column_forms import ColumnForms, survey, two_passes
from offline.datasets.conversion import DatasetError, Sieve, Tally
from offline.datasets.dataset import Dataset, check_id_sources, finish, id_source, join
from offline.datasets.missing import NAMIBIA
from offline.datasets.numbers import as_numbers
from offline.datasets.order_cells import OrderCells
from offline.datasets.order_lines import merge_orders, without_repetitions
from offline.datasets.source_files import Block, column_names, find_files, read_blocks
from offline.datasets.times import as_times, check_time_format, unfit_time, zone
from offline.datasets.values import (
    Bools,
    as_dictionary,
    as_text,
    coded,
    constant,
    holds_control,
    mask,
    plain_text,
    too_long,
    without_point_zero,
)
from offline.datasets.yes_no import NO, YES
from offline.progress import OnProgress

#: Fields of an event that a column can be mapped to, and for texts how long they may be.
TEXT_LIMITS: Final[Mapping[str, int]] = {
    "event_id": MAX_ID,
    "item_id": MAX_ID,
    "order_id": MAX_ID,
    "session_id": MAX_ID,
    "category": MAX_TEXT,
    "device": MAX_TEXT,
    "country": MAX_TEXT,
    "currency": 3,
    "channel": MAX_TEXT,
}
FIELDS: Final = ("customer_id", "event_time", "type", *TEXT_LIMITS, "price", "quantity", "value", "bot")
#: In the mapping of types: every type that is not named.
ANY: Final = "*"

_REQUIRED = ("customer_id", "event_time")
_CURRENCY = r"^[A-Z]{3}$"
# What spreadsheets and floats make of long numbers: 4,00638E+12.
_ROUNDED = r"^\d(?:[.,]\d+[eE]\+?|[eE]\+)\d+$"
# The same without a sign and without digits behind the point; so may look what counts in sixteens.
_MAYBE_ROUNDED = r"^\d[eE]\d+$|^(?i:[+-]?inf(?:inity)?)$"
# From 2 to the power of 53 on, a float holds no longer every whole number: it has 16 digits.
_BEYOND_FLOAT = r"^(?:9[1-9]\d{14}|90[1-9]\d{13}|900[8-9]\d{12}|\d{17,})$"
# A number that no float can hold.
_BEYOND = r"^[+-]?\d+(?:\.\d*)?(?:[eE]\+?\d+)?$"
_CONTROL = "identifier with a control character"
_UNKNOWN_TYPES = 20  # reasons that name an unknown type; the rest is counted together


def load_columns(  # noqa: PLR0913  (keyword-only options of one command)
    path: Path,
    *,
    columns: Mapping[str, str],
    types: Mapping[str, str] | None = None,
    timezone: str = "UTC",
    time_format: str | None = None,
    encoding: str = "utf8",
    strict: bool = False,
    on_progress: OnProgress | None = None,
) -> Dataset:
    """Convert a CSV or Parquet file, or all files of a folder, by a mapping of columns.

    Parameters
    ----------
    path
        A file (CSV, gzipped CSV or Parquet), or a folder of such files with the same columns.
    columns
        Name of the column for each field of `FIELDS` that the source has; `customer_id`, `event_time` and,
        unless `types` has a ``*``, `type` are needed.
    types
        Event type for each of the source's types.
    timezone
        IANA name of the zone of times that name none.
    time_format
        Form of all times, as of `datetime.strptime`; found out by default.
    encoding
        Of CSV files.
    strict
        Whether the first bad value ends the conversion.
    on_progress
        Called with bytes read and bytes in all.

    Raises
    ------
    DatasetError
        If the mapping is wrong, a file cannot be read or lacks a column, or, if `strict`, at the first bad
        value.
    """
    files = find_files(Path(path))
    check_id_sources(files)
    _check_mapping(columns, files[0], encoding)
    codes, local = _type_codes(columns, types or {}), zone(timezone)
    if time_format is not None:
        check_time_format(time_format)
    first, second = two_passes(on_progress)
    forms = survey(files, columns, encoding=encoding, time_format=time_format, on_progress=first)
    source = _Source(dict(columns), codes, local, forms, Tally(strict), Tally())
    kept_words = {columns["type"]: set(types or {})} if "type" in columns else {}
    if forms.country_codes:
        kept_words[columns["country"]] = {NAMIBIA}
    drafts, rows = [], 0
    blocks = read_blocks(
        files,
        list(columns.values()),
        broken=source.dropped,
        notes=source.notes,
        encoding=encoding,
        kept_words=kept_words,
        on_progress=second,
    )
    for block in blocks:
        drafts.append(_draft(block, rows, source))
        rows += block.data.num_rows
    log = without_repetitions(join(drafts), source.dropped)
    del drafts
    forms.note(source.notes, columns)
    log, merged = merge_orders(log, source.dropped, source.notes)
    return finish(
        "csv",
        files,
        rows,
        log,
        merged=merged,
        dropped=source.dropped,
        notes=source.notes,
        timezone=timezone,
    )


@dataclass
class _Source:
    """What was said about the source, and the account."""

    columns: dict[str, str]
    types: dict[str, int]
    zone: ZoneInfo
    forms: ColumnForms
    dropped: Tally
    notes: Tally
    unknown_types: set[str] = field(default_factory=set)
    orders: OrderCells = field(default_factory=OrderCells)


def _type_codes(columns: Mapping[str, str], types: Mapping[str, str]) -> dict[str, int]:
    for name, event in types.items():
        if event not in TYPE_CODES:
            raise DatasetError(
                f"{name}={event}: there is no event type {event!r}; choose from {', '.join(EVENT_TYPES)}"
            )
    if "type" not in columns and ANY not in types:
        raise DatasetError(
            "no column is named for the type of events; add type=COLUMN, or say "
            "what all rows are: --types '*=purchase'"
        )
    return TYPE_CODES | {name: TYPE_CODES[event] for name, event in types.items()}


def _check_mapping(columns: Mapping[str, str], file: Path, encoding: str) -> None:
    there = ", ".join(column_names(file, encoding))
    if unknown := [name for name in columns if name not in FIELDS]:
        raise DatasetError(
            f"events have no field {unknown[0]!r}; columns can be named for {', '.join(FIELDS)}"
        )
    if missing := [name for name in _REQUIRED if name not in columns]:
        raise DatasetError(f"no column is named for {', '.join(missing)}; the columns of {file} are {there}")


def _draft(block: Block, before: int, source: _Source) -> pa.Table:
    raw = {name: block.data.column(column) for name, column in source.columns.items()}
    raw = source.orders.filled(block.file, raw, source.notes)
    rows = block.data.num_rows
    sieve = Sieve(rows, source.dropped, block.file.name, block.first_row)
    types = _types(raw.get("type"), rows, sieve, source)
    customer = _text("customer_id", raw["customer_id"], sieve, source)
    times = as_times(raw["event_time"], source.zone, form=source.forms.time_form())
    sieve.reject(unfit_time(times), "unreadable time", source.columns["event_time"], raw["event_time"])

    draft: dict[str, object] = {
        "row": np.arange(before, before + rows, dtype=np.int64),
        "source": constant(id_source(block.file), rows),
        "number": np.arange(block.first_row, block.first_row + rows, dtype=np.int64),
        "type": types,
        "event_time": times.ms,
        "customer_id": as_dictionary(customer),
    }
    for name in TEXT_LIMITS:
        if name in raw:
            draft[name] = as_dictionary(_text(name, raw[name], sieve, source))
    if "bot" in raw:
        draft["bot"] = _yes_or_no("bot", raw["bot"], sieve, source)
    named = mask(pc.is_valid(draft["order_id"])) if "order_id" in raw else np.zeros(rows, bool)
    draft |= _numbers(raw, types == REFUND, (types == PURCHASE) & named, sieve, source)
    skipped, twice = times.skipped & sieve.keep, times.twice & sieve.keep
    at = source.columns["event_time"], raw["event_time"]
    source.notes.add(
        "time that the clock left out in spring: read as the moment it jumped to", *sieve.first(skipped, *at)
    )
    source.notes.add(
        "time that the clock showed twice in autumn: read as the first", *sieve.first(twice, *at)
    )
    return pa.table(draft).filter(pa.array(sieve.keep))


def _types(raw: pa.Array | None, rows: int, sieve: Sieve, source: _Source) -> NDArray[np.int8]:
    other = source.types.get(ANY, -1)
    if raw is None:
        return np.full(rows, other, dtype=np.int8)
    names = as_text(raw)
    types = coded(names, source.types)
    types[types < 0] = other
    missing = mask(pc.is_null(names)) & (types < 0)
    sieve.reject(missing, "no type", source.columns["type"], raw)
    unknown = types < 0
    for name in pc.unique(names.filter(pa.array(unknown & ~missing))).to_pylist():
        if len(source.unknown_types) >= _UNKNOWN_TYPES and name not in source.unknown_types:
            break
        source.unknown_types.add(name)
        sieve.drop(mask(pc.equal(names, name)) & unknown, f"type {name!r} is not in the mapping")
    sieve.drop(unknown, "further types that are not in the mapping")
    return types


def _text(name: str, raw: pa.Array, sieve: Sieve, source: _Source) -> pa.Array:
    text, column = as_text(raw), source.columns[name]
    if name == "currency":
        written, text = text, pc.utf8_upper(text)
        changed = ~mask(pc.equal(written, text)) & mask(pc.is_valid(text)) & sieve.keep
        source.notes.add("currency in small letters: read as capitals", *sieve.first(changed, column, raw))
        wrong = ~mask(pc.match_substring_regex(text, _CURRENCY)) & ~mask(pc.is_null(text))
        sieve.reject(wrong, "currency is no code of three letters", column, raw)
    elif name == "channel":
        text = pc.utf8_lower(text)
        known = pc.is_in(text, value_set=pa.array(CHANNELS, text.type))
        wrong = ~mask(known) & ~mask(pc.is_null(text)) & sieve.keep
        example = f"{column}: {text[int(np.argmax(wrong))].as_py()!r}" if wrong.any() else None
        source.notes.add(f"channel is not one of {', '.join(CHANNELS)}: left out", int(wrong.sum()), example)
        text = pc.if_else(known, text, pa.scalar(None, text.type))
    else:
        if name == "customer_id":
            sieve.reject(mask(pc.is_null(text)), "no customer", column, raw)
        limit = TEXT_LIMITS.get(name, MAX_ID)
        sieve.reject(too_long(text, limit), f"text of more than {limit} characters", column, raw)
        if name.endswith("_id"):
            text = _identifier(text, column, raw, sieve, source)
    return text


def _yes_or_no(name: str, raw: pa.Array, sieve: Sieve, source: _Source) -> pa.Array:
    words, column = pc.utf8_lower(as_text(raw)), source.columns[name]
    yes, no = (pc.is_in(words, value_set=pa.array(known, words.type)) for known in (YES, NO))
    known = pc.or_(yes, no)
    wrong = ~mask(known) & mask(pc.is_valid(words)) & sieve.keep
    source.notes.add(f"{name} is neither yes nor no: left out", *sieve.first(wrong, column, raw))
    return pc.if_else(known, yes, pa.scalar(None, pa.bool_()))


def _identifier(text: pa.Array, column: str, raw: pa.Array, sieve: Sieve, source: _Source) -> pa.Array:
    """Return identifiers as they were before a tool took them for numbers."""
    sieve.reject(holds_control(text), _CONTROL, column, raw)
    trimmed = ~mask(pc.equal(text, plain_text(raw))) & mask(pc.is_valid(text)) & sieve.keep
    source.notes.add("identifier with spaces around it: taken without", *sieve.first(trimmed, column, raw))
    sieve.reject(
        mask(pc.match_substring_regex(text, _ROUNDED)), "identifier that a tool has rounded", column, raw
    )
    unsure = mask(pc.match_substring_regex(text, _MAYBE_ROUNDED)) & sieve.keep
    source.notes.add(
        "identifier that may be a rounded number: kept as it is", *sieve.first(unsure, column, raw)
    )
    whole = without_point_zero(text)
    changed = ~mask(pc.equal(whole, text)) & mask(pc.is_valid(text)) & sieve.keep
    beyond = changed & mask(pc.match_substring_regex(whole, _BEYOND_FLOAT))
    source.notes.add(
        "identifier with .0 and more digits than such a number holds: its last digits may be wrong",
        *sieve.first(beyond, column, raw),
    )
    source.notes.add(
        "identifier that a tool wrote with .0: taken without", *sieve.first(changed & ~beyond, column, raw)
    )
    return whole


def _numbers(
    raw: Mapping[str, pa.Array], refund: Bools, of_order: Bools, sieve: Sieve, source: _Source
) -> dict[str, pa.Array]:
    columns: dict[str, NDArray[np.float64]] = {}
    for name, limit in (("price", MAX_MONEY), ("value", MAX_MONEY), ("quantity", MAX_QUANTITY)):
        if name not in raw:
            continue
        numbers, bad = as_numbers(raw[name], source.forms.number_form(name))
        column = source.columns[name]
        beyond = bad & mask(pc.match_substring_regex(as_text(raw[name]), _BEYOND)) if bad.any() else bad
        sieve.reject(beyond, f"{name} above {limit:,.0f}", column, raw[name])
        sieve.reject(bad, f"{name} is no number", column, raw[name])
        turned = refund & (numbers < 0)
        source.notes.add(
            f"refund with a {name} below 0: turned to positive",
            *sieve.first(turned & sieve.keep, column, raw[name]),
        )
        numbers = np.where(turned, -numbers, numbers)
        below = numbers < 0
        if name != "quantity":  # a discount, which its order bears
            discount = below & of_order & sieve.keep
            source.notes.add(
                f"line of an order with a {name} below 0: a discount",
                *sieve.first(discount, column, raw[name]),
            )
            below &= ~of_order
        sieve.reject(below, f"{name} below 0", column, raw[name])
        sieve.reject(np.abs(numbers) > limit, f"{name} above {limit:,.0f}", column, raw[name])
        columns[name] = np.clip(numbers, -limit, limit)
    if "quantity" in columns:
        column = source.columns["quantity"]
        parts = ~np.isnan(columns["quantity"]) & (columns["quantity"] % 1 != 0) & sieve.keep
        source.notes.add(
            "quantity with a fraction: one piece at the price of the line",
            *sieve.first(parts, column, raw["quantity"]),
        )
        if "price" in columns:
            columns["price"] = np.where(
                parts, _cents(columns["price"] * columns["quantity"]), columns["price"]
            )
        columns["quantity"] = np.where(parts, 1.0, columns["quantity"])
    return {
        name: pa.array(
            np.where(sieve.keep, np.nan_to_num(numbers), 0).astype(np.int64)
            if name == "quantity"
            else numbers,
            mask=np.isnan(numbers),
        )
        for name, numbers in columns.items()
    }


def _cents(amounts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round as a till does: half a cent up, whatever the binary fraction makes of it."""
    return np.floor(np.round(amounts * 100, 6) + 0.5) / 100
