"""Schedules by their seeds, and what must be true after each of them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NamedTuple, cast

from features import state
from features.bundle import Bundle
from features.state import DAY_MS
from features.store.customer_store import Loaded
from features.store.packed_states import from_packed, to_packed
from features.store.partition_record import NO_WATERMARK
from stream.decisions.following import PolicyInForce
from stream.decisions.policy_file import parse_policy
from stream.decisions.rulebook import Rulebook
from stream.kafka.batches import RecordBatch
from stream.kafka.record_columns import Record
from stream.ownership.promised import Promised, unpack_outbox
from stream.scoring.deciding import warm_up
from stream.scoring.engine import Engine
from stream.scoring.metrics import ScorerMetrics
from stream.scoring.publisher import Publishes
from stream.scoring.scorer import Scorer
from tests.simulation.kafka import Broker
from tests.simulation.logins import difference, emitted_with_logins, of_known_ids
from tests.simulation.prices import copies, emitted_with_prices, latest, wanted_copies
from tests.simulation.shop import LOGS, PARTITIONS, emitted
from tests.simulation.world import Faults, World

_LATENESS_MS = 15 * 60_000
_RECORDS = 20
# Customers are silent for minutes; rules of every kind come to their turn, and caps and the quiet time stop some.
_POLICY = """
version: 1
bands: {medium: {enter: 0.0, leave: 0.0}}
caps: [2 per 30m]
quiet: {from: "00:20", to: "00:40", then: wait}
rules:
  - {name: over, trigger: win_back, after: 5m, action: remind}
  - {name: cart, trigger: cart_abandoned, after: 3m, action: keep, when: {cart_items: at least 1}}
  - {name: checkout, trigger: checkout_abandoned, after: 2m, action: help, quiet: drop}
  - {name: filled, action: show, when: {cart_items: more than 0}}
"""
# A customer with a cart or a wish list is compared with prices time and again.
_PRICE_POLICY = """
version: 1
bands: {medium: {enter: 0.0, leave: 0.0}}
caps: [3 per 30m]
quiet: {from: "00:20", to: "00:40", then: wait}
rules:
  - {name: cheap, trigger: price_dropped, by: 60%, every: 5m, action: hurry}
  - {name: cheaper, trigger: price_dropped, of: cart, action: tell, when: {cart_items: at least 1}}
  - {name: wished, trigger: price_dropped, of: wishlist, action: tell}
  - {name: over, trigger: win_back, after: 5m, action: remind}
"""
_TRUTHS = 2_000  # that are kept, at most: most logs come again and again


class Truth(NamedTuple):
    """What must be stored and published of a partition's log."""

    states: dict[str, bytes]
    scores: set[bytes]
    erased: set[str]
    letters: set[tuple[int, int]]
    actions: set[bytes]
    handed: set[bytes]
    prices: dict[str, tuple[object, ...]]


class _Uncounted:
    """Counts nothing: what is counted is the scorer's own test's."""

    def count(self, *what: Any) -> None:
        """Do nothing."""

    count_latency = count_recommended = count_decided = count_actions = count_identities = count_prices = (
        count
    )


class Schedules:
    """Runs schedules with one bundle.

    Parameters
    ----------
    faults
        How often things go wrong.
    logins
        Whether people log in, who were anonymous before.
    prices
        Whether prices change, and a rule of the policy asks for that.
    """

    def __init__(
        self, bundle: Bundle, faults: Faults | None = None, *, logins: bool = False, prices: bool = False
    ) -> None:
        self._faults = faults
        self._logins = logins
        self._prices = prices
        self._emitted = emitted_with_prices if prices else emitted_with_logins if logins else emitted
        text = _PRICE_POLICY if prices else _POLICY
        share = 0.6 if logins else 0.1  # ada is held out, and the ids that become hers are not
        policy = PolicyInForce(Rulebook.of(parse_policy(text), bundle, share))
        self._engine = Engine(
            bundle, lateness_ms=_LATENESS_MS, ttl_ms=400 * DAY_MS, holdout=share, policy=policy
        )
        warm_up(self._engine)
        self._truths: dict[Hashable, Truth] = {}

    def run(self, seed: int) -> list[str]:
        """Run one schedule, and return its story.

        Raises
        ------
        AssertionError
            Something is stored or published that must not be, or is missing; tells the seed and what happened.
        """
        logs = self._emitted(seed % LOGS, 2 * _RECORDS if self._prices else _RECORDS)
        broker = Broker(list(logs))
        world = World(seed, broker, self.scorer, self._faults)
        try:
            world.run()
            self._check(world)
            assert not world.unhandled, f"errors that nobody awaited: {world.unhandled}"
        except BaseException as error:
            story = "\n".join(world.story)
            raise AssertionError(f"schedule {seed}: {error!r}\n{story}") from error
        return world.story

    def scorer(self, publisher: Publishes) -> Scorer:
        """Return the real scorer."""
        return Scorer(
            self._engine,
            publisher,
            cast("ScorerMetrics", _Uncounted()),
            "events",
            PARTITIONS,
            clock=lambda: 0,
        )

    def _check(self, world: World) -> None:
        truths = [self._truth(partition, records) for partition, records in enumerate(world.broker.events)]
        for partition, truth in enumerate(truths):
            assert world.store.states(partition) == truth.states, f"other states in partition {partition}"
            known = latest(world.store.prices(partition))
            assert known == truth.prices, f"other prices in partition {partition}"
        scores, tombstones = _published(world.broker.scores)
        actions, told = _published(world.broker.actions)
        letters = {(letter.partition, letter.offset) for letter in world.broker.letters}
        wanted = set[bytes]().union(*(truth.scores for truth in truths))
        erased = set[str]().union(*(truth.erased for truth in truths))
        acted = set[bytes]().union(*(truth.actions for truth in truths))
        rejected = set[tuple[int, int]]().union(*(truth.letters for truth in truths))
        for missing in wanted - scores:
            raise AssertionError(f"not published: {missing!r}")
        for missing in acted - actions:
            raise AssertionError(f"not published: {missing!r}")
        assert erased <= tombstones, "tombstones are missing"
        assert erased <= told, "tombstones of actions are missing"
        assert rejected <= letters, "letters are missing"
        if world.replaced is not None:
            return  # until it is noticed, events of one log are scored with states of another
        for wrong in scores - wanted:
            raise AssertionError(f"must not be published: {wrong!r}")
        for wrong in actions - acted:
            raise AssertionError(f"must not be published: {wrong!r}")
        assert tombstones == erased == told, "other tombstones"
        assert letters == rejected, "other letters"
        if self._prices:
            logs = world.broker.events
            assert copies(logs) == wanted_copies(logs), "other copies of prices"
        if self._logins:
            self._check_logins(world, set[bytes]().union(*(truth.handed for truth in truths)))

    def _check_logins(self, world: World, handed: set[bytes]) -> None:
        """Check that all was handed over, and that states are those of the merged log."""
        logs = world.broker.events
        in_logs = {
            record.value for log in logs for record in log if b'"type":"merge"' in (record.value or b"")
        }
        assert in_logs == handed, "other hand-overs"
        stored = [world.store.states(partition) for partition in range(PARTITIONS)]
        found = {name: from_packed([raw]) for states in stored for name, raw in states.items()}
        wrong = difference(found, of_known_ids(logs))
        assert not wrong, wrong

    def _truth(self, partition: int, records: Sequence[Record]) -> Truth:
        """Score a partition's log in one go, without any fault; once for each log."""
        log = partition, *((one.key, one.value, one.timestamp) for one in records)
        if log not in self._truths:
            if len(self._truths) >= _TRUTHS:
                self._truths.clear()
            self._truths[log] = self._scored(partition, records)
        return self._truths[log]

    def _scored(self, partition: int, records: Sequence[Record]) -> Truth:
        scorer = self.scorer(None)
        stop = records[-1].offset + 1 if records else 0
        read = scorer.read([RecordBatch(partition, records, 0, stop)], [NO_WATERMARK])
        [customers] = read.customers
        result = scorer.score(read, [Loaded(state.empty(len(customers)), ())])
        [changes], [output] = result.changes, result.outputs
        promised = unpack_outbox(changes.outbox) if changes.outbox else Promised(())
        kept = zip(changes.customers, to_packed(changes.states), changes.states["events"], strict=True)
        return Truth(
            {customer: raw for customer, raw, events in kept if events},
            *_published(output.scores),
            {(letter.partition, letter.offset) for letter in output.letters},
            _published(promised.actions)[0],
            {value for _, _, value in promised.handed},
            {} if changes.prices is None else latest(changes.prices.table),
        )


def _published(records: Iterable[tuple[str, bytes | None]]) -> tuple[set[bytes], set[str]]:
    """Return distinct scores, and the customers with a tombstone."""
    scores, tombstones = set(), set()
    for customer, value in records:
        if value is None:
            tombstones.add(customer)
        else:
            scores.add(value)
    return scores, tombstones
