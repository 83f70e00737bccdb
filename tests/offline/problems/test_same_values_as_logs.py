"""`intent convert csv` and `intent report` understand a file alike: times, prices and missing values."""

from __future__ import annotations

import csv
import datetime as dt
import json
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from features.log import read_log
from offline.datasets.date_digits import DIGITS_IN_WORDS
from offline.problems import TableError, TableOptions, read_problem_from_table
from stream.cli.convert import register

MIDNIGHT = dt.datetime(2025, 2, 3, tzinfo=dt.UTC)
AFTERNOON = MIDNIGHT.replace(hour=14, minute=5)
app = typer.Typer()
register(app)
COLUMNS = "customer_id=user,event_time=when,price=price,category=colour"


class Seen(NamedTuple):
    """The values of a file by customer, and how its times and prices were read."""

    values: dict[str, tuple[dt.datetime, float | None, str | None]]
    times_how: str | None
    prices_how: str | None


def write(path: Path, times: list[str], prices: list[str], colours: list[str]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, delimiter=";")
        rows.writerow(["user", "when", "price", "colour", "bought"])
        for at, (time, price, colour) in enumerate(zip(times, prices, colours, strict=True)):
            rows.writerow([f"c{at}", time, price, colour, "yes" if at % 2 else "no"])
    return path


def as_log(path: Path) -> Seen:
    log = path.with_suffix(".parquet")
    arguments = ["convert", "csv", str(path), "-o", str(log), "--columns", COLUMNS, "--types", "*=view_item"]
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    account = json.loads(result.stdout)
    assert not account["dropped"]
    read_as = {
        column: note["reason"].removeprefix(f"column {column!r} is read as ")
        for column in ("when", "price")
        for note in account["notes"]
        if note["reason"].startswith(f"column {column!r} is read as ")
    }
    values = {
        row["customer_id"]: (row["event_time"], row["price"], row["category"])
        for row in read_log(log).to_pylist()
    }
    return Seen(values, read_as.get("when"), read_as.get("price"))


def as_table(path: Path) -> Seen:
    reading = read_problem_from_table(path, TableOptions(target="bought", time="when"))
    problem = reading.problem
    assert problem.times is not None
    values = {
        f"c{at}": (
            problem.times.iloc[at].to_pydatetime(),
            None if pd.isna(price := problem.columns["price"].iloc[at]) else float(price),
            None if pd.isna(colour := problem.columns["colour"].iloc[at]) else str(colour),
        )
        for at in range(len(problem))
    }
    why = dict(zip(reading.account["column"], reading.account["why"], strict=True))
    return Seen(values, why["when"], why["price"])


@pytest.mark.parametrize(
    ("texts", "right", "how"),
    [
        (
            ["03.02.2025", "03.02.2025 14:05"],
            [MIDNIGHT, AFTERNOON],
            "dates, day first (no value tells which)",
        ),
        (["3/2/2025 14:05", "13/2/2025 14:05"], [AFTERNOON, AFTERNOON.replace(day=13)], "dates, day first"),
        (["02/03/2025", "02/13/2025"], [MIDNIGHT, MIDNIGHT.replace(day=13)], "dates, month first"),
        (
            ["02/03/2025", "2/3/25 2:05 PM"],
            [MIDNIGHT, AFTERNOON],
            "dates, month first (no value tells which)",
        ),
        (["2025-02-03", "2025-02-03 14:05:00"], [MIDNIGHT, AFTERNOON], None),
        (["2025-02-03T14:05:00+01:00", "2025-02-03T14:05Z"], [AFTERNOON.replace(hour=13), AFTERNOON], None),
        (["2025/02/03", "2025-02-03 2:05 PM"], [MIDNIGHT, AFTERNOON], None),
        (["3 Feb 2025", "Feb 3, 2025 14:05"], [MIDNIGHT, AFTERNOON], None),
        (["1738591500", "1738540800"], [AFTERNOON, MIDNIGHT], "an epoch, seconds or finer since 1970"),
        (["1738591500000", "1738540800000"], [AFTERNOON, MIDNIGHT], "an epoch, seconds or finer since 1970"),
        (
            ["1738591500000000", "1738540800000000"],
            [AFTERNOON, MIDNIGHT],
            "an epoch, seconds or finer since 1970",
        ),
        (["20250203", "202502031405"], [MIDNIGHT, AFTERNOON], "dates in digits"),
        (
            ["03.02.2025", "2025-02-03", "3/2/2025 14:05", "2025-02-03T14:05:00+01:00", "1738591500000"],
            [MIDNIGHT, MIDNIGHT, AFTERNOON, AFTERNOON.replace(hour=13), AFTERNOON],
            "dates, day first (no value tells which) and an epoch, seconds or finer since 1970",
        ),
    ],
)
def test_times_are_equal_and_right(
    tmp_path: Path, texts: list[str], right: list[dt.datetime], how: str | None
) -> None:
    prices, colours = [f"{at + 1}.5" for at in range(len(texts))], ["red"] * (len(texts) - 1) + ["blue"]
    path = write(tmp_path / "shop.csv", texts, prices, colours)
    log, table = as_log(path), as_table(path)
    assert [time for time, _, _ in (log.values[f"c{at}"] for at in range(len(texts)))] == right
    assert table.values == log.values
    assert log.times_how == how
    if how is not None:
        # A table's column of digits is one of numbers unless its name is that of a date; as a time it is read alike.
        assert table.times_how == ("numbers" if how in DIGITS_IN_WORDS.values() else how)


@pytest.mark.parametrize(
    ("texts", "right", "how"),
    [
        (["1,5", "2,25", "3"], [1.5, 2.25, 3.0], "numbers with a decimal comma"),
        (["1.5", "2.25", "3"], [1.5, 2.25, 3.0], None),
        (["1.234,50", "1.299", "7,25"], [1234.5, 1299.0, 7.25], "numbers with a decimal comma"),
        (["1,234.50", "1,299", "7.25"], [1234.5, 1299.0, 7.25], "numbers, commas between thousands"),
        (["1.299", "2.5", "3.125"], [1.299, 2.5, 3.125], None),
        ([" 19,90 € ", "5,00 €", "€ 3"], [19.9, 5.0, 3.0], "numbers with a decimal comma, in €"),
        (["$19.90", "$1,299.00", "3.5"], [19.9, 1299.0, 3.5], "numbers, commas between thousands, in $"),
        (["1 234,5", "1\u202f000,5", "2,5"], [1234.5, 1000.5, 2.5], "numbers with a decimal comma"),
        (["1e3", ".5", "+2.5"], [1000.0, 0.5, 2.5], None),
        (["1,5", "", "NA"], [1.5, None, None], "numbers with a decimal comma"),
    ],
)
def test_prices_are_equal_and_right(
    tmp_path: Path, texts: list[str], right: list[float | None], how: str | None
) -> None:
    # Rows with another price keep a column of one known price from being constant.
    texts, right = [*texts, "8,75" if how and "decimal comma" in how else "8.75"], [*right, 8.75]
    path = write(tmp_path / "shop.csv", ["2025-02-03"] * 4, texts, ["red", "red", "red", "blue"])
    log, table = as_log(path), as_table(path)
    assert [price for _, price, _ in (log.values[f"c{at}"] for at in range(4))] == right
    assert table.values == log.values
    assert log.prices_how == how
    assert table.prices_how == (how or "numbers")


@pytest.mark.parametrize(
    "word",
    ["", "NA", "na", "N/A", "#N/A", "<NA>", "null", "NULL", "None", "nan", "NaN", "-", "?", "\\N", "  "],
)
def test_missing_values_are_equal_and_right(tmp_path: Path, word: str) -> None:
    days = [f"2025-02-0{at + 1}" for at in range(4)]
    path = write(tmp_path / "shop.csv", days, ["1.5", word, "2.5", word], ["red", word, "blue", "red"])
    log, table = as_log(path), as_table(path)
    assert [(price, colour) for _, price, colour in (log.values[f"c{at}"] for at in range(4))] == [
        (1.5, "red"),
        (None, None),
        (2.5, "blue"),
        (None, "red"),
    ]
    assert table.values == log.values


def test_namibia_is_a_country_in_both(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text("user,when,country,bought\na,2025-02-03,NA,1\nb,2025-02-03,DE,0\nc,2025-02-03,-,0\n")
    log = path.with_suffix(".parquet")
    columns = "customer_id=user,event_time=when,country=country"
    arguments = ["convert", "csv", str(path), "-o", str(log), "--columns", columns, "--types", "*=view_item"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    found = {row["customer_id"]: row["country"] for row in read_log(log).to_pylist()}
    assert found == {"a": "NA", "b": "DE", "c": None}
    countries = read_problem_from_table(path, TableOptions(target="bought")).problem.columns["country"]
    assert [None if pd.isna(country) else country for country in countries] == ["NA", "DE", None]


def test_a_stray_line_is_dropped_with_an_account_from_a_log_and_refused_in_a_table(tmp_path: Path) -> None:
    path = write(tmp_path / "shop.csv", ["03.02.2025"] * 2, ["1,5", "2,5"], ["red", "blue"])
    with path.open("a") as file:
        file.write("c9;03.02.2025;3,5;red;yes;more\n")
    log = path.with_suffix(".parquet")
    arguments = ["convert", "csv", str(path), "-o", str(log), "--columns", COLUMNS, "--types", "*=view_item"]
    account = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    [dropped] = account["dropped"]
    assert (dropped["reason"], dropped["rows"]) == ("line with another number of fields than the header", 1)
    with pytest.raises(TableError, match=r"row 3 \(line 4\) has 6 values, the header names 5 columns"):
        read_problem_from_table(path)
