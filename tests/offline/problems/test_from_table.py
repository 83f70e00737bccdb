"""Tables as problems: what is inferred, what can be overruled, and what is said of bad data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from offline.problems import TableError, TableOptions, problem_from_table, read_problem_from_table
from offline.problems.columns import read_column
from offline.problems.holdout import hold_out
from offline.problems.leaks import find_leaks
from offline.problems.table_files import MOST_COLUMNS, read_table
from offline.problems.text_columns import read_dates, read_numbers
from tests.data_sets import data_set
from tests.offline.lab.problems import visits, write_csv

SHOPPERS = "online_shoppers_intention.csv"


def kinds_of(text: str, tmp_path: Path, **options: object) -> dict[str, str]:
    reading = read_problem_from_table(write_csv(tmp_path, text), TableOptions(**options))  # type: ignore[arg-type]
    return dict(zip(reading.account["column"], reading.account["kind"], strict=True))


def test_the_types_of_online_shoppers_are_those_of_its_documentation() -> None:
    problem = problem_from_table(data_set(SHOPPERS))
    categorical = {"Month", "OperatingSystems", "Browser", "Region", "TrafficType", "VisitorType"}
    assert {name for name, kind in problem.kinds.items() if kind == "categorical"} == categorical
    assert {name for name, kind in problem.kinds.items() if kind == "boolean"} == {"Weekend"}
    assert (len(problem), problem.target_name, problem.unit) == (12_330, "Revenue", "session")
    assert problem.target.sum() == 1_908
    assert problem.columns["Month"].cat.categories[0] == "Feb"


def test_page_values_is_found_to_know_the_target_from_the_data_alone() -> None:
    problem = problem_from_table(data_set(SHOPPERS))
    assert list(problem.leaks) == ["PageValues"]
    assert "until May none of 4,412 sessions with PageValues = 0" in problem.leaks["PageValues"]
    renamed = problem.columns.rename(columns={"PageValues": "score"})
    kinds = {("score" if name == "PageValues" else name): kind for name, kind in problem.kinds.items()}
    assert list(find_leaks(renamed, kinds, problem.target)) == ["score"]


def test_leaks_can_be_named_and_denied() -> None:
    options = TableOptions(leaks=("ExitRates",), not_leaks=("PageValues",))
    problem = read_problem_from_table(data_set(SHOPPERS), options).problem
    assert problem.leaks == {"ExitRates": "as told"}


def test_months_can_order_rows_in_time() -> None:
    problem = read_problem_from_table(data_set(SHOPPERS), TableOptions(time="Month")).problem
    assert problem.times is not None
    assert problem.times.dt.month.nunique() == 10
    assert "Month" in problem.kinds
    train, test, _ = hold_out(problem)
    assert problem.times.iloc[train].max() < problem.times.iloc[test].min()


def test_kinds_are_inferred_from_values(tmp_path: Path) -> None:
    rows = "\n".join(
        f"{1000 + i},{i * 0.5},{'red' if i % 3 else 'blue'},{'t' if i % 2 else 'f'},"
        f"2024-01-{i % 28 + 1:02d},{i % 4 == 0}"
        for i in range(60)
    )
    found = kinds_of(f"order_id,amount,colour,member,day,target\n{rows}\n", tmp_path)
    assert found == {
        "order_id": "identifier",
        "amount": "numeric",
        "colour": "categorical",
        "member": "boolean",
        "day": "date",
        "target": "boolean",
    }


def test_codes_are_told_from_counts() -> None:
    rng = np.random.default_rng(0)
    counts = pd.Series(rng.poisson(2, 500) + 1.0, name="pages")
    codes = pd.Series(
        rng.choice([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], 500, p=[0.3, 0.02, 0.2, 0.03, 0.25, 0.05, 0.15]),
        name="x",
    )
    assert read_column(counts).kind == "numeric"
    assert read_column(codes).kind == "categorical"
    assert read_column(counts.rename("browser")).kind == "categorical"


def test_a_kind_can_be_overruled(tmp_path: Path) -> None:
    text = "postcode,y\n" + "".join(f"{10000 + i * 37},{i % 2}\n" for i in range(50))
    path = write_csv(tmp_path, text)
    assert problem_from_table(path).kinds == {"postcode": "numeric"}
    assert problem_from_table(path, kinds={"postcode": "categorical"}).kinds == {"postcode": "categorical"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,y\n1,0\n2,1,7\n", r"row 2 \(line 3\) has 3 values, the header names 2 columns"),
        ("a,b,y\n1,2,0\n3\n", r"row 2 \(line 3\) has 1 value, so none for column 'b'"),
        ("a,a,y\n1,2,0\n", "there are two columns 'a'"),
        ("a,,y\n1,2,0\n", "column 2 of the header has no name"),
        ("a,y\n", "has no rows"),
        ("a,b,c\n1,2,3\n4,5,6\n7,8,9\n", "no column has exactly two values"),
        ("y,bought\n0,0\n1,1\n0,1\n", r"several columns may be meant \(y, bought\)"),
        ("price,y\n" + "1.5,0\n2.5,1\n" * 40 + "1O.5,1\n", "row 81, column 'price': '1O.5' is no number"),
        ("price,y\n1,0\n2,\n3,1\n", "row 2, column 'y': the target is missing"),
        ("a,b,converted\n1,0,x\n2,1,y\n3,0,z\n", r"'converted' has 3 values \(x, y, z\)"),
        ("day,y\n" + "2024-01-01,0\n,1\n" * 20 + "soon,1\n", "row 41, column 'day': 'soon' is not a date"),
    ],
)
def test_bad_data_is_told_with_row_and_column(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(TableError, match=message):
        problem_from_table(write_csv(tmp_path, text))


def test_a_missing_target_is_told_with_its_row(tmp_path: Path) -> None:
    path = write_csv(tmp_path, "price,y\n1,0\n2,\n3,1\n")
    with pytest.raises(TableError, match="row 2, column 'y': the target is missing"):
        problem_from_table(path, "y")


def test_a_value_that_is_not_of_the_told_kind_is_told_with_its_row(tmp_path: Path) -> None:
    path = write_csv(tmp_path, "size,y\n1,0\nXL,1\n3,1\n")
    with pytest.raises(TableError, match="row 2, column 'size': 'XL' is no number"):
        problem_from_table(path, kinds={"size": "numeric"})


def test_columns_that_are_not_there_are_refused(tmp_path: Path) -> None:
    path = write_csv(tmp_path, "size,y\n1,0\n2,1\n3,1\n")
    for options in ({"target": "z"}, {"kinds": {"z": "numeric"}}, {"leaks": ["z"]}, {"drop": ["z"]}):
        with pytest.raises(TableError, match="there is no column 'z'"):
            problem_from_table(path, **options)  # type: ignore[arg-type]


def test_the_positive_value_is_the_one_that_means_yes_or_the_rarer_one(tmp_path: Path) -> None:
    yes = write_csv(tmp_path, "x,y\n" + "1,yes\n2,yes\n3,no\n" * 5)
    assert problem_from_table(yes).prevalence == pytest.approx(2 / 3)
    named = write_csv(tmp_path, "x,outcome\n" + "1,stay\n2,stay\n3,leave\n" * 5, "named.csv")
    assert problem_from_table(named).prevalence == pytest.approx(1 / 3)
    assert problem_from_table(named, positive="stay").prevalence == pytest.approx(2 / 3)


def test_a_delimiter_an_encoding_and_missing_values_are_recognised(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes("stadt;wert;y\nKöln;1.5;0\nBonn;NA;1\n;2;1\n".encode("cp1252"))
    frame = read_table(path).frame
    assert frame["stadt"].tolist()[:2] == ["Köln", "Bonn"]
    assert frame.isna().sum().to_dict() == {"stadt": 1, "wert": 1, "y": 0}


@pytest.mark.parametrize(
    ("texts", "values", "how"),
    [
        (["0,5", "12,25", "3"], [0.5, 12.25, 3.0], "numbers with a decimal comma"),
        (["1.234,50", "1.000", "7,25"], [1234.5, 1000.0, 7.25], "numbers with a decimal comma"),
        (["1,234.5", "7", "1,000,000"], [1234.5, 7.0, 1e6], "numbers, commas between thousands"),
        (["1.234", "2.5", "3.125"], [1.234, 2.5, 3.125], "numbers"),
        (["12,50 €", "€ 3,00", "4"], [12.5, 3.0, 4.0], "numbers with a decimal comma, in €"),
        (["10%", "5%", "12.5%"], [10.0, 5.0, 12.5], "numbers, in %"),
        (["1 234,5", "1\u202f000,0", "2"], [1234.5, 1000.0, 2.0], "numbers with a decimal comma"),
    ],
)
def test_numbers_are_read_as_they_are_written_in_different_places(
    texts: list[str], values: list[float], how: str
) -> None:
    found = read_numbers(pd.Series(texts))
    assert found.values.tolist() == values
    assert found.how == how


def test_what_is_no_number_in_a_column_of_decimal_commas_is_told_with_its_row(tmp_path: Path) -> None:
    text = "preis;y\n" + "1,5;0\n2,5;1\n" * 40 + "12.5;1\n"
    with pytest.raises(TableError, match=r"row 81, column 'preis': '12\.5' is no number"):
        problem_from_table(write_csv(tmp_path, text))


def test_two_currencies_are_not_mixed_up() -> None:
    assert read_column(pd.Series(["1.50 €", "2.00 $", "3.25 €"])).kind == "categorical"


@pytest.mark.parametrize(
    ("texts", "second", "how"),
    [
        (["01.02.2024", "02.03.2024"], "2024-03-02", "dates, day first (no value tells which)"),
        (["01/02/2024", "02/13/2024"], "2024-02-13", "dates, month first"),
        (["01/02/24", "13/02/24"], "2024-02-13", "dates, day first"),
        (
            ["1.2.2024 8:05", "2.2.2024 18:30:10"],
            "2024-02-02 18:30:10",
            "dates, day first (no value tells which)",
        ),
    ],
)
def test_the_order_of_day_and_month_is_told_by_the_column(texts: list[str], second: str, how: str) -> None:
    found = read_dates(pd.Series(texts))
    assert found.values.iloc[1] == pd.Timestamp(second, tz="UTC")
    assert found.how == how


def test_a_day_that_there_is_not_is_told_with_its_row(tmp_path: Path) -> None:
    text = "tag,y\n" + "01.02.2024,0\n28.02.2024,1\n" * 20 + "31.02.2024,1\n"
    with pytest.raises(TableError, match=r"row 41, column 'tag': '31\.02\.2024' is not a date"):
        problem_from_table(write_csv(tmp_path, text))


def test_yes_and_no_are_understood_in_other_languages(tmp_path: Path) -> None:
    text = "x;mitglied;gekauft\n" + "1;ja;ja\n2;nein;ja\n3;ja;nein\n" * 5
    path = tmp_path / "tabelle.csv"
    path.write_text(text, encoding="utf-16")
    problem = problem_from_table(path)
    assert problem.target_name == "gekauft"
    assert problem.prevalence == pytest.approx(2 / 3)
    assert problem.kinds["mitglied"] == "boolean"


def test_parquet_and_csv_of_a_table_give_the_same_problem(tmp_path: Path) -> None:
    frame = visits()
    frame.to_csv(tmp_path / "visits.csv", index=False)
    frame.to_parquet(tmp_path / "visits.parquet")
    text, binary = (problem_from_table(tmp_path / name) for name in ("visits.csv", "visits.parquet"))
    assert text.kinds == binary.kinds
    assert np.array_equal(text.target, binary.target)
    pd.testing.assert_frame_equal(text.columns, binary.columns, check_categorical=False)


def test_rows_that_equal_an_earlier_one_can_be_left_out() -> None:
    reading = read_problem_from_table(data_set(SHOPPERS), TableOptions(drop_duplicates=True))
    assert len(reading.problem) == 12_330 - 125
    assert reading.notes[-1].startswith("125 sessions that equal an earlier one")


def test_a_copy_of_the_target_is_a_leak_and_an_honest_column_is_none() -> None:
    frame = visits(2_000)
    target = (frame["bought"] == "yes").to_numpy()
    columns = frame[["pages", "seconds"]].astype(float).assign(invoice=np.where(target, 1.0, np.nan))
    found = find_leaks(columns, dict.fromkeys(columns, "numeric"), target)
    assert list(found) == ["invoice"]
    assert "AUC of 1.000" in found["invoice"]


def test_rows_of_a_customer_stay_together(tmp_path: Path) -> None:
    frame = visits(300).assign(customer_id=[f"c{i % 60}" for i in range(300)])
    frame.to_csv(tmp_path / "visits.csv", index=False)
    problem = problem_from_table(tmp_path / "visits.csv")
    assert "customer_id" not in problem.kinds
    assert problem.groups is not None
    train, test, _ = hold_out(problem)
    assert not set(problem.groups[train]) & set(problem.groups[test])
    assert len(train) + len(test) == 300


@pytest.mark.parametrize(
    ("header", "unit"),
    [
        ("CustomerID,visits,bought", "customer"),
        ("pages,bounce,bought", "session"),
        ("height,width,bought", "record"),
    ],
)
def test_rows_are_called_what_a_marketer_calls_them(header: str, unit: str, tmp_path: Path) -> None:
    lines = [f"{1000 + n},{n % 7},{int(n % 3 == 0)}" for n in range(200)]
    path = write_csv(tmp_path, "\n".join([header, *lines]))
    assert problem_from_table(path).unit == unit


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_of_too_many_columns_is_refused_before_any_work(tmp_path: Path, ending: str) -> None:
    names = [f"f{at}" for at in range(MOST_COLUMNS)]
    frame = pd.DataFrame([range(len(names) + 1)] * 4, columns=[*names, "y"]).assign(y=[0, 1, 0, 1])
    path = tmp_path / f"table.{ending}"
    if ending == "csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, index=False)
    with pytest.raises(TableError, match="has 1,001 columns, and 1,000 are the most .* --drop"):
        read_table(path)
    with pytest.raises(TableError, match="1,001 columns"):
        read_problem_from_table(path, TableOptions(target="y"))
    assert len(read_table(path, drop=["f0", "f0"]).frame.columns) == 1_001
