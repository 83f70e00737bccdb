from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from features.merge import INEXACT
from features.vector import COLUMNS, schema_hash
from stream.cli import create_app


def printed(*options: str) -> str:
    result = CliRunner().invoke(create_app(), ["features", *options], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_json_has_one_object_per_column_in_the_order_of_the_vector() -> None:
    lines = [json.loads(line) for line in printed("--json").splitlines()]
    assert [line["name"] for line in lines] == [column.name for column in COLUMNS]
    assert all(line["unit"] and line["meaning"] for line in lines)


@pytest.mark.parametrize("option", [[], ["--markdown"]])
def test_people_see_every_column_and_the_version(option: list[str]) -> None:
    text = printed(*option)
    assert all(column.name in text for column in COLUMNS)
    assert schema_hash() in text


def test_the_page_has_a_row_per_column() -> None:
    columns, _, merges = printed("--markdown").partition("\n## ")
    rows = [line for line in columns.splitlines() if line.startswith("| ") and "`" in line]
    assert len(rows) == len(COLUMNS)
    assert all(row.count("|") == 6 for row in rows)
    assert all(where in merges for where in INEXACT.values()), "what a merge of two ids may leave inexact"
