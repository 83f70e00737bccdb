"""What the learner tells Prometheus, asked for when metrics are collected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from stream.learning.judging.prequential import Figures
from stream.learning.learning import Learning
from stream.learning.report import Report
from stream.learning.topic_buffers import TopicBuffers

_FIGURES = ("auc", "expected_auc", "pr_auc", "prevalence", "log_loss", "brier", "ece")


class Observed(Protocol):
    """A learner, as far as metrics need it."""

    learning: Learning | None
    buffers: TopicBuffers | None
    report: Report | None

    @property
    def ready(self) -> bool:
        """Whether it learns, or stands by as it should."""
        ...

    @property
    def refusal(self) -> str | None:
        """Why the live bundle of the shelf is not taken, empty if it is; ``None`` where there is no shelf."""
        ...


class LearnerMetrics(Collector):
    """Progress and live figures of a learner, in a registry of their own."""

    def __init__(self, learner: Observed) -> None:
        self._learner = learner
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Return nothing: names depend on nothing, and need no check."""
        return ()

    def collect(self) -> Iterable[GaugeMetricFamily | CounterMetricFamily]:
        """Yield all metrics."""
        learner = self._learner
        yield _gauge(
            "intent_learner_ready",
            "Whether the learner learns, or stands by as it should",
            int(learner.ready),
        )
        yield _gauge(
            "intent_learner_leading",
            "Whether this learner has the lease and learns",
            int(learner.learning is not None),
        )
        if learner.refusal is not None:
            yield _gauge(
                "intent_bundle_refused",
                "Whether the shelf names a bundle that cannot be used, and another one is learned",
                int(bool(learner.refusal)),
            )
        if learner.buffers is not None:
            lag = GaugeMetricFamily(
                "intent_learner_lag_records",
                "Records that wait in Kafka, by topic and partition",
                labels=["topic", "partition"],
            )
            for buffer in learner.buffers.topics.values():
                for partition, number in buffer.lag().items():
                    lag.add_metric([buffer.name, str(partition)], number)
            yield lag
        if learner.learning is not None:
            bundle = GaugeMetricFamily(
                "intent_learner_bundle", "The bundle whose examples are learned", labels=["version"]
            )
            bundle.add_metric([learner.learning.bundle.manifest.version], 1)
            yield bundle
            yield from _progress(learner.learning)
        if learner.report is not None:
            yield from _quality(learner.report)
            yield from _beside(learner.report)


def _progress(learning: Learning) -> Iterable[GaugeMetricFamily | CounterMetricFamily]:
    status = learning.status
    yield CounterMetricFamily("intent_learned_examples", "Examples learned", value=status.examples)
    yield CounterMetricFamily("intent_learned_positives", "Positive examples learned", value=status.positives)
    yield CounterMetricFamily("intent_mini_batches", "Mini-batches learned", value=status.mini_batches)
    dropped = CounterMetricFamily(
        "intent_dropped_examples", "Examples that were not learned, by why", labels=["why"]
    )
    for why, number in status.dropped.items():
        dropped.add_metric([why], number)
    yield dropped
    bad = CounterMetricFamily(
        "intent_learner_bad_records",
        "Records that could not be read and became dead letters, by topic",
        labels=["topic"],
    )
    for topic, number in status.bad.items():
        bad.add_metric([topic], number)
    yield bad
    yield _gauge("intent_waiting_examples", "Examples in memory that wait for their labels", status.waiting)
    if status.oldest_waiting_seconds is not None:
        yield _gauge(
            "intent_oldest_waiting_seconds",
            "Event time since the oldest example that waits",
            status.oldest_waiting_seconds,
        )
    yield _gauge(
        "intent_label_delay_seconds",
        "Event time from an example to the moment its label was known, last mini-batch",
        status.label_delay_seconds,
    )


def _quality(report: Report) -> Iterable[GaugeMetricFamily]:
    """Yield the figures of all models, in all and by group."""
    groups: dict[tuple[str, str], Mapping[str, Figures]] = {("total", "all"): report.total}
    if report.windows:
        groups["window", "last"] = report.windows[-1].figures
    groups |= {("segment", name): figures for name, figures in report.segments.items()}
    groups |= {("band", name): figures for name, figures in report.bands.items()}
    for figure in _FIGURES:
        family = GaugeMetricFamily(
            f"intent_quality_{figure}",
            f"Prequential {figure}, by model and group of examples",
            labels=["model", "by", "group"],
        )
        for (by, group), models in groups.items():
            for model, figures in models.items():
                value = getattr(figures, figure)
                if value is not None:
                    family.add_metric([model, by, group], value)
        yield family


def _beside(report: Report) -> Iterable[GaugeMetricFamily]:
    """Yield how bundles beside the live one compare with it."""
    examples = GaugeMetricFamily(
        "intent_beside_examples", "Examples that a bundle beside the live one scored too", labels=["bundle"]
    )
    difference = GaugeMetricFamily(
        "intent_beside_log_loss_difference",
        "Log-loss of a bundle beside the live one less that of the live network, or of what was published",
        labels=["bundle", "than", "end"],
    )
    text = "of a bundle beside the live one, and of the live one on the same examples"
    figures = {
        "auc": GaugeMetricFamily("intent_beside_auc", f"Prequential AUC {text}", labels=["bundle", "model"]),
        "log_loss": GaugeMetricFamily(
            "intent_beside_log_loss", f"Prequential log-loss {text}", labels=["bundle", "model"]
        ),
    }
    for judged in report.beside:
        examples.add_metric([judged.version], judged.examples)
        for than, found in judged.than.items():
            for end in ("value", "low", "high"):
                value = getattr(found, end)
                if value is not None:
                    difference.add_metric([judged.version, than, end], value)
        for model, own in judged.figures.items():
            for name, family in figures.items():
                value = getattr(own, name)
                if value is not None:
                    family.add_metric([judged.version, model], value)
    yield from (examples, difference, *figures.values())


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)
