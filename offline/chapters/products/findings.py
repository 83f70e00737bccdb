"""What one look at the products found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from offline.lab.differences import Claim
from offline.report.section import Picture, Table


class Findings(NamedTuple):
    """Sentences for people, tables and pictures, and plain figures under the name of the look.

    ``summary`` is what was counted; ``claims`` are sentences about differences, told only if they are more than chance.
    """

    name: str
    summary: Sequence[str] = ()
    parts: Sequence[Table | Picture] = ()
    figures: Any = None
    claims: Sequence[Claim] = ()
