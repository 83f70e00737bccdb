"""Names of items beside a log."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.exceptions import LogError
from features.items import ItemNames, items_path, read_item_names, write_items


def test_names_are_read_as_they_were_written(tmp_path: Path) -> None:
    log = tmp_path / "log.parquet"
    assert read_item_names(log) == {}
    names = ItemNames()
    names.add("7", "Mug")
    names.add("8", None, "Tea")
    write_items(log, names.table())
    assert read_item_names(log) == {"7": "Mug"}


@pytest.mark.parametrize("content", [b"", b"PAR1", b"item_id,name\n7,Mug\n"])
def test_a_damaged_file_of_names_is_an_error_and_not_a_log_without_names(
    tmp_path: Path, content: bytes
) -> None:
    log = tmp_path / "log.parquet"
    items_path(log).write_bytes(content)
    with pytest.raises(LogError, match=r"log\.items\.parquet cannot be read .*delete this file"):
        read_item_names(log)
