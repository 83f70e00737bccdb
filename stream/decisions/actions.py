"""What is decided on, and what the kernel has found to be done, as actions with all that they tell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_128_hexdigest

from features.bundle import BANDS
from features.calendar import Zone
from features.event_items import EventItems
from features.phrases import Naming
from features.price_table import PriceTable
from features.priced_lines import NO_LINES, PricedLines
from features.reasons import BOOK
from features.state import States, joined
from features.structured import picked
from features.vector import SEGMENT_AT, Vectors, vectors
from stream.decisions.assignees import Assignees
from stream.decisions.found import NO_ROW, Found
from stream.decisions.holding import STARTED
from stream.decisions.holdout import ARMS
from stream.decisions.memory import CodedReasons, Memories, effect_of, reason_of
from stream.decisions.rulebook import Rulebook
from stream.decisions.watermarks import Watermarks
from stream.messages.action import MOST_ITEMS, Action
from stream.messages.score import ReasonRef, SegmentRef


class Moments(NamedTuple):
    """The scored events of a round, in offset order, one partition batch after the other; most are aligned.

    Attributes
    ----------
    at
        Position among the accepted records of the round.
    rows
        Position in ``event_ids`` and ``items``.
    slots
        Position of the customer.
    as_of, probability, band, segment, reasons
        What the scores say; ``reasons`` is ``None`` where none has any.
    held, traffic
        By the policy that decides: which rules hold, as bits, and whose the event is.
    bought
        Which events are purchases.
    vectors, carts
        What was known of the customer then, and which items were in the cart, as hashes.
    event_ids, items
        Of the events of the round.
    forgotten_at, forgotten_slots, forgotten_asides
        The records by which a customer is forgotten, in the order of their positions among the accepted records, and
        where in ``asides`` it is put what was remembered; -1: nowhere.
    asides, asides_at
        What is remembered of customers who are handed over or merged, and for each event whom it merges; -1: nobody.
    watermarks
        Of the accepted records.
    canary
        Which scores are those of a canary; ``None``: none.
    priced
        What may be compared with prices, where a policy asks for that; else of no rows.
    prices
        What items cost, by partition batch, as of its end.
    """

    at: NDArray[np.int64]
    rows: NDArray[np.intp]
    slots: NDArray[np.int64]
    as_of: NDArray[np.int64]
    probability: NDArray[np.float64]
    band: NDArray[np.uint8]
    segment: NDArray[np.int64]
    reasons: Sequence[Sequence[ReasonRef]] | None
    held: NDArray[np.int64]
    traffic: NDArray[np.uint8]
    bought: NDArray[np.bool_]
    vectors: Vectors
    carts: NDArray[np.uint64]
    event_ids: Sequence[str]
    items: EventItems
    forgotten_at: NDArray[np.int64]
    forgotten_slots: NDArray[np.int64]
    forgotten_asides: NDArray[np.int64]
    asides: Memories
    asides_at: NDArray[np.int64]
    watermarks: Watermarks
    canary: NDArray[np.bool_] | None = None
    priced: PricedLines = NO_LINES
    prices: Sequence[PriceTable] = ()


class Standing(NamedTuple):
    """States as they were before the events of a round, of customers whose timers may come before these.

    Attributes
    ----------
    slots
        Their positions among the customers, rising.
    states
        Theirs.
    """

    slots: NDArray[np.int64]
    states: States

    @classmethod
    def of(
        cls, states: tuple[States, States], due: NDArray[np.int64], reached: NDArray[np.int64] | int
    ) -> Self:
        """Return those whose timer is ``due`` at a moment that is ``reached``; 0 is no moment.

        Parameters
        ----------
        states
            Of the customers, in two pieces.
        """
        slots = np.flatnonzero((due != 0) & (due <= reached))
        border = np.searchsorted(slots, len(states[0]))
        return cls(
            slots,
            joined([picked(states[0], slots[:border]), picked(states[1], slots[border:] - len(states[0]))]),
        )


class Customers(NamedTuple):
    """Who is decided on.

    Attributes
    ----------
    names
        Their ids.
    parts
        The partition batch of each.
    standing
        What was known before the round of those whose timers come.
    excluded
        Which of them are left out; ``None``: nobody.
    assignees
        Who is assigned by another id; ``None``: nobody.
    """

    names: Sequence[str]
    parts: NDArray[np.int64]
    standing: Standing
    excluded: NDArray[np.bool_] | None = None
    assignees: Assignees | None = None


class Details(NamedTuple):
    """Where actions have from what they tell beside the decision.

    Attributes
    ----------
    zone, currency
        The shop's.
    model_version
        Of the bundle that scores.
    canary_version, has_canary
        Of the bundle that scores some customers, and which these are; ``None``: nobody.
    item_names
        Ids of items by their hashes, as far as they are known: carts hold hashes alone.
    """

    zone: Zone
    currency: str
    model_version: str
    canary_version: str = ""
    has_canary: Callable[[Sequence[str]], NDArray[np.bool_]] | None = None
    item_names: Mapping[int, str] = {}


def actions_of(
    rulebook: Rulebook, moments: Moments, customers: Customers, details: Details, found: Found
) -> tuple[list[Action], list[int], list[int]]:
    """Return what was found as actions, in the order in which they became due; `none` is no action.

    Beside them stand their places and partition batches, see `stream.decisions.decide.Decided`.
    """
    if not len(found):
        return [], [], []
    parts = customers.parts[found["slot"]]
    places = _places(moments, found, parts)
    named = [customers.names[slot] for slot in found["slot"].tolist()]
    order = sorted(
        zip(parts.tolist(), places.tolist(), found["moment"].tolist(), named, range(len(found)), strict=True)
    )
    assigned = _assigned(customers.assignees, moments, named, found)
    arms = [ARMS[arm] for arm in rulebook.assignment.arms(assigned).tolist()]
    versions = _versions(details, moments, named, found["row"])
    known = _Known(rulebook, moments, customers, details, found)
    rows = found[["row", "rule", "moment", "as_of", "intent", "band", "segment"]].tolist()
    segments = [SegmentRef(at, name) for at, name in enumerate(rulebook.segments)]
    experiment, policy_version = rulebook.assignment.name, rulebook.version
    made, stand, whose = [], [], []
    for part, place, _, customer, at in order:
        row, index, moment, as_of, intent, band, segment = rows[at]
        rule = rulebook.rules[index]
        if rule.action == "none":
            continue
        event = None if row == NO_ROW else moments.event_ids[moments.rows[row]]
        stand.append(place)
        whose.append(part)
        made.append(
            Action(  # positional: twice as fast as by name
                _action_id(customer, rule.name, rule.trigger, moment, event),
                customer,
                rule.trigger,
                rule.name,
                rule.action,
                intent,
                BANDS[band],
                segments[segment],
                as_of,
                moment,
                moment + rulebook.expires_ms[index],
                arms[at],
                experiment,
                policy_version,
                versions[at],
                event,
                rule.offer,
                known.items(at, row, rule.trigger),
                known.reasons(at, row),
            )
        )
    return made, stand, whose


def _places(moments: Moments, found: Found, parts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where what was found stands, see `stream.decisions.decide.Decided`."""
    marks, timers = moments.watermarks, found["row"] == NO_ROW
    places = np.zeros(len(found), np.int64)
    places[~timers] = 2 * moments.at[found["row"][~timers]]
    for part in set(parts[timers].tolist()):
        own = np.flatnonzero(timers & (parts == part))
        start, stop = marks.bounds[part : part + 2].tolist()
        moment = found["moment"][own]
        reached = 2 * (start + np.searchsorted(marks.after[start:stop], moment)) + 1
        places[own] = np.where(moment <= marks.first[part], 2 * start - 1, reached)
    return places


def _assigned(
    assignees: Assignees | None, moments: Moments, named: Sequence[str], found: Found
) -> Sequence[str]:
    """Return by which ids customers are assigned: as of the event, of a timer as of the event before it."""
    if assignees is None:
        return named
    known = np.where(found["row"] == NO_ROW, found["latest"], found["row"]).tolist()
    return [
        assignees.of(customer, None if row == NO_ROW else int(moments.rows[row]))
        for customer, row in zip(named, known, strict=True)
    ]


def _versions(
    details: Details, moments: Moments, named: Sequence[str], rows: NDArray[np.int64]
) -> Sequence[str]:
    """Return the bundle that made each score that an action tells: that of the event, or the customer's last one."""
    if details.has_canary is None:
        return [details.model_version] * len(named)
    taken = details.has_canary(named)
    if moments.canary is not None:
        events = rows != NO_ROW
        taken[events] = moments.canary[rows[events]]
    return [details.canary_version if has else details.model_version for has in taken.tolist()]


class _Known:
    """What was known of a customer when an action became due: the items that it is about, and why.

    An event tells its own items and reasons. For a timer there are the items in the cart as of the last score, where
    that is what was left, or those of the cart and the wish list that have become cheaper, and the reasons that were
    remembered, said of what was known as of the last score.
    """

    def __init__(
        self, rulebook: Rulebook, moments: Moments, customers: Customers, details: Details, found: Found
    ) -> None:
        self._moments = moments
        self._names = details.item_names
        self._latest = found["latest"].tolist()
        self._cheaper = found["cheaper"].tolist()
        self._named_by_prices = [
            moments.prices[part].names if moments.prices else {}
            for part in customers.parts[found["slot"]].tolist()
        ]
        self._earlier: dict[int, int] = {}  # those whose last score was made before the round
        earlier = np.flatnonzero((found["row"] == NO_ROW) & (found["latest"] == NO_ROW))
        if len(earlier):
            slots = np.searchsorted(customers.standing.slots, found["slot"][earlier])
            states = picked(customers.standing.states, slots)
            self._earlier.update(zip(earlier.tolist(), range(len(earlier)), strict=True))
            self._carts, self._lines = states["cart_items"], PricedLines.of(states)
            self._vectors = vectors(states, details.zone)
            self._vectors[:, SEGMENT_AT] = found["segment"][earlier]
        events = found["row"][found["row"] != NO_ROW]
        self._of_events = _reasons_of(moments, events.tolist())
        self._remembered = self._of_timers(found, Naming(details.currency, rulebook.segments))

    def items(self, at: int, row: int, trigger: str) -> list[str]:
        """Return the items that what was found is about."""
        if row != NO_ROW:
            return self._moments.items.of(int(self._moments.rows[row]))[:MOST_ITEMS]
        if trigger == "price_dropped":
            return self._cheaper_items(at)
        if trigger not in STARTED:
            return []
        earlier = self._earlier.get(at)
        cart = self._moments.carts[self._latest[at]] if earlier is None else self._carts[earlier]
        newest_first = dict.fromkeys(reversed(cart[cart != 0].tolist()))
        return _named(newest_first, self._names)

    def _cheaper_items(self, at: int) -> list[str]:
        earlier = self._earlier.get(at)
        lines, row = (self._moments.priced, self._latest[at]) if earlier is None else (self._lines, earlier)
        items, added = lines.items[row].tolist(), lines.added[row].tolist()
        cheaper = [line for line in range(len(items)) if self._cheaper[at] >> line & 1]
        newest_first = sorted(cheaper, key=lambda line: (added[line], line), reverse=True)
        return _named(dict.fromkeys(items[line] for line in newest_first), self._named_by_prices[at])

    def reasons(self, at: int, row: int) -> list[ReasonRef]:
        """Return the reasons of the score that what was found tells."""
        return self._of_events.get(row, []) if row != NO_ROW else self._remembered.get(at, [])

    def _of_timers(self, found: Found, naming: Naming) -> dict[int, list[ReasonRef]]:
        """Return by position what is said of the reasons that were remembered."""
        codes, effects = found["reasons"], found["effects"]
        some = np.flatnonzero((found["row"] == NO_ROW) & (codes[:, 0] != 0))
        if not len(some):
            return {}
        rows = [
            self._vectors[self._earlier[at]]
            if at in self._earlier
            else self._moments.vectors[self._latest[at]]
            for at in some.tolist()
        ]
        topics = np.maximum(codes[some].astype(np.intp) - 1, 0)
        told = BOOK.tell(np.stack(rows), topics).tolist()
        counts = np.count_nonzero(codes[some], axis=1).tolist()
        return {
            at: [
                reason_of(BOOK.saying(one, naming), effect_of(effect))
                for one, effect in zip(said[:count], own[:count], strict=True)
            ]
            for at, said, own, count in zip(some.tolist(), told, effects[some].tolist(), counts, strict=True)
        }


def _named(items: Iterable[int], names: Mapping[int, str]) -> list[str]:
    """Return the ids of items by their hashes, as far as they are known and an action tells them."""
    return [names[item] for item in items if item in names][:MOST_ITEMS]


def _reasons_of(moments: Moments, rows: list[int]) -> dict[int, list[ReasonRef]]:
    """Return by row the reasons of these scores."""
    reasons = moments.reasons
    if reasons is None:
        return {}
    if isinstance(reasons, CodedReasons):
        return dict(zip(rows, reasons.of(rows), strict=True))
    return {row: list(reasons[row]) for row in rows}


def _action_id(customer: str, rule: str, trigger: str, moment: int, event: str | None) -> str:
    """Return what names a decision: the same whenever it is made again."""
    return xxh3_128_hexdigest(f"{customer}\0{rule}\0{trigger}\0{moment}\0{event or ''}".encode())
