"""From events to scores, without Kafka and Redis: what the worker and `intent score` both run.

::

    columns, arrivals ──► admit (watermark) ──► states of the customers ──► fold ──► segment, network, band ──► action
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.bundle import Bundle
from features.calendar import Zone, zone
from features.columns import EventColumns, from_events
from features.distinct import distinct
from features.events import Event
from features.fold import NO_ASIDES, Asides, FoldStatus, fold
from features.partition import partitions_of
from features.priced_lines import NO_LINES, PricedLines
from features.state import States, empty
from features.text_column import TextColumn
from features.traffic import CUSTOMER
from features.vector import Vectors, vectors
from features.watermark import BEGINNING, Verdicts, judge
from stream.decisions.assignees import Assignees, Assigning
from stream.decisions.following import (
    FollowedExclusions,
    FollowedPolicy,
    NobodyExcluded,
    PolicyInForce,
    followed,
    followed_exclusions,
)
from stream.decisions.holding import ScoredRows
from stream.decisions.holdout import HOLDOUT, TREATMENT
from stream.decisions.rulebook import Rulebook, default_rulebook
from stream.exceptions import SettingsError
from stream.messages.score import ReasonRef
from stream.scoring.canary import CanaryBundle, CanaryScores
from stream.scoring.explaining import Explaining
from stream.setting_values import ReasonBands
from stream.settings import Settings

if TYPE_CHECKING:
    from stream.learning.model.advisor import Advisor

logger = logging.getLogger(__name__)

_NOTHING: Final = np.zeros(0, np.int64)


class Scored(NamedTuple):
    """The scored events of a batch: ``rows`` are positions in the batch, the rest is aligned with ``rows``."""

    rows: NDArray[np.intp]
    as_of: NDArray[np.int64]
    segment: NDArray[np.int64]
    vectors: Vectors
    logit: NDArray[np.float64]  # of the network, before calibration
    network: NDArray[np.float64]  # its calibrated probability
    online: NDArray[np.float64] | None  # the online model's; None until there is one
    probability: NDArray[np.float64]  # the published one
    band: NDArray[np.uint8]
    action: NDArray[np.uint8]  # index into the actions of `rulebook`
    holdout: NDArray[np.bool_]
    duplicates: int
    rulebook: Rulebook  # by which the action was chosen
    traffic: NDArray[np.uint8]  # whose the event is: a code of `features.traffic.TRAFFIC`
    excluded: frozenset[str] = frozenset()  # customers who are left out
    reasons: Sequence[list[ReasonRef]] | None = None  # None: no score has any
    canary: CanaryScores | None = None  # of whom network, probability, band and reasons are in part
    held: NDArray[np.int64] = _NOTHING  # rules of `rulebook` that hold as bits, whatever the band
    carts: NDArray[np.uint64] = _NOTHING.view(np.uint64)  # the items in the cart, as hashes
    priced: PricedLines = NO_LINES  # what may be compared with prices, where a policy asks for that
    left_out: NDArray[np.bool_] | None = None  # which of the batch's customers are `excluded`; None: nobody
    assignees: Assignees | None = None  # who is assigned by another id; None: nobody

    @property
    def of_customers(self) -> NDArray[np.bool_]:
        """Which events are a customer's, not a machine's and not of the shop's own people."""
        own: NDArray[np.bool_] = self.traffic == CUSTOMER
        return own


class VectorRows(NamedTuple):
    """Vectors that are to be scored, and what their scores need besides."""

    at: NDArray[np.intp]  # their positions in the batch
    as_of: NDArray[np.int64]
    vectors: Vectors  # the segment column is filled in place
    carts: NDArray[np.uint64]
    slots: NDArray[np.int64]  # of each the position of its customer
    bot: NDArray[np.bool_]  # whether the event says that a machine caused it
    name: Callable[[int], str]  # how an error calls one of them


class NoProbability(ArithmeticError):
    """A model says of an event what is no probability: it must not be published."""


@dataclass(frozen=True, slots=True)
class Engine:
    """Scores batches of events with one bundle.

    Parameters
    ----------
    bundle
        The models; also says in which time zone and currency events are read.
    lateness_ms, ttl_ms
        How late an event may be, and how long a silent state lives (event time).
    holdout
        Share of customers (0 to 1) that get no action, where the policy names none.
    policy
        Says what is to be done; the default policy where nothing is given.
    reasons
        Which bands' scores carry reasons.
    exclusions
        Says which customers are left out.
    canary
        Makes the scores of some customers; ``None`` where the bundle makes all.
    """

    bundle: Bundle
    lateness_ms: int
    ttl_ms: int
    holdout: float
    policy: PolicyInForce | FollowedPolicy | None = None
    reasons: ReasonBands = "off"
    exclusions: NobodyExcluded | FollowedExclusions = NobodyExcluded()
    canary: CanaryBundle | None = None

    def __post_init__(self) -> None:
        if self.policy is None:
            default = PolicyInForce(default_rulebook(self.bundle, self.holdout))
            object.__setattr__(self, "policy", default)

    @property
    def rulebook(self) -> Rulebook:
        """The policy in force at this moment."""
        assert self.policy is not None  # see __post_init__
        return self.policy.current

    @property
    def zone(self) -> Zone:
        """The shop's time zone."""
        return zone(self.bundle.manifest.timezone)

    def admit(self, times: NDArray[np.int64], arrivals: NDArray[np.int64], watermark: int) -> Verdicts:
        """Judge a partition's next events against its watermark."""
        return judge(times, arrivals, watermark, self.lateness_ms)

    def score(
        self,
        columns: EventColumns,
        customers: list[str],
        slots: NDArray[np.int64],
        states: States,
        advisor: Advisor | None = None,
        asides: Asides = NO_ASIDES,
        *,
        assigning: Assigning | None = None,
        with_prices: bool = False,
    ) -> Scored:
        """Fold admitted events into ``states``, in place, and score them.

        Parameters
        ----------
        columns
            Events in order of arrival.
        customers
            Distinct customers; ``states[k]`` is the state of ``customers[k]``.
        slots
            For each event the position of its customer.
        advisor
            What was learned online; the network decides alone if there is none.
        asides
            States that are handed over or merged (`features.fold.Asides`).
        assigning
            Finds by which ids customers are assigned to arms; everybody by the own id if there is none.
        with_prices
            Whether lines and their prices are wanted that the policy in force does not ask for.

        Raises
        ------
        NoProbability
            A score is not a number from 0 to 1.
        """
        rulebook = self.rulebook  # once: it may change at any moment
        folded = fold(
            states,
            slots,
            columns,
            zone=self.zone,
            ttl_ms=self.ttl_ms,
            with_carts=True,
            with_prices=with_prices or rulebook.compares_prices,
            asides=asides,
        )
        rows = np.flatnonzero(folded.status == FoldStatus.FOLDED)
        everything = len(rows) == len(slots)
        scored = self.score_vectors(
            VectorRows(
                rows,
                folded.as_of[rows],
                folded.vectors if everything else folded.vectors[rows],
                folded.carts if everything else folded.carts[rows],
                slots[rows],
                columns.bot[rows],
                lambda at: f"event {columns.event_ids[rows[at]]!r}",
            ),
            customers,
            advisor,
            rulebook,
            None if assigning is None else assigning.assignees(customers, slots, asides, folded.first_times),
        )
        return scored._replace(
            duplicates=int(np.count_nonzero(folded.status == FoldStatus.DUPLICATE)),
            priced=folded.priced if everything else folded.priced.take(rows),
        )

    def score_states(
        self,
        states: States,
        customers: list[str],
        advisor: Advisor | None = None,
        assigned: Sequence[str] | None = None,
    ) -> Scored:
        """Score customers as of their last events, without another one: as those events were scored.

        Only what an event says of itself is not known any more, that a machine caused it.

        Parameters
        ----------
        states, customers
            ``states[k]`` is the state of ``customers[k]``, and not empty.
        advisor
            As with `score`.
        assigned
            By which id each customer is assigned to an arm; by default the own one.

        Raises
        ------
        NoProbability
            A score is not a number from 0 to 1.
        """
        slots = np.arange(len(states))
        rows = VectorRows(
            slots,
            states["last_time"].astype(np.int64),
            vectors(states, self.zone),
            states["cart_items"],
            slots,
            np.zeros(len(states), np.bool_),
            lambda at: f"customer {customers[at]!r}",
        )
        assignees = None if assigned is None else Assignees.each(assigned)
        return self.score_vectors(rows, customers, advisor, self.rulebook, assignees)

    def score_vectors(
        self,
        rows: VectorRows,
        customers: list[str],
        advisor: Advisor | None,
        rulebook: Rulebook,
        assignees: Assignees | None = None,
    ) -> Scored:
        """Say all that a score says, of vectors alone; see `score`."""
        excluded = self.exclusions.current
        said = self.bundle.score(rows.vectors)
        online, probability, band = None, said.probability, said.band
        if advisor is not None:
            online, probability = advisor.advise(rows.vectors, said.logit, said.segment)
            band = self.bundle.bands(probability)
        staff = excluded_of(customers, excluded)
        traffic = rulebook.bots.traffic(rows.vectors, rows.bot, None if staff is None else staff[rows.slots])
        apart = traffic != CUSTOMER
        reasons: Sequence[list[ReasonRef]] | None = Explaining(self.bundle, self.reasons).reasons(
            rows.vectors, said.logit, said.segment, band, advisor, apart
        )
        network, canary = said.probability, None
        if self.canary is not None:
            taken = self.canary.has(customers)[rows.slots]
            canary = self.canary.score(rows.vectors, taken, self.reasons, apart)
            network = canary.over(network, canary.probability)
            probability = canary.over(probability, canary.probability)
            band, reasons = canary.over(band, canary.band), canary.over_reasons(reasons)
        for said_of_rows in (network, online, probability):
            if said_of_rows is not None:
                _check_probabilities(said_of_rows, rows.name)
        assignment = rulebook.assignment
        if assignees is None:
            arms = assignment.arms(customers)[rows.slots]
        else:
            arms = assignees.arms(assignment, customers, rows.slots, rows.at)
        held = rulebook.held(ScoredRows(rows.vectors, probability, said.segment, reasons))
        return Scored(
            rows.at,
            rows.as_of,
            said.segment,
            rows.vectors,
            said.logit,
            network,
            online,
            probability,
            band,
            rulebook.choose(held, band, apart | (arms != TREATMENT)),
            arms == HOLDOUT,
            0,
            rulebook,
            traffic,
            excluded,
            reasons,
            canary,
            held,
            rows.carts,
            left_out=staff,
            assignees=assignees,
        )

    def score_nothing(self) -> tuple[EventColumns, Scored]:
        """Return an empty batch, and what is said of it."""
        columns = from_events([], self.bundle.manifest.currency)
        return columns, self.score(columns, [], np.zeros(0, np.int64), empty(0))

    def warm_up(self) -> None:
        """Compile what is compiled at first use (seconds, once per machine), before events wait for it."""
        event = Event(event_id="e", type="view_item", customer_id="c", event_time=1)
        columns = from_events([event], self.bundle.manifest.currency)
        partitions_of([b"c"], 1)
        self.admit(columns.time, columns.time, BEGINNING)
        explaining = replace(self, reasons="off" if self.reasons == "off" else "all")
        explaining.score(columns, ["c"], np.zeros(1, np.int64), empty(1))


def _check_probabilities(found: NDArray[np.float64], name: Callable[[int], str]) -> None:
    wrong = np.flatnonzero(~((found >= 0.0) & (found <= 1.0)))
    if len(wrong):
        raise NoProbability(
            f"the model says {found[wrong[0]]} of {name(int(wrong[0]))}, which is no probability"
        )


def engine_of(settings: Settings, bundle: Bundle) -> Engine:
    """Return the engine that scores with ``bundle`` as the settings say.

    Raises
    ------
    SettingsError
        The settings name another currency or time zone than the bundle was trained for, or a bad file
        of the policy or of excluded customers.
    """
    for name in ("currency", "timezone"):
        wanted, trained = getattr(settings, name), getattr(bundle.manifest, name)
        if wanted is not None and wanted != trained:
            raise SettingsError(
                f"INTENT_{name.upper()} is {wanted}, but the bundle was trained for {trained}: "
                "unset it, or train again"
            )
    if bundle.explainer is None and settings.reasons != "off":
        logger.warning(
            "the bundle is from before scores carried reasons, so they carry none: train again with `intent train`"
        )
    return Engine(
        bundle,
        lateness_ms=settings.lateness_ms,
        ttl_ms=settings.state_ttl_ms,
        holdout=settings.holdout,
        policy=followed(settings.policy, bundle, settings.holdout),
        reasons=settings.reasons,
        exclusions=followed_exclusions(settings.excluded_customers),
    )


def excluded_of(customers: Sequence[str], excluded: frozenset[str]) -> NDArray[np.bool_] | None:
    """Return which customers are left out; ``None`` where nobody is."""
    if not excluded:
        return None
    return np.fromiter((customer in excluded for customer in customers), np.bool_, len(customers))


def slots_of(customers: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Return the distinct customers in order of appearance, and for each event the position of its customer."""
    if isinstance(customers, TextColumn):
        firsts, numbers = distinct(customers)
        return list(customers.take(firsts)), numbers
    positions: dict[str, int] = {}
    slots = np.fromiter(
        (positions.setdefault(customer, len(positions)) for customer in customers), np.int64, len(customers)
    )
    return list(positions), slots
