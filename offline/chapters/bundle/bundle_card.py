"""The model card of a bundle, from its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import pandas as pd

from features.bundle import Calibration, Manifest
from features.counts import counted
from features.durations import duration_words
from features.segments import Segmenter
from features.traffic import BotRule
from offline.chapters.bundle.card_measures import calibration_error, metrics_table, quality, with_interval
from offline.chapters.bundle.model_card import Chapter, ModelCard
from offline.report.section import Table

#: Why these segments differ from those of a report's chapter on segments.
SEGMENTS_CAPTION: Final = (
    "Found in the training period, by what the stream knows of a customer at once; so names and shares differ from "
    "segments that are found at the end of a log."
)
_LEAST_POSITIVES: Final = 200
_NARROW_DAYS: Final = 365


def card_of_bundle(manifest: Manifest, segmenter: Segmenter, calibration: Calibration) -> ModelCard:
    """Return the card of a bundle."""
    main = manifest.metrics.get("network", {})
    segments = pd.DataFrame(
        [(s.name, s.share, s.description) for s in segmenter.segments],
        columns=["segment", "share of customers", "who they are"],
    )
    chapters = [
        Chapter("Intended use", _use(manifest)),
        Chapter("Data", _data(manifest)),
        Chapter("Quality", quality(main, "the network"), metrics_table(manifest.metrics)),
        Chapter("Calibration", _calibration(manifest, calibration, main)),
        Chapter("Segments", [], Table("Segments", segments, SEGMENTS_CAPTION, {"share of customers": ".1%"})),
        Chapter("Limits", _limits(manifest, main)),
        Chapter("Fairness", _fairness(main)),
    ]
    figures = {
        "version": manifest.version, "horizon_seconds": manifest.horizon_seconds, "metrics": manifest.metrics,
        "created_at": manifest.created_at, "features_version": manifest.features_version,
        "bots": None if manifest.bots is None else msgspec.to_builtins(manifest.bots),
    }  # fmt: skip
    return ModelCard(f"Model card: {manifest.version}", chapters, figures)


def _use(manifest: Manifest) -> list[str]:
    horizon = duration_words(round(manifest.horizon_seconds * 1000))
    begins = ", from the next day on" if manifest.label_start == "next-day" else ""
    return [
        f"The model says, for every event of a customer, how likely this customer is to buy within {horizon}{begins}. "
        "It is made for choosing whom to address, and when, and for planning; its probabilities are calibrated, so "
        "they can be multiplied with values and costs.",
        f"Examples are events of the type{'s' * (len(manifest.example_types) > 1)} "
        f"{', '.join(manifest.example_types)}; money is in "
        f"{manifest.currency}, local time is that of {manifest.timezone} "
        f"(time zone database: {manifest.timezone_database or 'not recorded'}).",
        "Not made for: refusing service or setting prices for single persons, credit, employment, or any other "
        "decision with legal effect on a person; shops other than the one whose log it learned from; another horizon.",
    ]


def _data(manifest: Manifest) -> list[str]:
    data = manifest.data
    return [
        f"Log {data.source}: {counted(data.events, 'event')} of {counted(data.customers, 'customer')} from "
        f"{_minute(data.first_event)} to {_minute(data.last_event)} (SHA-256 {data.sha256[:16]}...).",
        *_bots(manifest.bots),
        *_split(manifest.split),
        "Labels are known only after the horizon has passed, as in the running stream; nothing was resampled.",
    ]


def _bots(rules: list[BotRule] | None) -> list[str]:
    if rules is None:
        return []
    said = ", ".join(f"{rule.name} ({_asked(rule)})" for rule in rules)
    by_rule = f", or for which one of these rules holds: {said}" if rules else "; by rule, no other is"
    return [f"Left out are events of the shop's own people, and of bots: those that say so{by_rule}."]


def _asked(rule: BotRule) -> str:
    return " and ".join(f"{name} {value}" for name, value in rule.when.items())


def _minute(moment: str | None) -> str:
    time = pd.Timestamp(moment or "NaT")
    return "an unknown time" if time is pd.NaT else f"{time:%Y-%m-%d %H:%M %Z}".rstrip()


def _calibration(manifest: Manifest, calibration: Calibration, main: Mapping[str, Any]) -> list[str]:
    return [
        f"Platt scaling on {counted(calibration.examples, 'example')} of a period that neither training nor test "
        f"has seen: logit times {calibration.slope:.3f} plus {calibration.intercept:.3f}.",
        f"Band high begins at {manifest.band_thresholds['high']:.3f} (top 5% of the reference data), "
        f"medium at {manifest.band_thresholds['medium']:.3f} (next 15%).",
        *calibration_error(main),
    ]


def _fairness(main: Mapping[str, Any]) -> list[str]:
    unseen = (
        f" (AUC {with_interval(main['unseen'], 'auc')} for customers that training had not seen, "
        f"{with_interval(main, 'auc')} for all)"
        if "unseen" in main
        else ""
    )
    return [
        "The model's input holds behaviour only: no age, sex, origin, name or address, and neither country nor "
        "device. It does see the channel and the hour, which can go with age or work.",
        "Customers who are new, shop rarely, share a device or have no account are known less and scored less well"
        f"{unseen}. Whoever addresses only high scores will rarely address them: keep a random share of customers out "
        "of the rule, to measure and to learn.",
        "No group of persons was compared, because the log names none. Where groups are known, compare rates and "
        "calibration by group before use.",
    ]


def _limits(manifest: Manifest, main: Mapping[str, Any]) -> list[str]:
    start, end = (
        pd.Timestamp(manifest.data.first_event or "NaT"),
        pd.Timestamp(manifest.data.last_event or "NaT"),
    )
    limits = [
        "The model knows what the log knows: sales that were not logged, campaigns, stock, prices elsewhere and "
        "the weather are unknown to it."
    ]
    if start is not pd.NaT and (end - start).days < _NARROW_DAYS:
        limits.append(
            f"It learned from {counted((end - start).days, 'day')}, so it has not seen every season."
        )
    elif start is not pd.NaT and (end - start).days < 2 * _NARROW_DAYS:
        limits.append("It learned from little more than one year, so a season was seen once at most.")
    positives = main.get("prevalence", 0.0) * main.get("examples", 0)
    if 0 < positives < _LEAST_POSITIVES:
        limits.append(f"Only {positives:,.0f} positive examples were in the test: the figures are rough.")
    limits.append(
        "Quality falls when assortment, prices or visitors change; the running system measures it all the time, "
        "and training should be repeated when it falls."
    )
    limits.append(
        "It predicts what customers do, not what an action changes: only a comparison with customers left alone "
        "shows whether addressing them pays."
    )
    return limits


def _split(split: Mapping[str, Any]) -> list[str]:
    periods = [
        f"{name} {split[name][0][:10]} to {split[name][1][:10]}"
        for name in ("train", "calibration", "test")
        if name in split
    ]
    if not periods:
        return []
    embargo = duration_words(round(float(split.get("embargo_seconds", 0)) * 1000))
    return [
        f"Divided by time: {', '.join(periods)}, with {embargo} left out between them so that no label looks "
        f"into a later part."
    ]
