"""What a worker counts, for Prometheus: once per round of batches, not per event."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import prometheus_client
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from features.refusals import Reason
from features.traffic import TRAFFIC
from stream.decisions.tables import OUTCOMES
from stream.health import Readiness
from stream.running.histogram import Histogram
from stream.scoring.batch import Batch, RecordStatus
from stream.scoring.expected import ExpectedAuc

if TYPE_CHECKING:
    from stream.ownership.partitions import Ownership
    from stream.ownership.promised import ActionRecord
    from stream.scoring.engine import Scored
    from stream.scoring.in_force import InForce
    from stream.scoring.recommending import Recommended
    from stream.scoring.scorer import Models, Scorer

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_LATENCIES = (0.0025, 0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_SIZES = (1, 10, 50, 100, 250, 500, 1000, 2000, 4000, 8000)

# Names of events without counterpart that are counted apart: shops invent names, and each is a series in Prometheus.
_NAMES = 50


class ScorerMetrics:
    """Counters of one worker, in a registry of their own."""

    def __init__(self, model_version: str) -> None:
        self.registry = CollectorRegistry()
        self._events = self._counter("intent_events", "Records read from the events topic")
        self._scored = self._counter("intent_scored", "Events scored")
        self._rebuilt = self._counter("intent_rebuilt", "Records read again, silently, to rebuild states")
        self._duplicates = self._counter("intent_duplicates", "Repeated events dropped")
        self._erased = self._counter("intent_erased", "Requests to erase a customer carried out")
        self._identities = Counter(
            "intent_identities",
            "Records that say who is who, and what was handed over because of them, by outcome",
            ["outcome"],
            registry=self.registry,
        )
        self._prices = Counter(
            "intent_prices", "Prices of items read, by outcome", ["outcome"], registry=self.registry
        )
        self._foreign = self._counter(
            "intent_foreign_currency", "Events whose money was left out for its currency"
        )
        self._dead_letters = Counter(
            "intent_dead_letters", "Records refused, by reason", ["reason"], registry=self.registry
        )
        self._ignored = self._counter(
            "intent_ignored", "Events of a type in INTENT_IGNORE_TYPES, passed over"
        )
        self._without_counterpart = Counter(
            "intent_without_counterpart", "What INTENT_FORMAT has and events here have not, passed over, by name",
            ["name"], registry=self.registry,
        )  # fmt: skip
        self._names: set[str] = set()
        self._dropped_fields = Counter(
            "intent_dropped_fields", "Bad optional fields of events that were dropped; items: lines", ["field"],
            registry=self.registry,
        )  # fmt: skip
        bands = Counter(
            "intent_scored_by_band", "Events of customers scored, by band", ["band"], registry=self.registry
        )
        self._bands = [bands.labels(band) for band in ("low", "medium", "high")]
        traffic = Counter(
            "intent_traffic", "Events scored, by whose they are: customer, bot or staff", ["traffic"],
            registry=self.registry,
        )  # fmt: skip
        self._traffic = [traffic.labels(whose) for whose in TRAFFIC]
        self._recommended = Counter(
            "intent_recommended", "Scores with a recommendation, by whose items", ["source"],
            registry=self.registry,
        )  # fmt: skip
        self._actions = self._counter("intent_actions", "Actions published, those again that nobody knew of")
        decided = Counter(
            "intent_decided",
            "Actions that were due, by what became of them",
            ["outcome"],
            registry=self.registry,
        )
        self._decided = [decided.labels(outcome) for outcome in OUTCOMES]
        self._unreadable = self._counter("intent_items_unreadable", "Customers' items that could not be read")
        self._seconds = prometheus_client.Histogram(
            "intent_batch_seconds", "From a round's first record to its last acknowledgement",
            registry=self.registry, buckets=_SECONDS,
        )  # fmt: skip
        self._sizes = prometheus_client.Histogram(
            "intent_batch_events", "Records in a round of batches", registry=self.registry, buckets=_SIZES
        )
        self._expected: ExpectedAuc | None = None
        self._latency = Histogram(_LATENCIES)
        self.registry.register(_Collector(lambda: [_histogram(
            "intent_latency_seconds", "From an event's arrival at the broker to the acknowledgement of its score",
            {(): self._latency},
        )]))  # fmt: skip
        self._model = Gauge("intent_model", "The bundle in use", ["version"], registry=self.registry)
        self.use_model(model_version)

    def use_model(self, version: str) -> None:
        """Export that another bundle is in use."""
        self._model.clear()
        self._model.labels(version).set(1)

    def observe(self, ownership: Ownership, readiness: Readiness) -> None:
        """Also export what the partitions of this worker are at, asked for when metrics are collected."""
        self.registry.register(_Collector(lambda: _of_ownership(ownership, readiness)))

    def observe_models(self, scorer: Scorer) -> None:
        """Also export what scores are made with, and what was refused: policy, online model, offers."""
        self._expected = ExpectedAuc(scorer.engine.bundle.manifest)
        self.registry.register(_Collector(lambda: _of_models(scorer.models)))
        self.registry.register(_Collector(self._of_expected))

    def observe_bundles(self, in_force: InForce) -> None:
        """Also export whether the bundles of a shelf are used as its slots say."""
        Gauge(
            "intent_bundle_refused",
            "Whether the shelf names a bundle that cannot be used, and others are in force",
            registry=self.registry,
        ).set_function(lambda: int(bool(in_force.refusal)))

    def count(self, batch: Batch, scored: Scored, seconds: float) -> None:
        """Count what was scored and acknowledged together; a silent rebuilding apart, where the round is no other."""
        self._rebuilt.inc(sum(len(part.records) for part in batch.parts if part.silent))
        if all(part.silent for part in batch.parts):
            return
        self._events.inc(len(batch))
        self._scored.inc(len(scored.rows))
        self._duplicates.inc(scored.duplicates)
        self._erased.inc(int(np.count_nonzero(batch.status == RecordStatus.ERASE)))
        self._foreign.inc(int(np.count_nonzero(batch.columns.foreign)))
        self._ignored.inc(int(np.count_nonzero(batch.status == RecordStatus.IGNORED)))
        for name, number in batch.without_counterpart.items():
            self._without_counterpart.labels(self._bounded(name)).inc(number)
        for field, number in batch.dropped.items():
            self._dropped_fields.labels(field).inc(number)
        for reason, number in Tally(rejection.reason for rejection in batch.rejections).items():
            self._dead_letters.labels(reason.value).inc(number)
        own = scored.of_customers
        _add(self._bands, np.bincount(scored.band[own], minlength=len(self._bands)))
        _add(self._traffic, np.bincount(scored.traffic, minlength=len(self._traffic)))
        if self._expected is not None:
            self._expected.count(
                batch.columns.type[scored.rows][own], scored.as_of[own], scored.probability[own]
            )
        self._seconds.observe(seconds)
        self._sizes.observe(len(batch))

    def _of_expected(self) -> Iterable[Metric]:
        value = None if self._expected is None else self._expected.value
        if value is not None:
            yield GaugeMetricFamily(
                "intent_expected_auc",
                "AUC to expect of the published scores of the last one to two horizons, before labels are known",
                value=value,
            )

    def _bounded(self, name: str) -> str:
        """Return a name that messages carry, ``other`` once there are too many of them."""
        if name not in self._names and len(self._names) >= _NAMES:
            return "other"
        self._names.add(name)
        return name

    def count_latency(self, seconds: NDArray[np.float64]) -> None:
        """Count how long events have waited for the acknowledgement of their scores."""
        self._latency.add_many(seconds)

    def count_recommended(self, recommended: Recommended) -> None:
        """Count what scores carry beside themselves."""
        for source, number in Tally(one.source for one in recommended.each if one is not None).items():
            self._recommended.labels(source).inc(number)
        self._unreadable.inc(recommended.unreadable)

    def count_decided(self, counts: NDArray[np.int64]) -> None:
        """Count what became of actions that were due; see `stream.decisions.decide.Decided.counts`."""
        _add(self._decided, counts.sum(axis=0))

    def count_identities(self, counts: Mapping[str, int]) -> None:
        """Count what became of what said who is who (`stream.scoring.linking.OUTCOMES`)."""
        for outcome, number in counts.items():
            self._identities.labels(outcome).inc(number)

    def count_undelivered(self, number: int) -> None:
        """Count what could not be handed over, and became dead letters."""
        self._identities.labels("undelivered").inc(number)
        self._dead_letters.labels(Reason.TOO_LARGE.value).inc(number)

    def count_prices(self, counts: Mapping[str, int]) -> None:
        """Count what became of prices (`features.price_table.PRICE_OUTCOMES`)."""
        for outcome, number in counts.items():
            self._prices.labels(outcome).inc(number)

    def count_actions(self, records: Sequence[ActionRecord]) -> None:
        """Count actions that were acknowledged."""
        self._actions.inc(sum(1 for _, value in records if value is not None))

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(name, text, registry=self.registry)


def _add(counters: Sequence[Counter], numbers: NDArray[np.int64]) -> None:
    for counter, number in zip(counters, numbers.tolist(), strict=True):
        if number:
            counter.inc(number)


class _Collector(Collector):
    """Metrics that are made when they are asked for: what is no longer true is not there."""

    def __init__(self, families: Callable[[], Iterable[Metric]]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families()


def _of_models(models: Models) -> Iterable[Metric]:
    engine, newest, recommending = models.engine, models.newest, models.recommending
    if newest is not None:
        yield GaugeMetricFamily(
            "intent_online_version",
            "Mini-batches that the online model in use has learned; 0 = the network alone",
            value=0 if newest.current is None else newest.current.version,
        )
    if recommending is not None:
        yield GaugeMetricFamily(
            "intent_offers",
            "Offers in the policy in use; 0 = scores carry no recommendations",
            value=0 if recommending.current is None else len(recommending.current.policy.offers),
        )
        yield GaugeMetricFamily(
            "intent_offers_refused",
            "Whether there is a policy in Redis that is not used, for another bundle or topic",
            value=int(bool(recommending.refusal)),
        )
    family = GaugeMetricFamily("intent_policy", "The policy in force", labels=["version"])
    family.add_metric([engine.rulebook.version], 1)
    yield family
    yield GaugeMetricFamily(
        "intent_policy_refused",
        "Whether the policy file as it is now is bad, and an older one in force",
        value=int(bool(engine.policy and engine.policy.refusal)),
    )
    yield GaugeMetricFamily(
        "intent_excluded_customers", "Customers who are left out", value=len(engine.exclusions.current)
    )
    yield GaugeMetricFamily(
        "intent_excluded_refused",
        "Whether the file of excluded customers as it is now is bad, and an older one in force",
        value=int(bool(engine.exclusions.refusal)),
    )


def _of_ownership(ownership: Ownership, readiness: Readiness) -> Iterable[Metric]:
    yield _by_partition(
        "intent_lag_events", "Records between what is saved and the high watermark", ownership.lag()
    )
    yield _by_partition(
        "intent_stable_lag_events",
        "Records between what is saved and the last stable offset; the rest is in open transactions",
        ownership.stable_lag(),
    )
    yield _by_partition(
        "intent_watermark_seconds",
        "Watermark, epoch seconds",
        {partition: watermark / 1000 for partition, watermark in ownership.watermarks().items()},
    )
    yield GaugeMetricFamily(
        "intent_parked_partitions", "Partitions that cannot go on", value=len(ownership.parked)
    )
    yield GaugeMetricFamily("intent_ready", "Whether the worker is ready", value=int(readiness.ready))
    yield CounterMetricFamily(
        "intent_rebalances", "Times the group has assigned partitions", value=ownership.assignments
    )
    rounds = ownership.rounds
    yield CounterMetricFamily("intent_cache_hits", "States found in the worker's memory", value=rounds.cached)
    yield CounterMetricFamily("intent_cache_misses", "States asked for in Redis", value=rounds.uncached)
    yield _histogram(
        "intent_step_seconds", "Time of a step of a round",
        {(name,): times for name, times in rounds.steps.times.items()}, ["step"],
    )  # fmt: skip


def _by_partition(name: str, text: str, values: Mapping[int, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, f"{text}, by partition", labels=["partition"])
    for partition, value in values.items():
        family.add_metric([str(partition)], value)
    return family


def _histogram(
    name: str, text: str, histograms: Mapping[tuple[str, ...], Histogram], labels: Sequence[str] = ()
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, text, labels=labels)
    for values, histogram in histograms.items():
        family.add_metric(values, histogram.buckets(), histogram.total)
    return family
