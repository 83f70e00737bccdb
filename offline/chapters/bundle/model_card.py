"""Model card: what a model is for, what it was made from, how good it is, and where not to trust it.

After Mitchell et al. (2019), Model cards for model reporting, doi 10.1145/3287560.3287596. Nothing in a card is
written by hand: every sentence follows from the bundle's manifest (`offline.chapters.bundle.bundle_card`) or from the
measures of a table's models (`offline.chapters.bundle.table_card`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from features.whole_files import whole_file
from offline.report.html import page
from offline.report.section import Section, Table, Text
from offline.report.tables import shown

CARD_HTML: Final = "model_card.html"
CARD_MARKDOWN: Final = "model_card.md"


class Chapter(NamedTuple):
    """A headline with sentences and, where there is one, a table."""

    title: str
    sentences: Sequence[str]
    table: Table | None = None


class ModelCard(NamedTuple):
    """A model card; ``chapters`` in the order of reading."""

    title: str
    chapters: Sequence[Chapter]
    figures: Mapping[str, Any]


def section_of(card: ModelCard) -> Section:
    """Return the card as a section of a report."""
    parts: list[Table | Text] = []
    for chapter in card.chapters:
        if chapter.sentences:
            parts.append(Text(chapter.title, chapter.sentences))
        if chapter.table is not None:
            parts.append(chapter.table)
    quality = next(c for c in card.chapters if c.title == "Quality")
    summary = [*quality.sentences, f"The card is also in {CARD_MARKDOWN}, to go with the model."]
    return Section("model_card", "Model card", summary, parts, card.figures, audience="data people")


def write_card(directory: str | Path, card: ModelCard) -> None:
    """Write a card as a page and as Markdown."""
    folder = Path(directory)
    for name, text in (
        (CARD_HTML, page(card.title, [section_of(card)])),
        (CARD_MARKDOWN, to_markdown(card)),
    ):
        with whole_file(folder / name) as partial:
            partial.write_text(text, encoding="utf-8")


def to_markdown(card: ModelCard) -> str:
    """Return a card as Markdown."""
    lines = [f"# {card.title}", ""]
    for chapter in card.chapters:
        lines += [f"## {chapter.title}", "", *(f"- {sentence}" for sentence in chapter.sentences), ""]
        if chapter.table is not None:
            frame, formats = chapter.table.frame, chapter.table.formats
            lines += [f"| {' | '.join(map(str, frame))} |", f"|{'---|' * len(frame.columns)}"]
            for row in frame.itertuples(index=False, name=None):
                cells = [shown(value, formats.get(str(name))) for name, value in zip(frame, row, strict=True)]
                lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
            lines += ["", chapter.table.caption, ""] if chapter.table.caption else [""]
    return "\n".join(lines)
