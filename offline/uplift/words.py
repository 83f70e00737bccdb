"""What a measurement says, in sentences."""

from __future__ import annotations

import math
from typing import Final

from features.durations import duration_words
from features.sequence import LEAST_BUYERS
from offline.uplift.analysis import CONVERSION, REVENUE, Uplift
from offline.uplift.effects import Effect, Group
from offline.uplift.mismatch import Check

_WHOLE: Final = 0.095


def headline(uplift: Uplift) -> str:
    """Return the one sentence to begin with."""
    if uplift.failed:
        return refusal(uplift.failed[0])
    if not uplift.overall:
        return "No effect can be told yet: " + _nobody(uplift)
    effect = uplift.overall[CONVERSION].at()
    if not effect.known:
        return f"No effect can be told yet: {_too_few(uplift)}"
    if not effect.told:
        return (
            f"No effect can be told yet: of the contacted customers {share(effect.mean_treated)} bought, of those held "
            f"out {share(effect.mean_held_out)}; the truth may be anything {between(effect)}."
        )
    found = f"{change(effect.lift)} often ({between(effect)}, may be looked at any day)"
    return f"Customers who were contacted bought {found}."


def money(uplift: Uplift) -> str | None:
    """Return a sentence about revenue; None where it is not known."""
    sequence = uplift.overall.get(REVENUE)
    if sequence is None:
        return None
    effect, currency = sequence.at(), uplift.payments.currency
    if not effect.known:
        return None
    amounts = f"{effect.mean_treated:,.2f} against {effect.mean_held_out:,.2f} {currency} per customer"
    within = f"between {effect.low:+,.2f} and {effect.high:+,.2f} {currency}"
    if not effect.told:
        return f"Of revenue no effect can be told yet: {amounts}, a difference {within}."
    return f"They spent {change(effect.lift)}: {amounts}, a difference {within}."


def refusal(check: Check) -> str:
    """Return why nothing is compared."""
    whole = check.dimension == "all customers"
    where = f"version {check.level}" if whole else f"{check.dimension} {check.level}"
    return (
        f"No lift is shown: the customers were not divided by chance. The {where} is off: {check.held_out:,} of "
        f"{check.customers:,} customers are in the holdout, and chance would put {check.expected:,.0f} there "
        f"({p_words(check.p_value)})."
    )


def advice(uplift: Uplift) -> list[str]:
    """Return what to look for where the division is off."""
    if not uplift.failed:
        return []
    others = [check.dimension for check in uplift.failed[1:] if check.dimension != uplift.failed[0].dimension]
    found = [
        "Look for records of one arm that were lost or filtered after the assignment, and for a wrong --holdout."
    ]
    if others:
        found.append(f"Also off: {', '.join(dict.fromkeys(others))}.")
    return found


def remarks(uplift: Uplift) -> list[str]:
    """Return what a reader must know of the customers who were compared."""
    who, found, paid = uplift.assigned, uplift.outcomes, uplift.payments
    window = duration_words(uplift.window_ms)
    said = [
        f"A purchase counts within {window} after a customer's first action. {len(found.customers):,} customers have "
        f"been seen to the end of it; {_are(found.open)} still open."
    ]
    if found.unseen:
        said.append(
            f"Left out: {_customers(found.unseen)} whose first action is older than the log of events."
        )
    if who.managed:
        said.append(
            f"{_customers(who.managed)} treated by the shop itself (customer_managed) are compared with nobody."
        )
    if len(uplift.shares) > 1:
        shares = ", ".join(f"{name} {value:.1%}" for name, value in uplift.shares.items())
        said.append(
            f"{len(uplift.shares)} versions of the experiment (held out: {shares}): each is compared for itself and "
            "weighted by its customers."
        )
    if who.later:
        said.append(f"{_customers(who.later)} came under several versions and count under the first one.")
    if who.moved:
        said.append(
            f"{_customers(who.moved)} had actions in both arms of one version, which must not be: see --help."
        )
    if who.crossed:
        said.append(
            f"{_customers(who.crossed)} had actions in both arms, under ids that a login has shown to be one person's. "
            "They stay in the arm of the first action: that makes the measured effect smaller, not biased."
        )
    if who.repeated:
        said.append(f"{who.repeated:,} repeated records (same action_id) were counted once.")
    if paid.currency is None:
        said.append("Scores know of purchases but not of money: revenue needs events.")
    for currency, count in paid.foreign.items():
        said.append(f"{count:,} payments in {currency} count as purchases; their money is left out.")
    if found.refunds:
        said.append(
            f"Revenue is less {found.refunds:,} refunds within the windows ({found.refunded:,.2f} {paid.currency})."
        )
    return said


def share(value: float) -> str:
    """Return a share in per cent.

    Examples
    --------
    >>> share(0.0412), share(0.4)
    ('4.1%', '40%')
    """
    return f"{100 * value:.{0 if abs(value) >= _WHOLE else 1}f}%"


def change(lift: float) -> str:
    """Return a lift as more or less.

    Examples
    --------
    >>> change(0.12), change(-0.031)
    ('12% more', '3.1% less')
    """
    return f"{share(abs(lift))} {'more' if lift >= 0 else 'less'}"


def between(effect: Effect) -> str:
    """Return the interval of a lift.

    Examples
    --------
    >>> between(Effect(9, 9, 0.1, 0.1, 0, -1, 1, 0, -0.031, 0.21, 1, 0, True))
    'between 3.1% less and 21% more'
    """
    low, high = effect.lift_low, effect.lift_high
    if math.isinf(high):
        return f"at least {change(low)}" if low > 0 else f"from {change(low)} upwards"
    if low >= 0:
        return f"between {share(low)} and {share(high)}"
    if high <= 0:
        return f"between {share(-high)} and {share(-low)}"
    return f"between {change(low)} and {change(high)}"


def verdict(found: Effect | Group) -> str:
    """Return what can be told, in a word or two."""
    effect = found.effect if isinstance(found, Group) else found
    if not effect.known:
        return "too few yet"
    return {1: "helps", -1: "harms", 0: "not told yet"}[found.told]


def p_value(value: float) -> str:
    """Return a p-value for people.

    Examples
    --------
    >>> p_value(0.0312), p_value(1e-9)
    ('0.031', '< 0.001')
    """
    return "–" if math.isnan(value) else "< 0.001" if value < 1e-3 else f"{value:.3f}"  # noqa: PLR2004


def p_words(value: float) -> str:
    """Return a p-value within a sentence.

    Examples
    --------
    >>> p_words(0.0312), p_words(1e-9)
    ('p = 0.031', 'p < 0.001')
    """
    text = p_value(value)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def interval(effect: Effect) -> str:
    """Return the interval of a lift in a cell.

    Examples
    --------
    >>> interval(Effect(9, 9, 0.1, 0.1, 0, -1, 1, 0, -0.031, 0.21, 1, 0, True))
    '-3.1 to +21%'
    """
    low, high = (
        "" if math.isinf(end) else f"{100 * end:+.{0 if abs(end) >= _WHOLE else 1}f}"
        for end in (effect.lift_low, effect.lift_high)
    )
    return f"{low} to {high}%" if high else f"{low}% or more"


def _too_few(uplift: Uplift) -> str:
    effect = uplift.overall[CONVERSION].at()
    customers = uplift.outcomes.customers
    buyers = int(customers["bought"].sum())
    smaller = sum(
        float(rows["bought"].sum()) * min(uplift.shares[str(name)], 1 - uplift.shares[str(name)])
        for name, rows in customers.groupby("experiment")
    )
    return (
        f"{buyers:,} of {effect.treated + effect.held_out:,} customers have bought, about {smaller:.0f} of which would "
        f"be in the smaller arm by chance; {LEAST_BUYERS:.0f} are needed."
    )


def _nobody(uplift: Uplift) -> str:
    if not len(uplift.assigned.customers):
        return "no customer was assigned to treatment or holdout."
    window = duration_words(uplift.window_ms)
    return (
        f"of no customer has the window of {window} been seen to its end ({uplift.outcomes.open:,} are open)."
    )


def _customers(count: int) -> str:
    return f"{count:,} customer{'' if count == 1 else 's'}"


def _are(count: int) -> str:
    return f"the window of {_customers(count)} is"
