"""The policy file: its types, and all that can be wrong with it.

What is read here depends on no bundle; `stream.decisions.rulebook` makes of it what scores are held against.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NoReturn, get_args

import msgspec

from features.durations import duration_ms, duration_text, parse_duration
from features.exceptions import IntentError, InvalidDuration
from features.traffic import BotRule
from stream.decisions.conditions import Conditions, conditions_of
from stream.decisions.holdout import DEFAULT_SALT
from stream.decisions.memory import REMEMBERED
from stream.decisions.quiet import WEEKDAYS, minute_of_day
from stream.decisions.reading import A_NAME, NAME, Document, Place, read_document
from stream.decisions.tables import MAX_CAPS, MAX_RULES
from stream.decisions.traffic import Traffic, check_traffic
from stream.exceptions import PolicyError
from stream.messages.action import Trigger
from stream.texts import shortened

#: The longest window of a cap, and the longest silence; memory is not kept for longer than a silent state.
MAX_DAYS: Final = 400

#: Triggers that wait for a silence, with the silence they wait for by default; ``None``: the rule has to say.
SILENCES: Final[dict[Trigger, timedelta | None]] = {
    "cart_abandoned": timedelta(minutes=30),
    "checkout_abandoned": timedelta(minutes=30),
    "session_ended": timedelta(minutes=30),
    "win_back": None,
}
#: The trigger that compares carts with prices.
PRICE_DROPPED: Final = "price_dropped"

_LEAST_DROP: Final = "5%"
_COMPARED_EVERY: Final = "1h"
_SHORTEST_PACE: Final = timedelta(minutes=5)
_LONGEST_PACE: Final = timedelta(days=14)  # as long as a line of a cart lives

_HUNDRED: Final = 100
_PERCENT: Final = re.compile(r"([0-9]{1,2}(?:\.[0-9]{1,3})?) ?%")
_CAP: Final = re.compile(r"([0-9]+) per (\S+)")
_AT_PATH: Final = re.compile(r"(.*?)(?: - at `([^`]*)`)?", re.DOTALL)
_WORDS: Final = {
    "str": "a text", "int": "a whole number", "float": "a number", "array": "a list", "object": "`name: value` pairs",
}  # fmt: skip
_STEP: Final = re.compile(r"\.(\w+)|\[(\d+)\]|\[(\.\.\.)\]")

Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]
QuietMode = Literal["wait", "drop"]


class Bounds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The intent at which a customer enters a band, and the lower one at which they leave it."""

    enter: Probability | None = None
    leave: Probability | None = None


class Quiet(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """When nothing is sent, in the shop's time zone; ``then`` says what becomes of what would have been."""

    from_: str | None = None
    to: str | None = None
    weekdays: list[str] = []
    then: QuietMode = "wait"


class Holdout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who is left alone; the share is that of the settings where the file names none."""

    share: Probability | None = None
    managed: Probability = 0.0
    salt: str = DEFAULT_SALT
    version: str | int | float = "1"


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one action may be, instead of what holds for all: ``caps`` such as ``3 per 7d``."""

    caps: list[str] | None = None
    cooldown: str | None = None
    expires: str | None = None


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be done, when."""

    name: str
    action: str
    when: dict[str, Any] = {}
    trigger: str = "rule_holds"
    after: str | None = None
    by: str | int | float | None = None
    every: str | None = None
    offer: str | None = None
    priority: int = 0
    expires: str | None = None
    quiet: Literal["wait", "drop", "ignore"] | None = None


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that a file says."""

    version: str | int | float
    rules: Annotated[list[Rule], msgspec.Meta(min_length=1, max_length=MAX_RULES)]
    timezone: str | None = None
    bands: dict[Literal["medium", "high"], Bounds] = {}
    caps: list[str] = []
    cooldown: str | None = None
    total: Limits = Limits()
    actions: dict[str, Limits] = {}
    quiet: Quiet | None = None
    holdout: Holdout = Holdout()
    expires: str = "2h"
    traffic: Traffic = Traffic()

    @property
    def ordered(self) -> list[Rule]:
        """The rules by priority, the highest first; of equal ones the first in the file."""
        return sorted(self.rules, key=lambda rule: -rule.priority)

    def conditions(self, rule: Rule) -> Conditions:
        """Return what a rule asks."""
        return conditions_of(rule.when, lambda _: _impossible)

    @property
    def bots(self) -> tuple[BotRule, ...]:
        """The rules by which a machine is known."""
        return tuple(self.traffic.bots)

    def silence_ms(self, rule: Rule) -> int:
        """Return how long a customer must be silent for a rule, 0 where it waits for none."""
        if rule.after is not None:
            return duration_ms(parse_duration(rule.after))
        default = SILENCES.get(rule.trigger)  # type: ignore[call-overload]
        return 0 if default is None else duration_ms(default)

    def least_drop(self, rule: Rule) -> float:
        """Return by which part a price has to drop for a rule, 0 where it asks for no price."""
        return parse_percent(rule.by or _LEAST_DROP) if rule.trigger == PRICE_DROPPED else 0.0

    @property
    def compared_every_ms(self) -> int:
        """How often carts are compared with prices."""
        said = (rule.every for rule in self.rules if rule.every is not None)
        return duration_ms(parse_duration(next(said, _COMPARED_EVERY)))

    def expires_ms(self, rule: Rule) -> int:
        """Return how long an action of a rule may be carried out."""
        limits = self.actions.get(rule.action, Limits())
        return duration_ms(parse_duration(rule.expires or limits.expires or self.expires))

    def caps_of(self, action: str) -> list[tuple[int, int]]:
        """Return the caps of an action as counts and windows (ms); a cool-down is one per its length."""
        limits = self.actions.get(action, Limits())
        caps = self.caps if limits.caps is None else limits.caps
        return _windows(caps, limits.cooldown or self.cooldown)

    def total_caps(self) -> list[tuple[int, int]]:
        """Return the caps of all actions together, as counts and windows (ms)."""
        return _windows(self.total.caps or [], self.total.cooldown)


def read_policy(path: Path) -> Policy:
    """Return the policy in a file.

    Raises
    ------
    PolicyError
        One line: the file, the place, what is wrong there, and what is allowed.
    """
    return _checked(read_document(path))


def parse_policy(text: str, name: str = "policy") -> Policy:
    """Return the policy in a text; ``name`` stands for the file in errors."""
    return _checked(Document(text, name))


def default_text() -> str:
    """Return the policy file that comes with the program."""
    return files("stream.decisions").joinpath("default.yaml").read_text(encoding="utf-8")


def default_policy() -> Policy:
    """Return the policy that holds where the shop has none of its own."""
    return parse_policy(default_text(), "default.yaml")


def parse_cap(text: str) -> tuple[int, int]:
    """Return the count and the window (ms) of a cap.

    Raises
    ------
    ValueError
        It is none, or is out of range.

    Examples
    --------
    >>> parse_cap("3 per 7d")
    (3, 604800000)
    """
    match = _CAP.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no cap; write it as `3 per 7d`")
    count, window = int(match[1]), _checked_duration(match[2])
    if not 1 <= count <= REMEMBERED:
        raise ValueError(f"{count} is out of range for a cap; use 1 to {REMEMBERED}")
    return count, duration_ms(window)


def parse_percent(text: str | float) -> float:
    """Return the part of the whole that a percentage is.

    Raises
    ------
    ValueError
        It is none, or is out of range.

    Examples
    --------
    >>> parse_percent("12.5%")
    0.125
    """
    match = _PERCENT.fullmatch(str(text).strip())
    if match is None or not float(match[1]):
        raise ValueError(f"{text!r} is no percentage from 0.001% to 99.999%; write it as 10%")
    return float(match[1]) / _HUNDRED


def _windows(caps: list[str], cooldown: str | None) -> list[tuple[int, int]]:
    found = [parse_cap(text) for text in caps]
    return found if cooldown is None else [*found, (1, duration_ms(parse_duration(cooldown)))]


def _impossible(sentence: str) -> NoReturn:
    raise AssertionError(sentence)  # the file has been checked


def _checked_duration(text: str) -> timedelta:
    try:
        found = parse_duration(text)
    except InvalidDuration as error:
        raise ValueError(str(error)) from None
    if found > timedelta(days=MAX_DAYS):
        raise ValueError(f"{text!r} is too long; use at most {MAX_DAYS}d")
    return found


def _checked(document: Document) -> Policy:
    if not isinstance(document.value, dict):
        document.fail((), "this is no policy; write `version:` and `rules:`")
    try:
        policy = msgspec.convert(document.value, Policy)
    except msgspec.ValidationError as error:
        place, sentence = _explained(str(error), document.value)
        document.fail(place, sentence)
    _check_words(policy, document)
    _check_durations(policy, document)
    _check_bands(policy, document)
    _check_holdout(policy, document)
    _check_quiet(policy, document)
    _check_triggers(policy, document)
    check_traffic(policy.traffic, document)
    _check_order(policy, document)
    return policy


def _explained(message: str, value: Any) -> tuple[Place, str]:
    """Return where msgspec found something wrong, and the sentence for it."""
    match = _AT_PATH.fullmatch(message)
    said, path = (match[1], match[2] or "$") if match else (message, "$")
    place: list[str | int] = []
    for name, position, _ in _STEP.findall(path):
        if name:
            place.append(name)
        elif position:
            place.append(int(position))
        elif isinstance(value, dict):
            place.append(_misfit(value, _kind_at(place) or Policy))
        value = _inside(value, place[-1]) if place else value
    if found := re.fullmatch(r"Object contains unknown field `(.*)`", said):
        kind = _kind_at(place)
        known = ", ".join(kind.__struct_encode_fields__) if kind else "only what docs/policy.md names"
        return (*place, found[1]), f"there is no {found[1]!r} here; use {known}"
    if found := re.fullmatch(r"Object missing required field `(.*)`", said):
        return tuple(place), f"{found[1]!r} is missing; add it"
    wanted = re.sub("`([^`]*)`", lambda types: _in_words(types[1]), re.sub(", got .*", "", said))
    shown = "nothing" if value is None else shortened(repr(value), 60)
    return tuple(place), f"{shown} cannot be used; {wanted[0].lower()}{wanted[1:]}"


def _misfit(values: dict[str, Any], kind: type[msgspec.Struct]) -> str:
    """Return the first key whose value is not of a kind: msgspec does not say which."""
    for name, value in values.items():
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError:
            return name
    return next(iter(values))


def _in_words(types: str) -> str:
    """Return types of JSON as people call them."""
    return " or ".join(_WORDS.get(name, name) for name in types.split(" | ") if name != "null")


def _inside(value: Any, step: str | int) -> Any:
    try:
        return value[step]
    except (KeyError, IndexError, TypeError):
        return value


def _kind_at(place: list[str | int]) -> type[msgspec.Struct] | None:
    kinds: dict[tuple[str, ...], type[msgspec.Struct]] = {
        (): Policy, ("rules",): Rule, ("bands",): Bounds, ("quiet",): Quiet, ("holdout",): Holdout,
        ("total",): Limits, ("actions",): Limits, ("traffic",): Traffic, ("traffic", "bots"): BotRule,
    }  # fmt: skip
    return kinds.get(tuple(str(step) for step in place[: 2 if place[:1] == ["traffic"] else 1]))


def _check_words(policy: Policy, document: Document) -> None:
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
                ("actions", action), f"no rule has the action {action!r}; use {', '.join(sorted(used))}"
            )


def _check_durations(policy: Policy, document: Document) -> None:
    for place, text in _durations(policy):
        try:
            _checked_duration(text)
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


def _check_bands(policy: Policy, document: Document) -> None:
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


def _check_holdout(policy: Policy, document: Document) -> None:
    holdout = policy.holdout
    if (holdout.share or 0.0) + holdout.managed > 1.0:
        document.fail(
            ("holdout", "managed"), f"{holdout.managed:g} and the share are more than 1 together; use less"
        )


def _check_quiet(policy: Policy, document: Document) -> None:
    if policy.timezone is not None:
        from features.calendar import zone

        try:
            zone(policy.timezone)
        except IntentError as error:
            document.fail(("timezone",), str(error))
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
            document.fail(("quiet", "weekdays", at), f"{day!r} is no weekday; use {', '.join(WEEKDAYS)}")
    if set(quiet.weekdays) == set(WEEKDAYS):
        document.fail(("quiet", "weekdays"), "nothing could ever be sent; leave at least one day")


def _check_triggers(policy: Policy, document: Document) -> None:
    known = get_args(Trigger)
    for at, rule in enumerate(policy.rules):
        place: Place = ("rules", at)
        if rule.trigger not in known:
            document.fail((*place, "trigger"), f"{rule.trigger!r} is no trigger; use {', '.join(known)}")
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
        for field in ("by", "every"):
            if getattr(rule, field) is not None and rule.trigger != PRICE_DROPPED:
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
                f"{paced.name!r} says {paced.every}, and carts are compared for all rules at once; use one of them",
            )
        paced = paced or rule


def _check_order(policy: Policy, document: Document) -> None:
    """Check conditions, and that each rule can come to its turn."""
    known: dict[str, Conditions] = {}
    for at, rule in enumerate(policy.rules):

        def fail(name: str, at: int = at) -> Any:
            return lambda sentence: document.fail(("rules", at, "when", name), sentence)

        known[rule.name] = conditions_of(rule.when, fail)
    before: list[Rule] = []
    for rule in policy.ordered:
        for earlier in before:
            same = earlier.trigger == rule.trigger and policy.silence_ms(earlier) == policy.silence_ms(rule)
            same = same and policy.least_drop(earlier) <= policy.least_drop(rule)
            if same and known[earlier.name].covers(known[rule.name]):
                document.fail(
                    ("rules", policy.rules.index(rule)),
                    f"the rule {rule.name!r} is never reached: {earlier.name!r} comes first and holds wherever it "
                    "does; put it before that one, or ask for less there",
                )
        before.append(rule)


def described(policy: Policy) -> Iterator[str]:
    """Yield the lines that tell people what a policy does."""
    for rule in policy.ordered:
        asked = ", ".join(f"{name}: {_shown(value)}" for name, value in rule.when.items()) or "always"
        silence = policy.silence_ms(rule)
        after = f" after {duration_text(timedelta(milliseconds=silence))}" if silence else ""
        if rule.trigger == PRICE_DROPPED:
            pace = duration_text(timedelta(milliseconds=policy.compared_every_ms))
            after = f" by {_HUNDRED * policy.least_drop(rule):g}%, looked at every {pace}"
        yield f"{rule.name}: {rule.action} ({rule.trigger}{after}; {asked})"


def _shown(value: Any) -> str:
    return " or ".join(map(str, value)) if isinstance(value, list) else str(value)


__all__ = [
    "Policy", "PolicyError", "Rule", "default_policy", "default_text", "described", "parse_cap",
    "parse_policy", "read_policy",
]  # fmt: skip
