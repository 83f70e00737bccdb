"""The report: one page that loads nothing, figures as JSON, stages, and the model card."""

from __future__ import annotations

import inspect
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from features.bundle import Calibration, DataFingerprint, Manifest
from features.segments import Segment, Segmenter
from features.traffic import BotRule
from offline.chapters.bundle.bundle_card import card_of_bundle
from offline.chapters.bundle.model_card import to_markdown
from offline.chapters.bundle.table_card import card_of_table
from offline.chapters.stages import STAGES, LazyRun, Stage, StageError, choose, lazily, run_stage, run_stages
from offline.chapters.workspace import Workspace
from offline.exceptions import MissingExtra, TrainingError
from offline.problems import TableError, problem_from_table
from offline.report.html import page
from offline.report.opening import Card, Opening
from offline.report.pages import write_report
from offline.report.plain import plain
from offline.report.section import Picture, Section, Table, Text
from offline.report.tables import shown
from tests.offline.lab.problems import visits

EVIL = "</script><script>alert('x')</script><img src=https://example.com/x.png>"


class Loads(HTMLParser):
    """Collects what a browser would load, and text in scripts that are run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "srcset", "data", "poster", "background") or (name == "href" and tag != "a"):
                self.found.append(f"{tag} {name}={value}")


def a_section(key: str = "one") -> Section:
    drawn = go.Figure(go.Scatter(x=[1, 2], y=np.array([3.0, np.nan]), text=[EVIL, "b"]))
    frame = pd.DataFrame({"name": [EVIL, "b"], "auc": [0.91234, np.nan], "rows": [12_345, 1]})
    parts = [
        Table("Numbers", frame, formats={"auc": ".3f"}),
        Picture("Points", drawn, EVIL),
        Text("Words", [EVIL]),
    ]
    return Section(
        key, f"Title of {key}", [f"What {key} says: {EVIL}"], parts, {"auc": np.float64(0.9), "none": np.nan}
    )


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "visits.csv"
    visits().to_csv(path, index=False)
    return path


def test_a_page_loads_nothing_and_forbids_loading() -> None:
    text = page("A report", [a_section("one"), a_section("two")])
    loads = Loads()
    loads.feed(text)
    assert loads.found == []
    assert "default-src 'none'" in text
    assert "img" not in loads.tags
    assert "@import" not in re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)


def test_tables_are_whole_with_numbers_to_the_right_and_long_ones_cut_by_the_script() -> None:
    frame = pd.DataFrame({"name": [f"row {i}" for i in range(60)], "share": np.linspace(0, 1, 60)})
    section = Section("t", "T", [], [Table("Many", frame, "What they mean.", {"share": ".1%"})], {})
    text = page("A report", [section])
    assert text.count("<td class=s>row ") == text.count("<td class=n data-v=") == 60
    assert '<td class=n data-v="1">100.0%</td>' in text
    assert 'data-shown="20"' in text and "Show all 60 lines" in text
    assert text.count("<table>") == text.count("</table>") == 1
    assert "What they mean." in text


def test_plotly_is_in_a_page_once_and_only_where_there_is_a_picture() -> None:
    assert page("A report", [a_section("one"), a_section("two")]).count("plotly.js v") == 1
    words = Section("words", "Words", ["Nothing to draw."], [], {})
    assert len(page("A report", [words])) < 20_000


def test_texts_of_the_data_cannot_become_markup() -> None:
    text = page("A report", [a_section()])
    assert "<script>alert" not in text
    loads = Loads()
    loads.feed(text)
    assert loads.tags.count("script") == 4  # plotly, the picture's data, the page's own two


def test_texts_of_the_data_cannot_end_an_attribute() -> None:
    title = 'Pages" onmouseover="alert(1)'
    section = Section(title, title, [], [Picture(title, go.Figure(go.Scatter(y=[1, 2])))], {})
    seen: list[tuple[str, str | None]] = []

    class Attributes(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            seen.extend(attrs)

    Attributes().feed(page(title, [section, section], subtitle=title, footer=title))
    assert ("aria-label", title) in seen
    assert ("href", f"#{title}") in seen
    assert "onmouseover" not in dict(seen)


def test_the_data_of_a_picture_survive_the_page() -> None:
    text = page("A report", [a_section()])
    found = re.search(r'<script type="application/json" id="one-1-data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    drawn = json.loads(found.group(1))
    assert drawn["data"][0]["text"] == [EVIL, "b"]
    assert drawn["config"]["displaylogo"] is False


@pytest.mark.parametrize("trace", [go.Choropleth(), go.Scattergeo(), go.Scattermap(), go.Densitymap()])
def test_a_picture_that_would_load_a_map_is_refused(trace: object) -> None:
    section = Section("map", "Map", [], [Picture("Map", go.Figure(trace))], {})
    with pytest.raises(ValueError, match="loads maps from a server"):
        page("A report", [section])


def test_a_page_has_a_summary_and_a_way_to_every_section() -> None:
    opening = Opening([Card("Orders", "12")], [], [])
    text = page("A report", [a_section(f"s{i}") for i in range(12)], opening=opening)
    for i in range(12):
        assert f'<a href="#s{i}">' in text
        assert f'<section id="s{i}">' in text
    assert text.index('id="overview"') < text.index('<section id="s0">')


def test_figures_stand_beside_the_page_as_json(tmp_path: Path) -> None:
    written = write_report(tmp_path, "A report", [a_section()], about={"input": "x"})
    figures = json.loads(written.json.read_text())
    assert figures["sections"]["one"]["auc"] == 0.9
    assert figures["sections"]["one"]["none"] is None
    assert figures["input"] == "x"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (pd.Timestamp("2024-01-02"), "2024-01-02"), (np.int64(1_000), "1,000"), (0.00012345, "0.00012"),
        (1e-7, "1.00e-07"), (1234.5, "1,234"), (None, "–"), (np.bool_(False), "no"), ((1, 2.5), "1, 2.5"),
    ],
)  # fmt: skip
def test_values_are_shown_for_people(value: object, text: str) -> None:
    assert shown(value) == text


def test_what_cannot_become_json_is_told() -> None:
    with pytest.raises(TypeError, match="a Figure among the figures"):
        plain({"figure": go.Figure()})


def test_a_stage_that_the_data_do_not_allow_says_so_and_the_others_go_on(table: Path, tmp_path: Path) -> None:
    def fails(workspace: Workspace) -> Section:
        raise TrainingError("the log is too short")

    def works(workspace: Workspace) -> Section:
        return a_section("works")

    seen: list[str] = []
    stages = [
        Stage("fails", "Fails", fails),
        Stage("works", "Works", works),
        Stage("log", "Log", works, ("log",)),
    ]
    sections = run_stages(Workspace(table, tmp_path), stages, on_section=lambda s: seen.append(s.key))
    assert [section.key for section in sections] == seen == ["fails", "works"]
    assert sections[0].summary == ["Not done: the log is too short"]


def test_an_error_of_the_input_ends_the_run(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("a,y\n1,0\n2\n")
    with pytest.raises(TableError, match="row 2"):
        run_stages(Workspace(path, tmp_path), STAGES)


def test_a_programming_error_is_not_hidden(table: Path, tmp_path: Path) -> None:
    def breaks(workspace: Workspace) -> Section:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_stages(Workspace(table, tmp_path), [Stage("breaks", "Breaks", breaks)])


def test_a_missing_package_is_told_and_a_missing_part_of_the_program_is_a_fault(
    table: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModuleNotFoundError):
        lazily("offline.nowhere:run")(Workspace(table, tmp_path))
    with pytest.raises(MissingExtra, match="nowhere_at_all is not installed"):
        lazily("nowhere_at_all:run")(Workspace(table, tmp_path))


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.key)
def test_the_function_of_every_stage_exists(stage: Stage) -> None:
    assert isinstance(stage.run, LazyRun)
    assert inspect.isfunction(stage.run.load())


def test_stages_are_chosen_by_name_in_their_order() -> None:
    keys = [stage.key for stage in STAGES]
    assert [s.key for s in choose(only=["exploration", "input"])] == ["input", "exploration"]
    assert [s.key for s in choose(skip=["bundle"])] == [key for key in keys if key != "bundle"]
    assert [s.key for s in choose(only=["explore", "tune"])] == ["exploration", "tuning"]
    with pytest.raises(StageError, match="there is no stage 'x'"):
        choose(only=["x"])
    with pytest.raises(StageError, match="no stage is left"):
        choose(only=["input"], skip=["input"])
    assert len(set(keys)) == len(keys)


def test_a_stage_for_logs_refuses_a_table(table: Path, tmp_path: Path) -> None:
    (bundle,) = choose(only=["bundle"])
    with pytest.raises(StageError, match="bundle needs an event log, visits.csv is a table"):
        run_stage(bundle, Workspace(table, tmp_path))


def test_the_card_of_a_bundle_names_use_data_quality_and_limits() -> None:
    found = {"examples": 1_000, "customers": 300, "prevalence": 0.05, "auc": 0.87, "pr_auc": 0.3, "log_loss": 0.15,
             "brier": 0.04, "ece": 0.08, "ci": {"auc": [0.85, 0.89], "pr_auc": [0.25, 0.35]}}  # fmt: skip
    manifest = Manifest(
        version="v1", features_version="f", horizon_seconds=1800, label_start="0", timezone="Europe/Berlin",
        currency="EUR", example_types=["view_item"], band_thresholds={"medium": 0.1, "high": 0.3},
        data=DataFingerprint(source="shop", sha256="ab" * 32, events=10_000, customers=900,
                             first_event="2025-01-01T00:00:00+00:00", last_event="2025-03-01T00:00:00+00:00"),
        split={}, metrics={"network": {**found, "unseen": {**found, "auc": 0.7}}}, created_at="",
        bots=[BotRule("reads fast", {"view_item_1m": "at least 30", "purchases": 0})],
    )  # fmt: skip
    segment = Segment(id=0, name="New", description="Have come once", share=1.0, centroid=[0.0], profile={})
    segmenter = Segmenter(columns=["events"], center=[0.0], scale=[1.0], segments=[segment])
    card = card_of_bundle(manifest, segmenter, Calibration(slope=1.0, intercept=0.0, examples=500))
    text = to_markdown(card)
    for part in (
        "within 30 minutes", "10,000 events of 900 customers", "0.870 (0.850 to 0.890)", "5.0%", "had not seen",
        "0.700", "more than it should", "59 days", "Only 50 positive examples", "neither country nor device",
        "one of these rules holds: reads fast (view_item_1m at least 30 and purchases 0)",
    ):  # fmt: skip
        assert part in text, part
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == [
        "Intended use", "Data", "Quality", "Calibration", "Segments", "Limits", "Fairness",
    ]  # fmt: skip


def test_the_card_of_a_table_warns_of_leaks(table: Path) -> None:
    problem = problem_from_table(table, leaks=["seconds"])
    metrics = {"lightgbm": {"auc": 0.8, "pr_auc": 0.5, "prevalence": 0.3, "ece": 0.02, "examples": 600}}
    text = to_markdown(card_of_table(problem, metrics))
    assert "seconds seems to know the target (as told)" in text
    assert "lightgbm ranks the positive session higher in 80% of cases" in text
