"""Model card: what a model is for, what it was made from, how good it is, and where not to trust it.

After Mitchell et al. (2019), Model cards for model reporting, doi 10.1145/3287560.3287596. Nothing in a card is
written by hand: every sentence follows from the bundle's manifest or from the measures of a table's models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import pandas as pd

from features.bundle import Calibration, Manifest
from features.segments import Segmenter
from offline.problem import Problem
from offline.report.html import page
from offline.report.section import Section, Table, Text
from offline.report.tables import shown
from offline.tables.spans import span

CARD_HTML: Final = "model_card.html"
CARD_MARKDOWN: Final = "model_card.md"

#: Names of the measures, for people, in the order of the table.
_MEASURES: Final = {"auc": "AUC", "pr_auc": "PR-AUC", "log_loss": "log-loss", "brier": "Brier", "ece": "ECE"}
# An expected calibration error beyond this is worth a warning.
_POOR_ECE: Final = 0.05
_LEAST_POSITIVES: Final = 200
_NARROW_DAYS: Final = 365


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


def card_of_bundle(manifest: Manifest, segmenter: Segmenter, calibration: Calibration) -> ModelCard:
    """Return the card of a bundle."""
    horizon = span(round(manifest.horizon_seconds * 1000))
    begins = ", from the next day on" if manifest.label_start == "next-day" else ""
    main = manifest.metrics.get("network", {})
    data = manifest.data
    segments = pd.DataFrame(
        [(s.name, s.share, s.description) for s in segmenter.segments],
        columns=["segment", "share of customers", "who they are"],
    )
    chapters = [
        Chapter(
            "Intended use",
            [
                f"The model says, for every event of a customer, how likely this customer is to buy within "
                f"{horizon}{begins}. It is made for choosing whom to address, and when, and "
                "for planning; its probabilities are calibrated, so they can be multiplied with values and costs.",
                f"Examples are events of the types {', '.join(manifest.example_types)}; money is in "
                f"{manifest.currency}, local time is that of {manifest.timezone}.",
                "Not made for: refusing service or setting prices for single persons, credit, employment, or "
                "any other decision with legal effect on a person; shops other than the one "
                "whose log it learned from; another horizon.",
            ],
        ),
        Chapter(
            "Data",
            [
                f"Log {data.source}: {data.events:,} events of {data.customers:,} customers from "
                f"{data.first_event} to {data.last_event} (SHA-256 {data.sha256[:16]}...).",
                *_split(manifest.split),
                "Labels are known only after the horizon has passed, as in the running stream; nothing was resampled.",
            ],
        ),
        Chapter("Quality", _quality(main, "the network"), metrics_table(manifest.metrics)),
        Chapter(
            "Calibration",
            [
                f"Platt scaling on {calibration.examples:,} examples of a period that neither training nor test "
                f"has seen: logit times {calibration.slope:.3f} plus {calibration.intercept:.3f}.",
                f"Band high begins at {manifest.band_thresholds['high']:.3f} (top 5 % of the reference data), "
                f"medium at {manifest.band_thresholds['medium']:.3f} (next 15 %).",
                *_calibration(main),
            ],
        ),
        Chapter("Segments", [], Table("Segments", segments, formats={"share of customers": ".1%"})),
        Chapter("Limits", _limits(manifest, main)),
        Chapter(
            "Fairness",
            [
                "The model's input holds behaviour only: no age, sex, origin, name or address, and neither "
                "country nor device. It does see the channel and the hour, which can go with age or work.",
                "Customers who are new, shop rarely, share a device or have no account are known less and "
                "scored less well"
                + (
                    f" (AUC {_at(main['unseen'], 'auc')} for customers that training had not seen, "
                    f"{_at(main, 'auc')} for all)"
                    if "unseen" in main
                    else ""
                )
                + ". Whoever addresses only high scores will rarely address them: keep a random share of "
                "customers out of the rule, to measure and to learn.",
                "No group of persons was compared, because the log names none. Where groups are known, compare "
                "rates and calibration by group before use.",
            ],
        ),
    ]
    figures = {
        "version": manifest.version, "horizon_seconds": manifest.horizon_seconds, "metrics": manifest.metrics,
        "created_at": manifest.created_at, "features_version": manifest.features_version,
    }  # fmt: skip
    return ModelCard(f"Model card: {manifest.version}", chapters, figures)


def card_of_table(problem: Problem, metrics: Mapping[str, Mapping[str, Any]]) -> ModelCard:
    """Return the card of the models of a table.

    Parameters
    ----------
    metrics
        By name of the model, measures like those of `offline.evaluation.measure`; empty where none was made.
    """
    best = max(metrics, key=lambda name: metrics[name].get("auc") or 0.0, default=None)
    main = metrics[best] if best else {}
    leaks = [
        f"{name} seems to know the target ({why}): where it is not known before the decision, only the figures "
        f"without it count."
        for name, why in problem.leaks.items()
    ]
    how = (
        "trained on earlier and tested on later rows"
        if problem.times is not None
        else "compared on stratified folds, not on later data, so seasons and drift are not in the figures"
    )
    chapters = [
        Chapter(
            "Intended use",
            [
                f"The models say how likely {problem.target_name} is for a {problem.unit}. They are made for "
                f"insight and for choosing whom to address, not for a running stream: there is no bundle for a table.",
                "Not made for: refusing service or setting prices for single persons, or any decision with "
                "legal effect on a person.",
            ],
        ),
        Chapter(
            "Data",
            [
                f"{problem.name}: {len(problem):,} {problem.unit}s, {len(problem.kinds)} columns, "
                f"{problem.prevalence:.2%} positive.",
                f"Models were {how}.",
                *leaks,
            ],
        ),
        Chapter(
            "Quality",
            _quality(main, str(best)) if best else ["No model was compared in this report."],
            metrics_table(metrics) if metrics else None,
        ),
        Chapter("Calibration", _calibration(main) or ["Calibration was not measured."]),
        Chapter(
            "Limits",
            [
                f"{int(problem.target.sum()):,} positive {problem.unit}s are what the models learned from"
                + (
                    ": few, so differences between models are uncertain."
                    if problem.target.sum() < _LEAST_POSITIVES
                    else "."
                ),
                "What a column means was inferred or told, not checked: a value that is only known after the "
                "target makes every figure too good.",
            ],
        ),
        Chapter(
            "Fairness",
            [
                "Columns such as region, browser or visitor type can go with age, income or origin. Compare "
                "rates and calibration between groups before using scores on persons.",
            ],
        ),
    ]
    return ModelCard(
        f"Model card: {problem.name}",
        chapters,
        {"metrics": metrics, "best": best, "leaks": dict(problem.leaks)},
    )


def metrics_table(metrics: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return every model's measures with their 95 % intervals, and the prevalence that PR-AUC goes with."""
    rows = []
    for name, found in metrics.items():
        row: dict[str, Any] = {"model": name}
        for key, title in _MEASURES.items():
            if found.get(key) is not None:
                interval = (found.get("ci") or {}).get(key)
                row[title] = f"{found[key]:.3f}" + (
                    f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else ""
                )
        row["prevalence"] = found.get("prevalence")
        row["examples"] = found.get("examples")
        rows.append(row)
    return Table(
        "Measures on the test",
        pd.DataFrame(rows),
        "In brackets: 95 % intervals. A worthless model has AUC 0.5 and a PR-AUC of the prevalence.",
        {"prevalence": ".2%"},
    )


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
    return Section("model_card", "Model card", summary, parts, card.figures)


def write_card(directory: str | Path, card: ModelCard) -> None:
    """Write a card as a page and as Markdown."""
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CARD_HTML).write_text(page(card.title, [section_of(card)]), encoding="utf-8")
    (folder / CARD_MARKDOWN).write_text(to_markdown(card), encoding="utf-8")


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


def _quality(found: Mapping[str, Any], name: str) -> list[str]:
    if found.get("auc") is None:
        return ["The quality was not measured."]
    sentences = [
        f"Of a buyer and a non-buyer, {name} ranks the buyer higher in {found['auc']:.0%} of cases (AUC "
        f"{_at(found, 'auc')}). "
        f"PR-AUC is {_at(found, 'pr_auc')} where chance reaches {found['prevalence']:.3f}."
        if found.get("prevalence") is not None
        else f"AUC {_at(found, 'auc')}."
    ]
    if "unseen" in found and found["unseen"].get("auc") is not None:
        sentences.append(
            f"For customers that training had not seen: AUC {_at(found['unseen'], 'auc')}, PR-AUC "
            f"{_at(found['unseen'], 'pr_auc')} at a prevalence of {found['unseen']['prevalence']:.3f}."
        )
    return sentences


def _calibration(found: Mapping[str, Any]) -> list[str]:
    error = found.get("ece")
    if error is None:
        return []
    verdict = (
        "more than it should: calibrate again on recent data before multiplying it with money"
        if error > _POOR_ECE
        else "small enough to reckon with"
    )
    return [
        f"On the test the probabilities are off by {error:.3f} on average (expected calibration error, 15 bins "
        f"of equal mass), {verdict}."
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
        limits.append(f"It learned from {(end - start).days} days, so it has not seen every season.")
    elif start is not pd.NaT:
        limits.append("It learned from little more than one year, so a season was seen once at most.") if (
            end - start
        ).days < 2 * _NARROW_DAYS else None
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
    embargo = span(round(float(split.get("embargo_seconds", 0)) * 1000))
    return [
        f"Divided by time: {', '.join(periods)}, with {embargo} left out between them so that no label looks "
        f"into a later part."
    ]


def _at(found: Mapping[str, Any], key: str) -> str:
    interval = (found.get("ci") or {}).get(key)
    value = found.get(key)
    if value is None:
        return "not known"
    return f"{value:.3f}" + (f", 95 % interval {interval[0]:.3f} to {interval[1]:.3f}" if interval else "")
