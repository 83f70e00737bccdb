"""Names and categories of items, in a file beside the log: events carry ids only.

The file of ``log.parquet`` is ``log.items.parquet``, with a row for each item: ``item_id``, ``name``, ``category``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.events import MAX_TEXT
from features.exceptions import LogError
from features.whole_files import whole_file

ITEMS_SCHEMA: Final = pa.schema([("item_id", pa.string()), ("name", pa.string()), ("category", pa.string())])

# Different names of one item that are counted: some shops write the whole of a variant's options into it.
_NAMES: Final = 20


class ItemNames:
    """Collects what a source calls its items; each gets its most frequent name, of equal ones the first."""

    def __init__(self) -> None:
        self._names: dict[str, Counter[str]] = defaultdict(Counter)
        self._categories: dict[str, str] = {}

    def add(self, item: str, name: str | None, category: str | None = None, *, times: int = 1) -> None:
        """Take note of what an item was called."""
        known = self._names[item]
        if name and (name in known or len(known) < _NAMES):
            known[name] += times
        if category:
            self._categories.setdefault(item, category)

    def add_fields(self, fields: Mapping[str, object]) -> None:
        """Take note of the items in the fields of an event that still has their names."""
        for item, name, category in lines_of(fields):
            self.add(item, name, category)

    def add_rows(self, items: pa.Array, names: pa.Array, categories: pa.Array | None = None) -> None:
        """Take note of many rows; those without an item are passed over."""
        table = pa.table(
            {"item": items, "name": names, "category": categories or pa.nulls(len(items), pa.string())}
        )
        counts = table.group_by(["item", "name", "category"], use_threads=False).aggregate(
            [([], "count_all")]
        )
        for row in counts.to_pylist():
            if row["item"]:
                self.add(row["item"], row["name"], row["category"], times=row["count_all"])

    def table(self) -> pa.Table | None:
        """Return a row for each item in the order of ids, ``None`` where no item has a name or a category."""
        ids = sorted(self._names)
        names = [_most(self._names[item]) for item in ids]
        categories = [self._categories.get(item) for item in ids]
        if not any(names) and not any(categories):
            return None
        return pa.table([ids, names, categories], schema=ITEMS_SCHEMA)


def _most(names: Counter[str]) -> str | None:
    return names.most_common(1)[0][0][:MAX_TEXT] if names else None


def items_path(log: Path) -> Path:
    """Return where the items of a log stand.

    Examples
    --------
    >>> items_path(Path("shop/log.parquet")).as_posix()
    'shop/log.items.parquet'
    """
    return log.with_name(f"{log.stem}.items.parquet")


def write_items(log: Path, table: pa.Table | None) -> Path | None:
    """Write the items of a log beside it, or remove those of a log before; return where they stand."""
    path = items_path(log)
    if table is None:
        path.unlink(missing_ok=True)
        return None
    with whole_file(path) as partial:
        pq.write_table(table, partial, compression="zstd")
    return path


def read_item_names(log: Path) -> dict[str, str]:
    """Return the names of a log's items, none where there is no such file.

    Raises
    ------
    LogError
        The file is there and cannot be read.
    """
    path = items_path(log)
    if not path.exists():
        return {}
    try:
        table = pq.read_table(path, columns=["item_id", "name"]).cast(ITEMS_SCHEMA.remove(2))
    except (OSError, pa.ArrowException) as error:
        raise LogError(
            f"the names of items in {path} cannot be read ({str(error).splitlines()[0]}): "
            "convert the log again, or delete this file"
        ) from None
    named = table.filter(pc.is_valid(table["name"]))
    return dict(zip(named["item_id"].to_pylist(), named["name"].to_pylist(), strict=True))


def named(item: str, names: Mapping[str, str]) -> str:
    """Return an item as people read it.

    Examples
    --------
    >>> named("85123A", {"85123A": "White hanging heart"}), named("x", {})
    ('White hanging heart (85123A)', 'x')
    """
    return f"{names[item]} ({item})" if item in names and names[item] != item else item


def lines_of(fields: Mapping[str, object]) -> Iterator[tuple[str, str | None, str | None]]:
    """Yield item, name and category of what an event is about.

    Parameters
    ----------
    fields
        Of an event; items also have their ``name``, an event about one item the ``item_name``.
    """
    listed = fields.get("items")
    own = {
        "item_id": fields.get("item_id"),
        "name": fields.get("item_name"),
        "category": fields.get("category"),
    }
    for line in [own, *(listed if isinstance(listed, list) else [])]:
        item, name, category = (line.get(key) for key in ("item_id", "name", "category"))
        if isinstance(item, str) and item:
            yield (
                item,
                name if isinstance(name, str) else None,
                category if isinstance(category, str) else None,
            )
