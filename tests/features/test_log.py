from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.encoded_texts import ENCODED
from features.exceptions import LogError
from features.log import (
    LOG_SCHEMA,
    conform,
    iterate_log,
    log_metadata,
    log_rows,
    own_columns,
    read_log,
    validate,
    write_log,
)
from features.log_order import ArrivalOrder, Coordinates, in_order
from features.sorted_log import iterate_in_order, rows_in_order
from offline.examples.buckets.scan import scan

ROWS = {
    "event_id": ["a", "b"],
    "type": ["view_item", "purchase"],
    "customer_id": ["anna", "bert"],
    "event_time": [1_709_510_400_000, 1_709_510_401_000],
    "price": [1.5, None],
}


def test_a_log_survives_the_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "log.parquet"
    assert write_log(path, pa.table(ROWS), metadata={"source": "test"}) == 2
    table = read_log(path)
    assert table.schema.remove_metadata() == LOG_SCHEMA
    assert table["price"].to_pylist() == [1.5, None]
    assert table["arrived_at"] == table["event_time"]
    assert log_metadata(path) == {"source": "test"}
    assert log_rows(path) == 2
    assert [len(part) for part in iterate_log(path, rows=1)] == [1, 1]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("type", "click"),
        ("type", None),
        ("customer_id", None),
        ("customer_id", ""),
        ("event_id", "x" * 129),
        ("event_time", -5),
        ("event_time", None),
        ("price", -1.0),
        ("price", float("nan")),
        ("price", 2e9),
    ],
)
def test_a_bad_row_is_named_with_column_and_value(tmp_path: Path, column: str, value: object) -> None:
    rows = {**ROWS, column: [ROWS[column][0], value]}
    pq.write_table(pa.table(rows), tmp_path / "log.parquet")
    with pytest.raises(LogError, match=rf"row 1 of the log: {column}"):
        read_log(tmp_path / "log.parquet")


LOGIN = (
    '{"type":"identify","event_id":"l","anonymous_id":"a1","customer_id":"anna","event_time":1709510401000}'
)
EVENT = '{"type":"purchase","event_id":"b","customer_id":"bert","event_time":1709510401000}'
MERGE = LOGIN.replace("identify", "merge").replace("}", ',"source":[0,1,0],"path":["a1"]}')


@pytest.mark.parametrize(
    ("kind", "identity"),
    [
        ("purchase", "nothing"),
        ("purchase", "[]"),
        ("purchase", '{"type":["merge"]}'),
        ("purchase", LOGIN),
        ("identify", MERGE),
        ("identify", LOGIN.replace("a1", "anna")),
        ("merge", MERGE.replace("}", ',"state":"AAAA"}')),
        ("merge", MERGE.replace("[0,1,0]", "[0,1,99999999999]")),
        ("merge", None),
        ("merge", MERGE.replace("}", ',"event":' + EVENT + "}")),
        ("purchase", MERGE.replace("}", ',"erase":true}')),
    ],
)
def test_what_a_row_says_of_who_is_who_is_looked_at_as_a_record_is(
    tmp_path: Path, kind: str, identity: str | None
) -> None:
    path = tmp_path / "log.parquet"
    for good, text in (("identify", LOGIN), ("merge", MERGE), ("purchase", MERGE)):
        pq.write_table(pa.table({**ROWS, "type": ["view_item", good], "identity": [None, text]}), path)
        assert len(read_log(path, identities=True)) == 2
    pq.write_table(pa.table({**ROWS, "type": ["view_item", kind], "identity": [None, identity]}), path)
    for identities in (False, True):
        with pytest.raises(LogError, match="row 1 of the log: identity"):
            read_log(path, identities=identities)


PRICE = '{"type":"price","event_id":"b","item_id":"tent","price":80.0,"event_time":1709510401000}'
COPY = PRICE.replace("price", "price_copy", 1).replace("}", ',"source":[0,1]}')


@pytest.mark.parametrize(
    ("kind", "customer", "text"),
    [
        ("price", None, None),
        ("price", None, "nothing"),
        ("price", None, COPY),
        ("price_copy", None, PRICE),
        ("price", None, LOGIN),
        ("price", None, PRICE.replace("80.0", "-1")),
        ("identify", "anna", PRICE),
    ],
)
def test_what_a_row_says_of_a_price_is_looked_at_as_a_record_is(
    tmp_path: Path, kind: str, customer: str | None, text: str | None
) -> None:
    path = tmp_path / "log.parquet"

    def written(kind: str, customer: str | None, text: str | None) -> Path:
        rows = {
            **ROWS,
            "type": ["view_item", kind],
            "customer_id": ["anna", customer],
            "identity": [None, text],
        }
        pq.write_table(pa.table(rows), path)
        return path

    for good, said in (("price", PRICE), ("price_copy", COPY)):
        assert len(read_log(written(good, None, said), identities=True)) == 2
        assert read_log(path)["type"].to_pylist() == ["view_item"]
        assert [part["type"].to_pylist() for part in iterate_log(path)] == [["view_item"]]
    with pytest.raises(LogError, match="row 1 of the log: identity"):
        read_log(written(kind, customer, text))
    with pytest.raises(LogError, match="row 1 of the log: customer_id"):
        read_log(written("price", "anna", PRICE))


def test_a_missing_column_is_named() -> None:
    with pytest.raises(LogError, match="no column 'type'"):
        conform(pa.table({"event_id": ["a"]}))


def test_a_missing_or_damaged_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="no log at"):
        read_log(tmp_path / "nothing")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(LogError, match="not a Parquet file"):
        read_log(tmp_path / "text")


def test_a_log_that_failed_half_way_leaves_no_file(tmp_path: Path) -> None:
    bad = pa.table({**ROWS, "price": [1.0, -1.0]})
    with pytest.raises(LogError):
        write_log(tmp_path / "log.parquet", [pa.table(ROWS), bad])
    assert list(tmp_path.iterdir()) == []


def test_a_log_of_seconds_is_refused_and_one_that_counts_from_zero_is_not(tmp_path: Path) -> None:
    row = {"event_id": "e", "type": "search", "customer_id": "c"}
    for times, fits in (([1_700_000_000, 1_700_000_100], False), ([1, 1_700_000_000], True)):
        table = pa.table({name: [value] * 2 for name, value in row.items()} | {"event_time": times})
        write_log(tmp_path / "log.parquet", conform(table))
        for read in (read_log, lambda path: list(iterate_log(path, 1))):
            with nullcontext() if fits else pytest.raises(LogError, match="looks like seconds"):
                read(tmp_path / "log.parquet")


@pytest.mark.parametrize("name", ["event_id", "customer_id", "item_id", "order_id", "session_id"])
def test_control_characters_in_identifiers_of_a_log_are_refused(name: str) -> None:
    row = {
        "event_id": "e",
        "type": "search",
        "customer_id": "c",
        "event_time": 1_700_000_000_000,
        name: "a\x85",
    }
    with pytest.raises(LogError, match=f"row 0 .*{name} = "):
        validate(conform(pa.table({key: [value] for key, value in row.items()})))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("type", "sneeze"),
        ("type", None),
        ("channel", "pigeon"),
        ("category", "x" * 300),
        ("country", "x" * 300),
    ],
)
def test_a_broken_text_is_named_the_same_in_a_column_that_holds_each_text_once(
    name: str, value: str | None
) -> None:
    rows = pa.table(ROWS).to_pylist()
    of = pa.schema([LOG_SCHEMA.field(each) for each in dict.fromkeys([*ROWS, name])])
    plain = conform(pa.Table.from_pylist([rows[0], rows[1] | {name: value}], of))
    at = plain.schema.get_field_index(name)
    encoded = plain.set_column(at, name, plain[name].dictionary_encode())
    assert conform(encoded, encoded=True).schema.field(name).type == ENCODED
    assert conform(encoded).equals(plain)
    for table in (plain, conform(encoded, encoded=True)):
        with pytest.raises(LogError, match=rf"row 1 of the log: {name} = "):
            validate(table)


def archived(rows: list[tuple[int, int, int]]) -> pa.Table:
    """Return an archive of partition, offset and arrival."""
    partition, offset, arrival = zip(*rows, strict=True)
    return conform(
        pa.table(
            {
                "event_id": [f"{p}-{o}" for p, o, _ in rows],
                "type": ["search"] * len(rows),
                "customer_id": [f"c{p}" for p, _, _ in rows],
                "event_time": [1_700_000_000_000 + at for at in arrival],
                "arrived_at": [1_700_000_000_000 + at for at in arrival],
                "partition": list(partition),
                "offset": list(offset),
            }
        )
    )


def test_an_archive_keeps_the_order_of_offsets_where_arrivals_go_back(tmp_path: Path) -> None:
    table = archived([(0, 0, 50), (1, 0, 60), (0, 1, 20), (0, 2, 70), (1, 5, 65)]).take([0, 2, 1, 4, 3])
    path = tmp_path / "log.parquet"
    write_log(path, table)
    notes: list[str] = []
    assert read_log(path, notes.append).equals(read_log(path).cast(table.schema))
    assert read_log(path)["event_id"].to_pylist() == ["0-0", "0-1", "1-0", "1-5", "0-2"]
    assert rows_in_order(path)
    assert notes == []
    for rows in ([4, 3, 2, 1, 0], [2, 3, 0, 1, 4], [1, 0, 2, 3, 4]):
        write_log(path, table.take(rows))
        assert read_log(path, notes.append)["event_id"].to_pylist() == ["0-0", "0-1", "1-0", "1-5", "0-2"]
        pieces = list(iterate_in_order(path, 2))
        assert pa.concat_tables(pieces)["event_id"].to_pylist() == ["0-0", "0-1", "1-0", "1-5", "0-2"]
        assert [len(piece) for piece in pieces] == [2, 2, 1]
    assert ["in order of arrival" in note for note in notes] == [True] * 3


def test_order_is_seen_across_pieces_whatever_their_size(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(50):
        count = int(rng.integers(1, 12))
        arrivals, partitions = rng.integers(0, 20, count), rng.integers(0, 3, count)
        offsets = rng.permutation(count)
        for rows in (Coordinates(arrivals), Coordinates(arrivals, partitions, offsets)):
            order = in_order(rows)
            for at in (np.arange(count), order):
                whole, pieces = ArrivalOrder(), ArrivalOrder()
                taken = [None if column is None else column[at] for column in rows]
                whole.look(Coordinates(*taken))
                for start in range(0, count, 3):
                    pieces.look(Coordinates(*(None if c is None else c[start : start + 3] for c in taken)))
                assert whole.early == pieces.early
                if at is order:
                    assert whole.early == 0


def test_columns_that_are_not_a_logs_are_not_read(tmp_path: Path) -> None:
    log, wide = tmp_path / "log.parquet", tmp_path / "wide.parquet"
    write_log(log, pa.table(ROWS))
    pq.write_table(pq.read_table(log).append_column("page", pa.array(["<html>"] * 2)), wide)
    with pq.ParquetFile(wide) as file:
        assert own_columns(file) == LOG_SCHEMA.names
    assert read_log(wide).equals(read_log(log))
    assert pa.concat_tables(iterate_log(wide, 1)).equals(read_log(log))
    pq.write_table(pa.table({"type": ["view_item"], "page": ["<html>"]}), wide)
    with pytest.raises(LogError, match=r"no column 'event_id'; its columns are type, page"):
        read_log(wide)


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (pa.array([["a"], ["b"]]), "column 'category' is of the type list: a log has string there"),
        (pa.array([{"a": 1}, {"a": 2}]), "column 'category' is of the type struct: a log has string there"),
        (None, "there is more than one column 'price': rename or drop the others"),
    ],
)
def test_columns_of_another_kind_and_twins_are_named_with_the_file(
    tmp_path: Path, column: pa.Array | None, reason: str
) -> None:
    path, table = tmp_path / "log.parquet", pa.table(ROWS)
    table = table.append_column(
        "price" if column is None else "category", table["price"] if column is None else column
    )
    pq.write_table(table, path)
    for read in (read_log, lambda path: list(iterate_log(path)), lambda path: scan(path, 0)):
        with pytest.raises(LogError) as refused:
            read(path)
        assert str(refused.value) == f"{path}: {reason}"
