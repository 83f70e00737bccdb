"""Small logs of one partition for tests of decisions: drawn by Hypothesis, folded by the real code."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.calendar import zone
from features.columns import EventColumns, from_events
from features.events import Event
from features.fold import fold
from features.phrases import Naming
from features.price_table import NO_PRICES, PriceTable, SaidPrice
from features.priced_lines import PricedLines
from features.reasons import BOOK, GROUPS, MOST
from features.state import States, empty
from features.vector import Vectors
from features.watermark import ACCEPTED, BEGINNING, judge
from stream.decisions.actions import Customers, Details, Moments, Standing
from stream.decisions.decide import FOREVER, Decided, decide
from stream.decisions.holding import ScoredRows
from stream.decisions.holdout import DEFAULT_SALT
from stream.decisions.memory import Memories, blank
from stream.decisions.policy_file import parse_policy
from stream.decisions.rulebook import Rulebook
from stream.decisions.watermarks import Watermarks
from stream.messages.action import Action
from stream.messages.score import ReasonRef
from tests.bundles import SEGMENTS
from tests.features.histories import MINUTE, MONDAY

LATENESS = 15 * MINUTE
NAMES = ("ada", "bob", "cyd")
BERLIN = zone("Europe/Berlin")

#: Monday, and two days before clocks change in Berlin: once an hour is left out, once one comes twice.
STARTS = (MONDAY, 1_711_670_400_000, 1_729_814_400_000)


class Log(NamedTuple):
    """The accepted events of a partition, in offset order, with what the engine would say of each."""

    names: list[str]
    types: list[str]
    times: NDArray[np.int64]
    watermarks: NDArray[np.int64]
    slots: NDArray[np.int64]
    as_of: NDArray[np.int64]
    vectors: Vectors
    intent: NDArray[np.float64]
    bot: NDArray[np.bool_]
    columns: EventColumns
    carts: NDArray[np.uint64]
    priced: PricedLines
    reasons: list[list[ReasonRef]]
    items: dict[int, str]

    def seen(self, name: str, until: int) -> list[int]:
        """Return the offsets of a customer's events up to an offset."""
        return [at for at in range(until + 1) if self.names[at] == name]


@st.composite
def logs(draw: st.DrawFn, *, longest: int = 40, wishes: bool = False) -> Log:
    """Draw a log whose events come late, some of them too late; some of them may be about wish lists."""
    time, events = draw(st.sampled_from(STARTS)), []
    kinds = ("view_item", "view_item", "add_to_cart", "begin_checkout", "purchase", "remove_from_cart")
    kinds += ("add_to_wishlist", "add_to_wishlist", "remove_from_wishlist") if wishes else ()
    for number in range(draw(st.integers(1, longest))):
        time += MINUTE * draw(st.sampled_from((0, 1, 3, 10, 29, 30, 31, 45, 200, 600, 1500)))
        late = MINUTE * draw(st.sampled_from((0, 0, 0, 1, 5, 14, 16, 40)))
        kind, name = draw(st.sampled_from(kinds)), draw(st.sampled_from(NAMES))
        event = Event(
            event_id=f"e{number}",
            type=kind,
            customer_id=name,
            event_time=time,
            item_id=f"i{number % 3}",
            price=10.0,
            quantity=1,
        )  # type: ignore[arg-type]
        events.append((time + late, number, event, draw(st.sampled_from((0.05, 0.16, 0.22, 0.45, 0.6)))))
    events.sort(key=lambda one: one[:2])
    return log_of(
        [event for *_, event, _ in events], [arrival for arrival, *_ in events], [p for *_, p in events]
    )


def log_of(events: Sequence[Event], arrivals: Sequence[int], intent: Sequence[float]) -> Log:
    """Return events in order of arrival as a log: those that come too late are left out."""
    columns = from_events(list(events), "EUR")
    verdicts, _ = judge(columns.time, np.array(arrivals, np.int64), BEGINNING, LATENESS)
    kept = np.flatnonzero(verdicts == ACCEPTED)
    columns = columns.take(kept)
    slots = np.array([NAMES.index(name) for name in columns.customers], np.int64)
    folded = fold(empty(len(NAMES)), slots, columns, zone=BERLIN, with_carts=True, with_prices=True)
    return Log(
        list(columns.customers),
        [events[at].type for at in kept.tolist()],
        columns.time,
        Watermarks.of(columns.time, [BEGINNING], LATENESS).after,
        slots,
        folded.as_of,
        folded.vectors,
        np.array(intent)[kept],
        columns.bot,
        columns,
        folded.carts,
        folded.priced,
        [_reasons(vector, at) for at, vector in enumerate(folded.vectors)],
        {int(number): columns.items.of(at)[0] for at, number in enumerate(columns.item_hash) if number},
    )


def _reasons(vector: Vectors, at: int) -> list[ReasonRef]:
    """Return reasons of a score, as different as can be; of some scores none."""
    topics = (np.arange(at % (MOST + 1)) + at) % len(GROUPS)
    told = BOOK.tell(vector[np.newaxis], topics[np.newaxis])[0].tolist()
    said = [BOOK.saying(one, Naming("EUR", SEGMENTS)) for one in told]
    return [
        ReasonRef(
            GROUPS[one.topic].key, one.number, round((-1) ** at * (2.5 - place) / (1 + at), 3), one.text
        )
        for place, one in enumerate(said)
    ]


def rulebook_of(text: str, *, share: float = 0.3) -> Rulebook:
    """Return the rulebook of a policy, for a bundle of no importance."""
    return Rulebook(parse_policy(text), SEGMENTS, (0.2, 0.5), "Europe/Berlin", share)


def decided(
    rulebook: Rulebook,
    log: Log,
    cuts: Sequence[int] = (),
    ttl_ms: int = FOREVER,
    *,
    sweep: bool = False,
    excluded: Collection[str] = (),
    prices: Sequence[tuple[int, SaidPrice]] = (),
) -> tuple[list[Action], Memories, NDArray[np.int64]]:
    """Return actions, memories and counts after a log in batches that end at ``cuts``.

    As in the stream, a batch knows only the customers of its events, and those whose timers it reaches. Between batches
    there may be a ``sweep`` of those who were silent for longer than ``ttl_ms``. Each of the ``prices`` stands before
    the event of an offset.
    """
    table = NO_PRICES
    memories, states, actions = blank(len(NAMES)), empty(len(NAMES)), []
    counts = np.zeros((len(rulebook.rules), 5), np.int64)
    watermark = BEGINNING
    for start, stop in zip([0, *cuts], [*cuts, len(log.times)], strict=True):
        last = log.watermarks[stop - 1] if stop > start else watermark
        due = (memories["due"] > 0) & (memories["due"] <= last)
        known = sorted({*log.slots[start:stop].tolist(), *np.flatnonzero(due).tolist()})
        own, theirs = memories[known], states[known]
        said = [price for at, price in prices if start <= at < stop or (stop == len(log.times) == at)]
        table = table.after(said, watermark).table
        found = batch(rulebook, log, start, stop, watermark, known, own, ttl_ms, excluded, theirs, table)
        memories[known], states[known] = own, theirs
        actions += found.actions
        counts += found.counts[0]
        watermark = last
        if sweep and watermark != BEGINNING:
            memories[memories["as_of"] < watermark - ttl_ms] = blank(1)
    return actions, memories, counts


def batch(  # noqa: PLR0917  (a piece of a log)
    rulebook: Rulebook,
    log: Log,
    start: int,
    stop: int,
    watermark: int,
    known: list[int],
    own: Memories,
    ttl_ms: int = FOREVER,
    excluded: Collection[str] = (),
    states: States | None = None,
    table: PriceTable = NO_PRICES,
) -> Decided:
    """Decide on the events from ``start`` to ``stop``.

    Parameters
    ----------
    known
        The slots of the customers in ``own`` and ``states``, which are changed.
    """
    rows, names = slice(start, stop), [NAMES[slot] for slot in known]
    slots = np.array([known.index(slot) for slot in log.slots[rows].tolist()], np.int64)
    states = empty(len(known)) if states is None else states
    last = int(log.watermarks[stop - 1]) if stop > start else watermark
    standing = Standing.of((states, states[:0]), own["due"], last)
    fold(states, slots, log.columns.take(np.arange(start, stop)), zone=BERLIN)
    out = np.array([name in excluded for name in names], np.bool_) if excluded else None
    reasons = log.reasons[rows]
    scored = ScoredRows(log.vectors[rows], log.intent[rows], np.zeros(stop - start, np.int64), reasons)
    nothing = np.zeros(0, np.int64)
    moments = Moments(
        at=np.arange(stop - start),
        rows=np.arange(stop - start),
        slots=slots,
        as_of=log.as_of[rows],
        probability=log.intent[rows],
        band=np.searchsorted((0.2, 0.5), log.intent[rows], side="right").astype(np.uint8),
        segment=scored.segment,
        reasons=reasons,
        held=rulebook.held(scored),
        traffic=rulebook.bots.traffic(scored.vectors, log.bot[rows], None if out is None else out[slots]),
        bought=np.array([kind == "purchase" for kind in log.types[rows]], np.bool_),
        vectors=scored.vectors,
        carts=log.carts[rows],
        event_ids=[f"o{at}" for at in range(start, stop)],
        items=log.columns.items[rows],
        forgotten_at=nothing,
        forgotten_slots=nothing,
        forgotten_asides=nothing,
        asides=blank(0),
        asides_at=np.full(stop - start, -1, np.int64),
        watermarks=Watermarks.of(log.times[rows], [watermark], LATENESS),
        priced=log.priced.take(np.arange(start, stop)),
        prices=[table],
    )
    customers = Customers(names, np.zeros(len(names), np.int64), standing, out)
    return decide(
        rulebook, moments, customers, own, Details(BERLIN, "EUR", "m1", item_names=log.items), ttl_ms
    )


__all__ = ["DEFAULT_SALT", "LATENESS", "NAMES", "Log", "decided", "log_of", "logs", "rulebook_of"]
