"""The action: what is to be done about a customer now, or what would be if the customer were not held out."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from stream.messages.score import Band, Probability, ReasonRef, SegmentRef

Trigger = Literal[
    "band_entered",
    "rule_holds",
    "cart_abandoned",
    "checkout_abandoned",
    "session_ended",
    "price_dropped",
    "win_back",
]
#: Items that an action names, at most.
MOST_ITEMS: Final = 8

Arm = Literal["treatment", "holdout", "customer_managed"]


class Action(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The value of a record in the actions topic: one when something is to be done. Times are epoch milliseconds.

    After a crash an action may come again; it then has the same ``action_id``, by which a reader drops it.

    Attributes
    ----------
    action_id
        Names the decision: made from the customer, the rule and the moment.
    trigger
        What made it due.
    rule
        The policy's rule, by its name.
    action
        What to do, in the policy's words.
    purchase_intent, band, segment, reasons
        What the customer's last score said, as of ``as_of``.
    as_of
        The latest event of the customer that was known.
    decided_at
        The moment in event time at which the action became due: that of the event, or of the timer.
    expires_at
        After this it is too late to act.
    arm
        Only ``treatment`` is to be carried out. ``holdout`` says what would have been done: without it no effect can be
        measured. ``customer_managed`` are customers whom the shop itself treats, or leaves alone.
    experiment
        Version of the assignment to arms: its salt and its share.
    event_id
        The event that made it due; absent where a timer did.
    offer
        What to offer; absent where the policy names nothing.
    items
        What it is about, eight items at most: those of the event that made it due, or those in the cart that was left,
        newest first, as far as the offers in Redis know their ids. Absent where there are none.
    """

    action_id: str
    customer_id: str
    trigger: Trigger
    rule: str
    action: str
    purchase_intent: Probability
    band: Band
    segment: SegmentRef
    as_of: int
    decided_at: int
    expires_at: int
    arm: Arm
    experiment: str
    policy_version: str
    model_version: str
    event_id: str | None = None
    offer: str | None = None
    items: Annotated[list[str], msgspec.Meta(max_length=MOST_ITEMS)] = []
    reasons: list[ReasonRef] = []


decode_action = msgspec.json.Decoder(Action).decode
