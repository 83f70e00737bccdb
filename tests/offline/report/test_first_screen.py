"""What a marketing team sees: a first screen, few screens in all, plain words, nothing twice."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from features.log import write_log
from offline.chapters.opening.cards import cards_of_log, cards_of_table, periods_of
from offline.chapters.opening.first_screen import first_screen
from offline.chapters.stages import choose, run_stages
from offline.chapters.workspace import LabOptions, Workspace
from offline.problems import problem_from_table
from offline.problems.problem import Problem
from offline.report.axes import Axis
from offline.report.html import page
from offline.report.lines import label_at_end, label_in_corner, looks
from offline.report.opening import MOST_FINDINGS, MOST_PICTURES, Card, Opening, opening_of
from offline.report.section import Finding, Picture, Section, Table, Text
from offline.report.tables import view_of_table
from offline.report.time_axes import duration_ticks, seconds_of
from offline.views.log_view import LogView
from tests.offline.lab.problems import shop_log, visits

ROOT = Path(__file__).parents[3]
#: What only data people say; in the folded parts it may stand.
FORBIDDEN = re.compile(
    r"\b(positives?|negatives?|rows?|labels?|targets?|AUC|NDCG|SHAP|log-odds)\b", re.IGNORECASE
)
#: Pixels at 1280 x 800: of a sentence (two lines), a picture, a line of a table, a headline, a finding, a calculator.
HEIGHTS = {"li": 54, "figure": 500, "tr": 29, "h2": 80, "h3": 40, "summary": 44, "form": 330, "p": 44}
EIGHT_SCREENS = 8 * 800


class Seen(HTMLParser):
    """What is seen before anything is opened: texts, and how many elements of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.bullets: list[str] = []
        self.counts: dict[str, int] = {}
        self._path: list[str] = []
        self._closed = 0

    @property
    def height(self) -> int:
        return sum(HEIGHTS.get(tag, 0) * count for tag, count in self.counts.items())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("meta", "input", "polyline", "br"):
            return
        self._path.append(tag)
        if tag == "details" and "open" not in dict(attrs):
            self._closed += 1
        if tag == "li":
            self.bullets.append("")
        if not self._closed or (tag == "summary" and self._closed == 1):
            self.counts[tag] = self.counts.get(tag, 0) + 1

    def handle_endtag(self, tag: str) -> None:
        if tag == "details":
            self._closed -= 1
        while self._path and self._path.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        inside = set(self._path)
        if inside & {"script", "style"} or not data.strip():
            return
        if "li" in inside:
            self.bullets[-1] += data
        if not self._closed and "main" in inside:
            self.texts.append(data.strip())


def seen_of(text: str) -> Seen:
    seen = Seen()
    seen.feed(text)
    return seen


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return reports of a table and of a log, with the chapters that marketing reads."""
    folder = tmp_path_factory.mktemp("reports")
    visits(500).to_csv(folder / "visits.csv", index=False)
    write_log(folder / "log.parquet", shop_log(120, 100))
    keys = ["input", "exploration", "segments", "insight", "forecast"]
    found = {}
    for name in ("visits.csv", "log.parquet"):
        workspace = Workspace(folder / name, folder, LabOptions(quick=True))
        sections = run_stages(workspace, choose(only=keys))
        found[name] = page("A report", sections, opening=first_screen(workspace, sections))
    return found


@pytest.mark.parametrize("name", ["visits.csv", "log.parquet"])
def test_a_report_has_at_most_eight_screens_before_anything_is_opened(
    pages: dict[str, str], name: str
) -> None:
    seen = seen_of(pages[name])
    assert 1 <= seen.counts["figure"] <= MOST_PICTURES
    assert seen.counts.get("table", 0) <= 3
    assert 800 < seen.height <= EIGHT_SCREENS


@pytest.mark.parametrize("name", ["visits.csv", "log.parquet"])
def test_what_marketing_reads_has_no_words_of_data_people(pages: dict[str, str], name: str) -> None:
    found = [text for text in seen_of(pages[name]).texts if FORBIDDEN.search(text)]
    assert found == []


@pytest.mark.parametrize("name", ["visits.csv", "log.parquet"])
def test_no_bullet_stands_twice_on_a_page(pages: dict[str, str], name: str) -> None:
    bullets = [re.sub(r"\s+", " ", text).strip() for text in seen_of(pages[name]).bullets]
    assert len(bullets) > 10
    assert sorted(bullets) == sorted(set(bullets))


def test_a_report_begins_with_numbers_findings_and_pictures(pages: dict[str, str]) -> None:
    text = pages["log.parquet"]
    first = text[text.index('id="overview"') : text.index('<section id="input">')]
    assert first.count("class=card>") == 5
    assert 1 <= first.count("<b>What to do</b>") == first.count("<b>How sure</b>") <= MOST_FINDINGS
    assert "against the 28 days before" in first and first.count("<polyline") == 5
    assert '<a href="forecast.csv" download>' in first


def a_picture(title: str, place: str = "folded") -> Picture:
    return Picture(title, go.Figure(go.Scatter(x=[1, 2], y=[1, 2])), place=place)  # type: ignore[arg-type]


def a_finding(what: str, file: str = "") -> Finding:
    return Finding(what, "Counted.", "Write.", 12_345, file=file)


def test_a_sentence_of_the_first_screen_is_not_said_again_in_its_chapter() -> None:
    section = Section("a", "A", ["Twice.", "Once.", "Twice."], [], {}, ["Once."], [a_finding("Twice.")])
    seen = seen_of(page("R", [section], opening=opening_of([section], [], Path())))
    assert [text.strip() for text in seen.texts].count("Twice.") == 1
    assert [text for text in seen.bullets if text.strip() == "Once."] == ["Once."]


def test_statistics_are_folded_only_behind_a_first_screen() -> None:
    parts = [
        a_picture("Statistics"),
        Table("Open", pd.DataFrame({"x": [1]}), place="open"),
        Text("T", ["More."]),
    ]
    section = Section("a", "A", ["Short."], parts, {}, ["Long."])
    models = Section("m", "Models", ["AUC .9"], [a_picture("ROC")], {}, audience="data people")
    folded = page("R", [section, models], opening=Opening([], [], []))
    assert seen_of(folded).counts.get("figure", 0) == 0
    assert "For data people: 1 picture, 2 notes" in folded
    assert '<details class="chapter data" id="m">' in folded
    assert folded.index("Open</h3>") < folded.index("<details class=data>") < folded.index("Long.")
    alone = page("A", [section])
    assert "<details" not in alone.split("<script>")[0]
    assert seen_of(alone).counts["figure"] == 1


def test_the_first_screen_takes_the_best_of_each_chapter_first() -> None:
    one = Section(
        "a",
        "A",
        [],
        [a_picture("P1", "lead"), a_picture("P2")],
        {},
        [],
        [a_finding(f"a{i}") for i in range(4)],
    )
    two = Section(
        "b",
        "B",
        [],
        [a_picture(f"Q{i}", "lead") for i in range(3)],
        {},
        [],
        [a_finding("b0"), a_finding("b1")],
    )
    data = Section("c", "C", [], [a_picture("R", "lead")], {}, [], [a_finding("c0")], "data people")
    found = opening_of([one, two, data], [], Path())
    assert [finding.what for finding in found.findings] == ["a0", "b0", "a1", "b1", "a2"]
    assert [picture.title for picture in found.pictures] == ["P1", "Q0", "Q1"]


def test_a_picture_of_the_first_screen_is_drawn_once() -> None:
    section = Section("a", "A", [], [a_picture("Lead", "lead"), a_picture("Other", "open")], {})
    text = page("R", [section], opening=opening_of([section], [], Path()))
    assert text.count('<script type="application/json"') == 2
    assert text.count("Lead</h3>") == 1


def test_only_files_that_are_there_are_named(tmp_path: Path) -> None:
    (tmp_path / "there.csv").write_text("x\n")
    section = Section("a", "A", [], [], {}, [], [a_finding("x", "there.csv"), a_finding("y", "gone.csv")])
    text = page("R", [section], opening=opening_of([section], [], tmp_path))
    assert '<a href="there.csv" download>' in text
    assert "gone.csv" not in text
    assert "<b>12,345 customers</b>" in text


def orders_view(days: Sequence[int], value: float = 10.0) -> LogView:
    times = pd.Timestamp("2025-01-01 12:00") + pd.to_timedelta(list(days), unit="D")
    orders = pd.DataFrame({"customer": np.arange(len(times)), "time": times, "value": value, "quantity": 1.0})
    events = orders.assign(type=pd.Categorical(["purchase"] * len(times)))
    return LogView(events, orders, 0.0, "UTC", "EUR")


def test_cards_compare_the_last_days_with_as_many_before() -> None:
    # Whole days are those between the first and the last one; 84 of them are three periods of 28.
    days = [0, *range(1, 57), *([60] * 42), 85]
    cards = {card.title: card for card in cards_of_log(orders_view(sorted(days)))}
    assert cards["Orders"].value == "42" and cards["Orders"].change == "▲ 50%"
    assert cards["Orders"].line == [28.0, 28.0, 42.0]
    assert cards["Orders"].period == "28 days to 26 Mar 2025, against the 28 days before"
    assert cards["Revenue"].value == "420 EUR" and cards["Mean order"].change == "unchanged"


@pytest.mark.parametrize(("whole", "days"), [(84, 28), (83, 7), (21, 7), (20, 1), (3, 1)])
def test_periods_fit_three_times_into_the_whole_days(whole: int, days: int) -> None:
    first = pd.Timestamp("2025-01-01 12:00")
    found = periods_of(first, first + pd.Timedelta(days=whole + 1))
    assert found is not None and found.days == days
    assert len(found.starts) >= 3 and found.starts[0] > first


def test_a_short_log_has_numbers_without_a_change() -> None:
    assert periods_of(pd.Timestamp("2025-01-01 12:00"), pd.Timestamp("2025-01-03 12:00")) is None
    cards = cards_of_log(orders_view([0, 1, 2]))
    assert [(card.value, card.change) for card in cards][0] == ("3", "")
    assert all(card.points == "" for card in cards)


def test_cards_of_a_table_go_by_months_where_it_knows_them(tmp_path: Path) -> None:
    frame = visits(600).assign(month=np.repeat(["May", "Mar", "Dec"], 200))
    frame.to_csv(tmp_path / "t.csv", index=False)
    problem: Problem = problem_from_table(tmp_path / "t.csv")
    cards = cards_of_table(problem)
    assert [card.value for card in cards][0] == "600"
    assert cards[0].change == "Dec: 200, unchanged against May"
    assert len(cards[2].line) == 3 and "points against May" in cards[2].change
    plain = cards_of_table(problem.without(["month"]))
    assert all(card.change == "" for card in plain)


def test_a_small_line_stays_in_its_box() -> None:
    points = [
        tuple(map(float, point.split(","))) for point in Card("x", "1", line=[3.0, 0.0, 9.0]).points.split()
    ]
    assert len(points) == 3
    assert all(0 <= x <= 120 and 0 <= y <= 28 for x, y in points)
    assert min(points, key=lambda point: point[1])[0] == points[-1][0]  # the highest value is highest


def test_tables_carry_exact_numbers_and_a_way_to_take_them_along() -> None:
    frame = pd.DataFrame({"name": [f"n{i}" for i in range(12)], "share": np.linspace(0.1, 0.123456, 12)})
    text = page("R", [Section("t", "T", [], [Table("Shares & more", frame, formats={"share": ".0%"})], {})])
    assert '<td class=n data-v="0.123456">12%</td>' in text
    assert '<button type=button class=csv data-file="Shares &amp; more">' in text
    assert text.count("<button type=button class=sort>") == 2
    assert text.count("<input type=search") == 1
    short = page("R", [Section("t", "T", [], [Table("One", frame.head(1))], {})])
    assert "<input type=search" not in short and "class=sort>" not in short and "class=csv" in short


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js runs the page's script")
def test_tables_are_sorted_by_number_and_saved_as_csv() -> None:
    script = ROOT / "offline" / "report" / "tables.js"
    code = (
        f"const t = require({str(script)!r});"
        "const by = d => ['10', '–', '9', '1,200 (3 to 4)', '-2'].sort((a, b) => t.compare(a, b, d));"
        """console.log(JSON.stringify([by(1), by(-1), t.csv([['a', 'say \\"b\\"'], ['1,5', 'x\\ny']])]))"""
    )
    told = subprocess.run(["node", "-e", code], capture_output=True, text=True, check=True)
    up, down, saved = json.loads(told.stdout)
    assert up == ["-2", "9", "10", "1,200 (3 to 4)", "–"]
    assert down == ["1,200 (3 to 4)", "10", "9", "-2", "–"]
    assert saved == 'a,"say ""b"""\r\n"1,5","x\ny"\r\n'
    code = f"const t = require({str(script)!r});console.log(JSON.stringify(t.csv([['=1+1', '-2 %', '@x', '+49 1']])))"
    told = subprocess.run(["node", "-e", code], capture_output=True, text=True, check=True)
    assert json.loads(told.stdout) == "'=1+1,-2 %,'@x,+49 1\r\n", "a spreadsheet runs nothing"


def test_durations_have_ticks_at_units_that_people_use() -> None:
    day = 86_400.0
    for name, unit in (("wait_seconds", 1.0), ("load_ms", 0.001), ("pages", None), ("tenure", None)):
        assert seconds_of(name, log=False) == unit
    assert seconds_of("since_purchase", log=True) == seconds_of("tenure", log=True) == 1.0
    for high, log in (
        (1.5, False),
        (7_200.0, False),
        (3 * day, False),
        (400 * day, False),
        (3e6, True),
        (400 * day, True),
    ):
        at, texts = duration_ticks(0.0, high, 1.0, log=log)
        assert 2 <= len(at) == len(texts) <= 8
        assert at == sorted(at) and at[-1] <= high
        assert len(set(texts)) == len(texts)
    axis = Axis.of(pd.Series(np.linspace(0, 10 * day, 200), name="since_purchase"), "numeric", log=True)
    assert axis.ticks[1][1:] and all(text.endswith(" d") for text in axis.ticks[1][1:])


def test_pages_know_dark_screens_and_paper() -> None:
    text = page("R", [Section("t", "T", [], [a_picture("P")], {})])
    assert "@media screen and (prefers-color-scheme: dark)" in text
    assert "@media print" in text and "beforeprint" in text
    assert '"paper_bgcolor":"rgba(0,0,0,0)"' in text


def test_lines_that_matter_are_in_colour_on_top_and_named() -> None:
    names, strong = ["a", "b", "c", "d"], {"c": "#1769aa", "a": "#d9730d"}
    drawn = looks(names, strong)
    assert [look.name for look in drawn] == ["b", "d", "c", "a"]
    assert len({look.colour for look in drawn if not look.strong}) == 1
    figure = go.Figure()
    figure.update_xaxes(range=[0, 1])
    figure.update_yaxes(range=[0, 1])
    line = np.linspace(0, 1, 11), np.linspace(0, 1, 11)
    label_in_corner(figure, {"a": line, "c": line}, strong, "lower right")
    assert [note.text for note in figure.layout.annotations] == ["c", "a"]
    assert figure.layout.annotations[0].ay != figure.layout.annotations[1].ay


def test_names_at_the_ends_of_lines_stand_apart() -> None:
    figure = go.Figure()
    ends = {"a": (1, 0.50), "b": (1, 0.51), "c": (1, 0.90)}
    label_at_end(figure, ends, dict.fromkeys(ends, "#1769aa"), 0.1)
    heights = sorted(note.y for note in figure.layout.annotations)
    assert np.diff(heights).min() >= 0.1 - 1e-12


def test_a_table_that_stands_open_shows_five_rows_and_the_rest_at_a_click() -> None:
    frame = pd.DataFrame({"product": [f"p{at}" for at in range(15)]})
    assert view_of_table(Table("Products", frame, place="open")).shown == 5
    assert view_of_table(Table("Products", frame.head(8), place="open")).shown == 0
    assert view_of_table(Table("Products", frame)).shown == 0, "a folded one shows up to 25"


@pytest.mark.parametrize(("sentences", "at_once"), [(5, 5), (6, 4), (9, 4)])
def test_of_a_chapter_with_many_sentences_four_stand_open(sentences: int, at_once: int) -> None:
    said = [f"Sentence {at}." for at in range(sentences)]
    folding = page("R", [Section("t", "T", said, [], {})], opening=Opening([], [], []))
    shown, _, more = folding.partition("<details class=more>")
    assert [one in shown for one in said] == [at < at_once for at in range(sentences)]
    assert [one in more for one in said] == [at >= at_once for at in range(sentences)]
    alone = page("R", [Section("t", "T", said, [], {})])
    assert "<details class=more>" not in alone and all(one in alone for one in said)
