"""What chapters hand to each other besides their sections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from features.bundle import Bundle
    from features.offers import Band
    from offline.chapters.recommendation.interactions import Interactions
    from offline.chapters.recommendation.trial import Trial
    from offline.chapters.segments.segmented import Segmented


@dataclass
class HandOver:
    """Results that one chapter leaves for later ones.

    A field is None until its chapter has run. Stages can be left out, so a reader must do without it.

    Attributes
    ----------
    segments
        Of the customers or rows. Set by "segments", or by the first chapter that asks `segments_of`.
    metrics
        Measures of every compared model by its title, without the columns that know the target. Set by "comparison",
        read by the model card of a table.
    main
        Key of the model that the report goes by. Set by "comparison".
    settings
        The settings that every tuned model should have, by its key: found ones where they are worth it, else the
        defaults. Set by "tuning".
    bands
        Band of the purchase probability of every customer by id, at the last event whose outcome is known. Set by
        "insight" of a log, read by "recommendations".
    recommenders
        What customers took up, and how recommenders did on it. Set by "recommendations", read by who writes offers.
    bundle
        What the stream can score with. Set by "bundle", read by the model card of a log.
    """

    segments: Segmented | None = None
    metrics: Mapping[str, Mapping[str, Any]] | None = None
    main: str | None = None
    settings: Mapping[str, Mapping[str, Any]] | None = None
    bands: Mapping[str, Band] | None = None
    recommenders: tuple[Interactions, Trial] | None = None
    bundle: Bundle | None = None
