"""The commands of the lab's stages: shared options, help, pages, figures, and one-line errors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from features.exceptions import IntentError
from features.extras import installing
from features.log import write_log
from stream.cli import (
    compare,
    explore,
    forecast,
    insight,
    network,
    prepare,
    recommend,
    report,
    segment,
    select,
    tune,
)
from tests.offline.chapters.test_recommendation import tastes
from tests.offline.lab.problems import shop_log, visits, write_csv

OF_BOTH = (report, explore, prepare, segment, compare, select, tune, network, insight)
OF_LOGS = (forecast, recommend)
NAMES = [module.__name__.rpartition(".")[2] for module in (*OF_BOTH, *OF_LOGS)]

SHARED = {"--output", "--quick", "--seed", "--json"}
TABLES = {
    "--target", "--positive", "--kind", "--leak", "--not-leak", "--drop", "--time", "--customer",
    "--drop-duplicates",
}  # fmt: skip
LOGS = {"--horizon"}


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()
    for module in (*OF_BOTH, *OF_LOGS):
        module.register(made)
    return made


def options(app: typer.Typer, command: str) -> list[Any]:
    return [p for p in get_command(app).commands[command].params if p.param_type_name == "option"]  # type: ignore[attr-defined]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    write_log(tmp_path / "log.parquet", shop_log(300, days=150))
    return tmp_path / "log.parquet"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write_csv(tmp_path, visits(400).to_csv(index=False))


@pytest.mark.parametrize("command", NAMES)
def test_help_has_examples(app: typer.Typer, command: str) -> None:
    found = CliRunner().invoke(app, [command, "--help"])
    assert found.exit_code == 0
    assert f"intent {command} " in found.output


@pytest.mark.parametrize("command", NAMES)
def test_help_tells_options_of_tables_and_logs_apart(app: typer.Typer, command: str) -> None:
    names: dict[str | None, set[str]] = {None: set()}
    for option in options(app, command):
        names.setdefault(option.rich_help_panel, set()).add(option.opts[0])
    assert names.pop(None) >= SHARED
    of_logs = LOGS | {"--budget"} if command == "report" else LOGS
    both = {"Only for a table": TABLES, "Only for an event log": of_logs}
    assert names == ({} if command in ("forecast", "recommend") else both)


def test_options_of_a_command_stand_before_the_shared_ones(app: typer.Typer) -> None:
    names = [option.opts[0] for option in options(app, "insight")]
    assert names[:5] == ["--output", "--value", "--margin", "--cost", "--effect"]


def test_an_option_for_logs_is_said_to_have_no_effect_on_a_table(app: typer.Typer, table: Path) -> None:
    arguments = ["explore", str(table), "-o", str(table.parent / "out"), "--horizon", "7d"]
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 0
    assert "--horizon has no effect: table.csv is a table" in found.stderr
    assert "--target" not in found.stderr


def test_a_horizon_without_a_unit_is_misuse(app: typer.Typer, table: Path) -> None:
    found = CliRunner().invoke(app, ["explore", str(table), "-o", "out", "--horizon", "30"])
    assert found.exit_code == 2
    assert "--horizon" in found.output
    assert "invalid duration '30'" in found.output


def test_a_file_is_no_folder_for_pages(app: typer.Typer, table: Path) -> None:
    for folder in (table, table / "deeper" / "still"):
        found = CliRunner(env={"COLUMNS": "500"}).invoke(app, ["explore", str(table), "-o", str(folder)])
        assert found.exit_code == 2
        assert f"{table} is a file: name a folder" in found.output


def test_a_page_that_cannot_be_written_is_named_in_one_line(app: typer.Typer, table: Path) -> None:
    out = table.parent / "out"
    (out / "exploration.html").mkdir(parents=True)
    found = CliRunner().invoke(app, ["explore", str(table), "-o", str(out)])
    assert isinstance(found.exception, IntentError)
    assert str(out / "exploration.html") in str(found.exception)
    assert "\n" not in str(found.exception)


@pytest.mark.parametrize(
    ("command", "package", "extra"),
    [(["compare", "--model", "xgboost"], "xgboost", "lab"), (["explore"], "pandas", "train")],
)
def test_a_missing_package_is_named_with_the_extra_that_brings_it(
    table: Path, command: list[str], package: str, extra: str
) -> None:
    script = f"import sys; sys.modules[{package!r}] = None; from stream.cli import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", script, *command, str(table), "-o", str(table.parent / "out"), "--quick"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 1
    told = f"intent: {package} is not installed: {installing(extra)}\n"
    assert ended.stderr.lower() == told.lower()


def test_models_are_compared_as_they_were_asked_to_be_balanced(app: typer.Typer, table: Path) -> None:
    arguments = [
        "compare",
        str(table),
        "-o",
        str(table.parent / "out"),
        "--model",
        "dummy",
        "--quick",
        "--json",
    ]
    balances = []
    for more in ([], ["--balance", "under"]):
        found = CliRunner().invoke(app, [*arguments, *more])
        assert found.exit_code == 0, found.output
        balances.append(json.loads(found.stdout)["balance"])
    assert balances == ["none", "under"]
    assert CliRunner().invoke(app, [*arguments, "--balance", "sideways"]).exit_code == 2


def test_a_quick_search_makes_few_trials(app: typer.Typer, table: Path) -> None:
    options = ["--model", "logistic", "--method", "random", "--quick", "--json"]
    found = CliRunner().invoke(app, ["tune", str(table), "-o", str(table.parent / "out"), *options])
    assert found.exit_code == 0, found.output
    assert len(json.loads(found.stdout)["logistic"]["searches"]["random"]["trials"]) == 5


def test_segments_of_a_log_are_pages_and_figures(app: typer.Typer, shop: Path) -> None:
    out = shop.parent / "out"
    found = CliRunner().invoke(app, ["segment", str(shop), "-o", str(out), "--segments", "4", "--json"])
    assert found.exit_code == 0
    assert len(json.loads(found.stdout)["clusters"]) == 4
    assert "://" not in (out / "segments.html").read_text().split("<script")[0]


@pytest.mark.parametrize("command", [["insight"], ["report", "--only", "insight"]], ids=" ".join)
def test_what_is_told_of_money_decides_whom_to_contact(
    app: typer.Typer, tmp_path: Path, command: list[str]
) -> None:
    path = write_csv(tmp_path, visits(1_000).to_csv(index=False))
    options = ["--value", "400", "--margin", "0.5", "--cost", "5", "--effect", "0.5", "--quick", "--json"]
    found = CliRunner().invoke(app, [*command, str(path), "-o", str(tmp_path / "out"), *options])
    assert found.exit_code == 0
    figures = json.loads(found.stdout)
    profit = figures.get("sections", {"insight": figures})["insight"]["profit"]
    assert [profit[name] for name in ("value", "margin", "cost", "effect")] == [400.0, 0.5, 5.0, 0.5]
    assert profit["threshold"] == pytest.approx(0.05)


@pytest.mark.parametrize("command", [["explore"], ["report", "--only", "input"]], ids=" ".join)
def test_a_quick_page_says_so_at_the_top(app: typer.Typer, table: Path, command: list[str]) -> None:
    page = {"explore": "exploration", "report": "report"}[command[0]]
    for options, quick in ((["--quick"], True), ([], False)):
        out = table.parent / f"out{quick}"
        found = CliRunner().invoke(app, [*command, str(table), "-o", str(out), *options])
        assert found.exit_code == 0, found.output
        top = (out / f"{page}.html").read_text(encoding="utf-8").split("</header>")[0]
        assert ("A quick look (--quick)" in top) == quick
        assert ("A quick look (--quick)" in found.stdout) == quick


def test_a_forecast_goes_as_far_as_asked(app: typer.Typer, shop: Path) -> None:
    out = shop.parent / "out"
    found = CliRunner().invoke(
        app, ["forecast", str(shop), "-o", str(out), "--days", "7", "--quick", "--json"]
    )
    assert found.exit_code == 0
    assert len(json.loads(found.stdout)["orders"]["ahead"]) == 7


def test_a_table_has_no_forecast(app: typer.Typer, tmp_path: Path) -> None:
    path = write_csv(tmp_path, visits(200).to_csv(index=False))
    found = CliRunner().invoke(app, ["forecast", str(path), "-o", str(tmp_path / "out")])
    assert isinstance(found.exception, IntentError)
    assert "needs an event log" in str(found.exception)


def test_offers_are_only_written_for_a_bundle(app: typer.Typer, tmp_path: Path) -> None:
    write_log(tmp_path / "log.parquet", tastes())
    arguments = ["recommend", str(tmp_path / "log.parquet"), "-o", str(tmp_path / "out")]
    assert CliRunner().invoke(app, [*arguments, "--write"]).exit_code == 2
    found = CliRunner().invoke(app, [*arguments, "--quick", "--json"])
    assert found.exit_code == 0
    assert json.loads(found.stdout)["recommended_customers"] == 120
