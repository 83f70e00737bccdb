"""`intent report`, `intent explore` and `intent prepare` from the outside."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from typer.testing import CliRunner

from features.bundle import Bundle
from features.exceptions import IntentError
from features.log import write_log
from offline.chapters.exploration.funnel import funnel
from offline.examples.examples import Context
from offline.views.log_view import LogView
from stream.cli import create_app
from tests.data_sets import data_set
from tests.offline.lab.problems import DAY_MS, START_MS, event, log_of, shop_log, visits

runner = CliRunner()
#: Stages that are quick on small data.
ONLY = [part for key in ("input", "preparation", "exploration", "model_card") for part in ("--only", key)]


def run(*arguments: object) -> str:
    result = runner.invoke(create_app(), [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.stdout


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "visits.csv"
    visits().to_csv(path, index=False)
    return path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.parquet"
    write_log(path, shop_log())
    return path


def test_a_table_becomes_a_report_with_pages_and_figures(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    told = run("report", table, "-o", out, "--quick", *ONLY)
    assert "Preparation" in told
    for name in ("report", "input", "preparation", "exploration", "model_card"):
        assert (out / f"{name}.html").stat().st_size > 1_000
        assert json.loads((out / f"{name}.json").read_text())
    assert (out / "model_card.md").read_text().startswith("# Model card")
    assert not (out / "bundle").exists()


def test_a_log_becomes_a_report_and_stages_can_be_left_out(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    figures = json.loads(
        run("report", log, "-o", out, *ONLY, "--skip", "preparation", "--skip", "model_card", "--json")
    )
    assert list(figures["sections"])[:2] == ["input", "exploration"]
    assert figures["kind"] == "log"
    assert figures["sections"]["exploration"]["overview"]["orders"] > 50
    assert not (out / "preparation.html").exists()


def test_a_log_without_a_bundle_has_no_card_and_the_report_says_so(log: Path, tmp_path: Path) -> None:
    figures = json.loads(run("report", log, "-o", tmp_path / "out", "--only", "model_card", "--json"))
    assert "there is no bundle to describe" in figures["sections"]["model_card"]["why"]


def lone(kind: str) -> pa.Table:
    if kind == "nobody bought":
        log = shop_log()
        return log.filter(pc.not_equal(log["type"], "purchase"))
    if kind == "everybody bought":
        events = [event(at, "purchase", f"c{at % 2}", START_MS + at * DAY_MS, value=9.0, currency="EUR")
                  for at in range(80)]  # fmt: skip
        return log_of(events)
    if kind == "one event":
        return log_of([event(1, "view_item", "c", START_MS)])
    return log_of([event(1, "purchase", "c", START_MS)])


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("nobody bought", "Nobody bought in this log, so no model can learn what buyers have in common."),
        (
            "everybody bought",
            "Every order whose outcome is known was followed by a purchase within 30 days, so no",
        ),
        ("one event", "Nobody bought in this log, so no model can learn what buyers have in common."),
        (
            "one order",
            "Of no order of this log is it known whether a purchase followed within 30 days, so no model",
        ),
    ],
)
def test_a_log_with_one_outcome_gets_its_report_without_a_model(tmp_path: Path, kind: str, why: str) -> None:
    path, out = tmp_path / "log.parquet", tmp_path / "out"
    write_log(path, lone(kind))
    stages = (
        "input",
        "exploration",
        "products",
        "segments",
        "comparison",
        "insight",
        "forecast",
        "model_card",
    )
    only = [part for key in stages for part in ("--only", key)]
    told = " ".join(run("report", path, "-o", out, *only).split())
    assert why in told
    assert "Chapters that need a model are left out." in told
    assert "label" not in told
    assert "positive" not in told
    sections = json.loads((out / "report.json").read_text())["sections"]
    assert list(sections) == ["input", "exploration", "products", "segments", "forecast"]
    assert all(sections[key].get("done", True) for key in ("exploration", "products", "segments"))
    assert why in (out / "report.html").read_text()
    assert why in " ".join(run("explore", path, "-o", tmp_path / "explored").split())
    with pytest.raises(IntentError, match=why[1:40]):
        runner.invoke(
            create_app(), ["report", str(path), "-o", str(out), "--only", "insight"], catch_exceptions=False
        )


def test_a_funnel_without_a_purchase_ends_with_none() -> None:
    log = lone("nobody bought")
    found = funnel(LogView.of(log, Context(DAY_MS, "0")))
    assert found.figures["steps"]["step"].tolist() == ["view", "cart", "purchase"]
    assert "0.0% end with a purchase" in found.summary[0]


@pytest.mark.slow
def test_a_log_gets_a_bundle_that_can_be_loaded(tmp_path: Path) -> None:
    path, out = tmp_path / "orders.parquet", tmp_path / "report"
    run("convert", "online-retail", data_set("online_retail.parquet"), "-o", path)
    run("report", path, "-o", out, "--only", "bundle", "--only", "model_card", "--quick")
    bundle = Bundle.load(out / "bundle")
    run("report", path, "-o", out, "--only", "model_card")
    assert bundle.manifest.horizon_seconds == 30 * 86_400
    assert bundle.manifest.version in (out / "model_card.md").read_text()


@pytest.mark.parametrize(("command", "key"), [("explore", "exploration"), ("prepare", "preparation")])
def test_every_stage_is_a_command_of_its_own(table: Path, tmp_path: Path, command: str, key: str) -> None:
    out = tmp_path / "out"
    figures = json.loads(run(command, table, "-o", out, "--json"))
    assert figures == json.loads((out / f"{key}.json").read_text())
    assert sorted(path.name for path in out.iterdir()) == [f"{key}.html", f"{key}.json"]


def test_what_was_inferred_can_be_overruled_by_options(table: Path, tmp_path: Path) -> None:
    figures = json.loads(
        run(
            "report",
            table,
            "-o",
            tmp_path / "out",
            "--only",
            "input",
            "--json",
            "--target",
            "member",
            "--positive",
            "no",
            "--kind",
            "pages=categorical",
            "--leak",
            "seconds",
            "--drop",
            "channel",
        )  # fmt: skip
    )["sections"]["input"]
    columns = {row["column"]: row for row in figures["columns"]}
    assert figures["target"] == "member"
    assert columns["pages"]["kind"] == "categorical"
    assert columns["channel"]["use"] == "not as a feature"
    assert columns["member"]["use"] == "target, positive: no"
    assert list(figures["leaks"]) == ["seconds"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--target", "z"], "there is no column 'z' to predict"),
        (["--kind", "pages=colour"], "unknown kind 'colour'"),
        (["--only", "dance"], "there is no stage 'dance'"),
        (["--time", "channel"], "'app' is not a date|'web' is not a date"),
    ],
)
def test_a_wrong_option_is_told_in_one_line(
    table: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    result = runner.invoke(create_app(), ["report", str(table), "-o", str(tmp_path / "out"), *options])
    assert isinstance(result.exception, IntentError)
    assert any(part in str(result.exception) for part in message.split("|"))
    assert "\n" not in str(result.exception)


def test_misuse_ends_with_two(table: Path, tmp_path: Path) -> None:
    for arguments in (
        ["report", "nothing.csv", "-o", "x"],
        ["report", str(table)],
        ["report", str(table), "-o", "x", "--kind", "a"],
    ):
        assert runner.invoke(create_app(), ["report", *arguments]).exit_code == 2


def test_stages_are_listed() -> None:
    assert run("report", "--stages").splitlines()[0].split() == ["input", "The", "data"]
