"""Comparison with an earlier report: shifts are found, chance is not told, and what is no report is refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from features.log import write_log
from offline.chapters.earlier.reference import REFERENCE, EarlierError, read_earlier, reference_of
from offline.chapters.earlier.section import compare_with_earlier
from offline.chapters.workspace import Workspace
from offline.problems import TableOptions
from offline.report.section import Section
from stream.cli.app import create_app
from tests.offline.lab.problems import shop_log, visits

runner = CliRunner()


def workspace(folder: Path, frame: pd.DataFrame, name: str) -> Workspace:
    path = folder / f"{name}.csv"
    frame.to_csv(path, index=False)
    made = Workspace(path, folder)
    made.options = made.options._replace(table=TableOptions("bought"))
    return made


def compared(folder: Path, before: pd.DataFrame, now: pd.DataFrame) -> Section:
    old, new = workspace(folder, before, "before"), workspace(folder, now, "now")
    # What JSON makes of it is what a later report reads.
    kept = json.loads(
        json.dumps({REFERENCE: reference_of(old, []), "input": "before.csv", "created_at": "2025-03-01"})
    )
    return compare_with_earlier(new, {**kept, "quick": False}, reference_of(new, []))


def test_a_column_and_a_rate_that_shifted_are_named(tmp_path: Path) -> None:
    before, now = visits(2_000, seed=1), visits(2_000, seed=2)
    now["seconds"] = now["seconds"] * 3
    now.loc[now.index[:500], "bought"] = "yes"
    section = compared(tmp_path, before, now)
    assert any("rose from" in sentence for sentence in section.summary)
    (columns,) = [sentence for sentence in section.summary if "distributed otherwise" in sentence]
    assert "seconds (PSI" in columns
    assert "pages" not in columns
    frame = section.figures["changes"].set_index("name")
    assert frame.loc["rate", "now"] == pytest.approx((now["bought"] == "yes").mean())
    assert frame.loc["seconds", "size"] > 0.25


def test_two_samples_of_one_shop_differ_in_at_most_one_case_of_twenty(tmp_path: Path) -> None:
    told = 0
    for seed in range(10):
        frame = compared(tmp_path, visits(600, seed=2 * seed), visits(600, seed=2 * seed + 1)).figures[
            "changes"
        ]
        told += bool((frame["p"] < 0.05).any())
    assert told <= 2


def test_a_category_that_is_new_and_columns_that_went_are_said(tmp_path: Path) -> None:
    before, now = visits(800, seed=1), visits(800, seed=2)
    now["channel"] = np.where(np.arange(800) % 2, "kiosk", now["channel"])
    before["colour"] = "red"
    before.loc[::2, "colour"] = "blue"
    section = compared(tmp_path, before, now)
    assert section.figures["changes"].set_index("name").loc["channel", "size"] > 1
    assert any("only the earlier report has colour" in note for note in section.figures["notes"])


def test_reports_on_the_same_log_find_no_change_and_compare_segments(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    write_log(path, shop_log())
    for name, more in (("march", []), ("april", ["--against", str(tmp_path / "march")])):
        wanted = [
            "report",
            str(path),
            "-o",
            str(tmp_path / name),
            "--horizon",
            "5d",
            "--only",
            "input",
            *more,
        ]
        result = runner.invoke(create_app(), wanted)
        assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "april" / "report.json").read_text())["sections"]["changes"]
    assert {change["what"] for change in found["changes"]} == {"rate", "segment", "column"}
    assert all(change["p"] == 1.0 and change["size"] == 0.0 for change in found["changes"])
    assert (tmp_path / "april" / "changes.html").is_file()


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "is no report"), ("{", "cannot be read"), ("[]", "not the JSON of a report"),
     ('{"sections": {}}', "keeps nothing to compare with")],
)  # fmt: skip
def test_what_is_no_report_is_refused_before_any_work(text: str | None, said: str, tmp_path: Path) -> None:
    folder = tmp_path / "earlier"
    folder.mkdir()
    if text is not None:
        (folder / "report.json").write_text(text)
    path = tmp_path / "log.parquet"
    write_log(path, shop_log())
    wanted = ["report", str(path), "-o", str(tmp_path / "out"), "--against", str(folder)]
    result = runner.invoke(create_app(), wanted)
    assert isinstance(result.exception, EarlierError)
    assert said in str(result.exception)
    assert result.exception.exit_code == 2
    assert not (tmp_path / "out").exists()


def paths_of(value: object, *path: str | int) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of every part of a JSON value."""
    yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in pairs:
        yield from paths_of(part, *path, key)


def test_whatever_is_damaged_in_an_earlier_report_is_refused_or_compared(tmp_path: Path) -> None:
    now, kept = (
        workspace(tmp_path, visits(300, seed=1), "now"),
        json.loads(json.dumps(reference_of(workspace(tmp_path, visits(300, seed=2), "old"), []))),
    )
    current = reference_of(now, [])
    refused = 0
    for path in paths_of(kept):
        for wrong in ("text", -1.5, None, [], {"a": 1}):
            damaged = copy.deepcopy({"sections": {}, REFERENCE: kept})
            holder: Any = damaged
            for key in (REFERENCE, *path)[:-1]:
                holder = holder[key]
            holder[(REFERENCE, *path)[-1]] = wrong
            (tmp_path / "report.json").write_text(json.dumps(damaged))
            try:
                found = read_earlier(tmp_path)
            except EarlierError as error:
                refused += 1
                assert "\n" not in str(error)
                continue
            compare_with_earlier(now, found, current)
    assert refused > 100


def test_durations_of_columns_are_in_days_and_columns_keep_their_spelling(tmp_path: Path) -> None:
    write_log(tmp_path / "log.parquet", shop_log())
    log = Workspace(tmp_path / "log.parquet", tmp_path)
    log.options = log.options._replace(horizon_ms=5 * 86_400_000)
    reference = reference_of(log, [])
    section = compare_with_earlier(log, {REFERENCE: copy.deepcopy(reference)}, reference)
    columns = next(part.frame for part in section.parts if part.title == "Columns")
    medians = columns.loc[columns["column"].str.startswith("time since"), "median now"]
    assert (
        len(medians)
        and medians.map(lambda text: text.endswith((" d", " h", " min", " s", "never", "–"))).all()
    )
    named = compared(tmp_path, visits().rename(columns={"pages": "PageCount"}), visits(seed=5).rename(
        columns={"pages": "PageCount"}))  # fmt: skip
    assert "PageCount" in set(next(part.frame for part in named.parts if part.title == "Columns")["column"])
