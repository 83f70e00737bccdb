"""What can be wrong with a policy whose fields are of the right kinds: one check for each part of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final, get_args

import msgspec

from features.bundle import BANDS
from features.durations import parse_duration
from features.exceptions import IntentError
from stream.decisions.conditions import BAND, Conditions, conditions_of
from stream.decisions.policy import (
    PRICE_DROPPED,
    SILENCES,
    Bounds,
    Policy,
    Rule,
    checked_duration,
    parse_cap,
    parse_percent,
)
from stream.decisions.quiet import WEEKDAYS, minute_of_day
from stream.decisions.reading import A_NAME, NAME, Document, Place
from stream.decisions.tables import MAX_CAPS
from stream.messages.action import Trigger
from stream.texts import choices, nearest

_SHORTEST_PACE: Final = timedelta(minutes=5)
_LONGEST_PACE: Final = timedelta(days=14)  # as long as a line of a cart lives, and as prices are kept


def check_words(policy: Policy, document: Document) -> None:
    """Check names and actions, and that no name stands twice."""
    names: set[str] = set()
    for at, rule in enumerate(policy.rules):
        for field in ("name", "action"):
            word = getattr(rule, field)
            if not NAME.fullmatch(word):
                document.fail(
                    ("rules", at, field),
                    f"{word!r} is no name; {A_NAME}",
                )
        if rule.action == "none" and rule.offer is not None:
            document.fail(("rules", at, "offer"), "the action is none; leave the offer out")
        if rule.name in names:
            document.fail(("rules", at, "name"), f"there are two rules {rule.name!r}; rename one")
        names.add(rule.name)
    used = {rule.action for rule in policy.rules}
    for action in policy.actions:
        if action not in used:
            document.fail(
                ("actions", action), f"no rule has the action {action!r}; {choices(action, sorted(used))}"
            )


def check_durations(policy: Policy, document: Document) -> None:
    """Check all durations and caps."""
    for place, text in _durations(policy):
        try:
            checked_duration(text)
        except ValueError as error:
            document.fail(place, str(error))
    for place, caps in _caps(policy):
        for at, cap in enumerate(caps):
            try:
                parse_cap(cap)
            except ValueError as error:
                document.fail((*place, at), str(error))
    actions = {rule.action for rule in policy.rules}
    if sum(len(policy.caps_of(action)) for action in actions) + len(policy.total_caps()) > MAX_CAPS:
        document.fail((), f"there are more than {MAX_CAPS} caps for all actions together; use fewer")


def _durations(policy: Policy) -> Iterator[tuple[Place, str]]:
    places: list[tuple[Place, str | None]] = [
        (("expires",), policy.expires),
        (("cooldown",), policy.cooldown),
        (("total", "cooldown"), policy.total.cooldown),
    ]
    for name, limits in policy.actions.items():
        places += [(("actions", name, field), getattr(limits, field)) for field in ("cooldown", "expires")]
    for at, rule in enumerate(policy.rules):
        places += [(("rules", at, field), getattr(rule, field)) for field in ("after", "expires", "every")]
    return ((place, text) for place, text in places if text is not None)


def _caps(policy: Policy) -> Iterator[tuple[Place, list[str]]]:
    yield ("caps",), policy.caps
    yield ("total", "caps"), policy.total.caps or []
    for name, limits in policy.actions.items():
        yield ("actions", name, "caps"), limits.caps or []


def check_bands(policy: Policy, document: Document) -> None:
    """Check that a band is left below where it is entered."""
    for name, bounds in policy.bands.items():
        if bounds.enter is not None and bounds.leave is not None and bounds.leave > bounds.enter:
            document.fail(
                ("bands", name, "leave"),
                f"{bounds.leave:g} is above enter, {bounds.enter:g}; use at most that",
            )
    medium, high = (policy.bands.get(name, Bounds()) for name in ("medium", "high"))
    for field in ("enter", "leave"):
        low, top = getattr(medium, field), getattr(high, field)
        if low is not None and top is not None and low > top:
            document.fail(
                ("bands", "high", field), f"{top:g} is below that of medium, {low:g}; use at least that"
            )


def check_holdout(policy: Policy, document: Document) -> None:
    """Check that the shares are no more than all customers."""
    holdout = policy.holdout
    if (holdout.share or 0.0) + holdout.managed > 1.0:
        document.fail(
            ("holdout", "managed"), f"{holdout.managed:g} and the share are more than 1 together; use less"
        )


def check_quiet(policy: Policy, document: Document) -> None:
    """Check the quiet time and the time zone."""
    if policy.timezone is not None:
        from zoneinfo import available_timezones

        from features.calendar import zone

        try:
            zone(policy.timezone)
        except IntentError as error:
            near = nearest(policy.timezone, sorted(available_timezones()))
            document.fail(("timezone",), f"{error}{f'; did you mean {near}?' if near else ''}")
    quiet = policy.quiet
    if quiet is None:
        for at, rule in enumerate(policy.rules):
            if rule.quiet is not None:
                document.fail(("rules", at, "quiet"), "the file names no quiet time; add `quiet:` at its top")
        return
    for field, text in (("from", quiet.from_), ("to", quiet.to)):
        if text is not None and minute_of_day(text) is None:
            document.fail(("quiet", field), f"{text!r} is no time of day; write it as 21:00")
    if (quiet.from_ is None) != (quiet.to is None):
        document.fail(("quiet",), "quiet hours have a beginning and an end; name both `from` and `to`")
    if quiet.from_ is not None and quiet.from_ == quiet.to:
        document.fail(("quiet", "to"), f"{quiet.to!r} is also the beginning; use another time")
    for at, day in enumerate(quiet.weekdays):
        if day not in WEEKDAYS:
            document.fail(("quiet", "weekdays", at), f"{day!r} is no weekday; {choices(day, WEEKDAYS)}")
    if set(quiet.weekdays) == set(WEEKDAYS):
        document.fail(("quiet", "weekdays"), "nothing could ever be sent; leave at least one day")


def check_triggers(policy: Policy, document: Document) -> None:
    """Check what rules wait for."""
    known = get_args(Trigger)
    for at, rule in enumerate(policy.rules):
        place: Place = ("rules", at)
        if rule.trigger not in known:
            document.fail(
                (*place, "trigger"), f"{rule.trigger!r} is no trigger; {choices(rule.trigger, known)}"
            )
        if rule.trigger == "win_back" and rule.after is None:
            document.fail(place, "a win-back needs the silence after which it comes; add `after: 30d`")
        if rule.after is not None and rule.trigger not in SILENCES:
            document.fail(
                (*place, "after"), f"{rule.trigger} waits for no silence; use {', '.join(SILENCES)}"
            )
        if rule.trigger == "session_ended" and rule.after is not None:
            document.fail(
                (*place, "after"), "a session ends after 30m, always; leave it out, or use win_back"
            )
        if rule.action == "none" and rule.trigger != "rule_holds":
            document.fail((*place, "action"), "nothing is to be done; name an action, or drop the rule")
    _check_prices(policy, document)


def _check_prices(policy: Policy, document: Document) -> None:
    """Check what rules say of prices, and that all of them compare at one pace."""
    paced: Rule | None = None
    for at, rule in enumerate(policy.rules):
        place: Place = ("rules", at)
        for field in ("by", "every", "of"):
            if getattr(rule, field) not in (None, msgspec.UNSET) and rule.trigger != PRICE_DROPPED:
                document.fail((*place, field), f"{rule.trigger} looks at no price; use {PRICE_DROPPED}")
        if rule.by is not None:
            try:
                parse_percent(rule.by)
            except ValueError as error:
                document.fail((*place, "by"), str(error))
        if rule.every is None:
            continue
        pace = parse_duration(rule.every)
        if not _SHORTEST_PACE <= pace <= _LONGEST_PACE or pace % timedelta(minutes=1):
            document.fail(
                (*place, "every"), f"{rule.every!r} is out of range; use whole minutes from 5m to 14d"
            )
        if paced is not None and parse_duration(paced.every or "") != pace:
            document.fail(
                (*place, "every"),
                f"{paced.name!r} says {paced.every}, and prices are compared for all rules at once; use one of them",
            )
        paced = paced or rule


def check_order(policy: Policy, document: Document) -> None:
    """Check conditions, and that each rule can come to its turn."""
    known: dict[str, Conditions] = {}
    for at, rule in enumerate(policy.rules):

        def fail(name: str, at: int = at) -> Any:
            return lambda sentence: document.fail(("rules", at, "when", name), sentence)

        known[rule.name] = conditions_of(rule.when, fail)
        if rule.trigger == "band_entered" and known[rule.name].bands == 1:
            fail(BAND)(f"no customer comes into {BANDS[0]} from below; use {', '.join(BANDS[1:])}")
    before: list[Rule] = []
    for rule in policy.ordered:
        for earlier in before:
            same = earlier.trigger == rule.trigger and policy.silence_ms(earlier) == policy.silence_ms(rule)
            same = same and policy.least_drop(earlier) <= policy.least_drop(rule)
            same = same and policy.lines(rule) & ~policy.lines(earlier) == 0
            if same and known[earlier.name].covers(known[rule.name]):
                document.fail(
                    ("rules", policy.rules.index(rule)),
                    f"the rule {rule.name!r} is never reached: {earlier.name!r} comes first and holds wherever it "
                    "does; put it before that one, or ask for less there",
                )
        before.append(rule)
