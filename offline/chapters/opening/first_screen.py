"""The first screen of a report, or of one chapter of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from offline.chapters.opening.cards import cards_of
from offline.chapters.workspace import Workspace
from offline.report.opening import Opening, opening_of
from offline.report.section import Section

#: Chapters whose own page has a first screen.
OPENED: Final = ("insight",)


def first_screen(workspace: Workspace, sections: Sequence[Section]) -> Opening:
    """Return the cards of the input, and what chapters found."""
    return opening_of(sections, cards_of(workspace), workspace.directory)
