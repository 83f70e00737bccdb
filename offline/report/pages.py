"""Write what the stages found: the page, and all figures as JSON."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, NamedTuple

from features.whole_files import whole_file
from offline.report.html import page
from offline.report.opening import Opening
from offline.report.plain import plain
from offline.report.section import Section

REPORT_HTML: Final = "report.html"
REPORT_JSON: Final = "report.json"


class Written(NamedTuple):
    """The files of a report or of one section."""

    html: Path
    json: Path


def write_report(
    directory: str | Path,
    title: str,
    sections: Sequence[Section],
    *,
    opening: Opening | None = None,
    subtitle: str = "",
    note: str = "",
    about: Mapping[str, Any] | None = None,
    now: dt.datetime | None = None,
) -> Written:
    """Write a report of several sections.

    Parameters
    ----------
    directory
        Where ``report.html`` and ``report.json`` go; created if it does not exist.
    opening
        The first screen.
    note
        What a reader must know before anything else.
    about
        What else the JSON should say: input, options.
    now
        When the report was made; by default the current time.
    """
    made = _instant(now)
    footer = f"Made by intent report, {made}."
    text = page(title, sections, opening=opening, subtitle=subtitle, note=note, footer=footer)
    figures = {
        "title": title,
        "created_at": made,
        **(about or {}),
        **_first(opening),
        "sections": {section.key: _figures(section) for section in sections},
    }
    folder = Path(directory)
    return Written(_write(folder / REPORT_HTML, text), _write(folder / REPORT_JSON, _json(figures)))


def write_section(
    directory: str | Path,
    section: Section,
    *,
    opening: Opening | None = None,
    subtitle: str = "",
    note: str = "",
) -> Written:
    """Write one section as a page of its own, ``<key>.html`` and ``<key>.json``."""
    folder = Path(directory)
    text = page(section.title, [section], opening=opening, subtitle=subtitle, note=note)
    return Written(
        _write(folder / f"{section.key}.html", text),
        _write(folder / f"{section.key}.json", _json(_figures(section))),
    )


def _first(opening: Opening | None) -> dict[str, Any]:
    if opening is None:
        return {}
    cards = [{"title": card.title, "value": card.value, "change": card.change, "sure": card.sure,
              "period": card.period, "line": list(card.line)} for card in opening.cards]  # fmt: skip
    return {"first": {"cards": cards, "findings": [asdict(finding) for finding in opening.findings]}}


def _figures(section: Section) -> dict[str, Any]:
    said = {"title": section.title, "summary": list(section.summary), "details": list(section.details)}
    return {**said, "findings": [asdict(finding) for finding in section.findings], **section.figures}


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(plain(value), ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _write(path: Path, text: str) -> Path:
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path


def _instant(now: dt.datetime | None) -> str:
    return (now or dt.datetime.now(dt.UTC)).astimezone(dt.UTC).isoformat(timespec="seconds")
