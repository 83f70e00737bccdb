"""The commands of segments, insight, forecast and recommendations: pages, figures, and one-line errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from features.exceptions import IntentError
from features.log import write_log
from stream.cli import forecast, insight, recommend, segment
from tests.offline.lab import shop_log, visits, write_csv
from tests.offline.test_recommendation import tastes


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()
    for module in (segment, insight, forecast, recommend):
        module.register(made)
    return made


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    write_log(tmp_path / "log.parquet", shop_log(300, days=150))
    return tmp_path / "log.parquet"


@pytest.mark.parametrize("command", ["segment", "insight", "forecast", "recommend"])
def test_help_has_examples(app: typer.Typer, command: str) -> None:
    found = CliRunner().invoke(app, [command, "--help"])
    assert found.exit_code == 0
    assert f"intent {command} " in found.output


def test_segments_of_a_log_are_pages_and_figures(app: typer.Typer, shop: Path) -> None:
    out = shop.parent / "out"
    found = CliRunner().invoke(app, ["segment", str(shop), "-o", str(out), "--segments", "4", "--json"])
    assert found.exit_code == 0
    assert len(json.loads(found.stdout)["segments"]) == 4
    assert "://" not in (out / "segments.html").read_text().split("<script")[0]


def test_what_is_told_of_money_decides_whom_to_contact(app: typer.Typer, tmp_path: Path) -> None:
    path = write_csv(tmp_path, visits(1_000).to_csv(index=False))
    options = ["--value", "200", "--cost", "5", "--effect", "0.5", "--quick", "--json"]
    found = CliRunner().invoke(app, ["insight", str(path), "-o", str(tmp_path / "out"), *options])
    assert found.exit_code == 0
    profit = json.loads(found.stdout)["profit"]
    assert (profit["value"], profit["cost"], profit["effect"]) == (200.0, 5.0, 0.5)
    assert profit["threshold"] == pytest.approx(0.05)


def test_a_forecast_goes_as_far_as_asked(app: typer.Typer, shop: Path) -> None:
    out = shop.parent / "out"
    found = CliRunner().invoke(
        app, ["forecast", str(shop), "-o", str(out), "--days", "7", "--quick", "--json"]
    )
    assert found.exit_code == 0
    assert len(json.loads(found.stdout)["day"]["orders"]["ahead"]) == 7


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
