"""A policy put to one bundle: which rules hold for scores, which action they say, and the tables of the kernels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest, xxh32_intdigest

from features.bundle import BANDS, Bundle
from features.calendar import zone
from features.durations import duration_text
from features.state import MINUTE_MS
from features.traffic import BotRules
from stream.decisions.conditions import SEGMENT, Conditions
from stream.decisions.holding import Asked, ScoredRows, first_of
from stream.decisions.holdout import Assignment
from stream.decisions.policy import PRICE_DROPPED, SILENCES, Bounds, Policy, Rule
from stream.decisions.policy_file import default_policy
from stream.decisions.quiet import minute_of_day, quiet_minutes
from stream.decisions.tables import DROP, IGNORE, TABLES, WAIT, QuietTime, Table
from stream.exceptions import PolicyError
from stream.texts import nearest

#: The action of a score for which no rule holds.
NO_ACTION: Final = 0

# A customer leaves a band at this part of what it takes to enter it, where the policy says nothing: .15 for .20.
_LEAVE: Final = 0.75

_QUIET: Final = {None: IGNORE, "ignore": IGNORE, "wait": WAIT, "drop": DROP}


@dataclass(frozen=True)
class Rulebook:
    """What a policy means for the scores of one bundle.

    Parameters
    ----------
    policy
        What the file says.
    segments
        Names of the bundle's segments, in the order of their ids.
    thresholds
        At which intent the bundle's bands medium and high begin.
    timezone
        The shop's, where the policy names none.
    share
        Of the holdout, where the policy names none.
    """

    policy: Policy
    segments: tuple[str, ...]
    thresholds: tuple[float, float]
    timezone: str
    share: float

    @classmethod
    def of(cls, policy: Policy, bundle: Bundle, share: float) -> Rulebook:
        """Return what a policy means for a bundle.

        Raises
        ------
        PolicyError
            Its bands do not fit those of the bundle.
        """
        manifest = bundle.manifest
        thresholds = manifest.band_thresholds["medium"], manifest.band_thresholds["high"]
        names = tuple(segment.name for segment in bundle.segmenter.segments)
        found = cls(policy, names, thresholds, manifest.timezone, share)
        medium, high = found.tables["enter"].tolist()
        if medium > high:
            raise PolicyError(
                f"policy {policy.version}: medium begins at {medium:g}, above high, {high:g}; name both under `bands`"
            )
        return found

    @cached_property
    def version(self) -> str:
        """The version that the file names, and a hash of all that it says."""
        return policy_version(self.policy)

    @cached_property
    def rules(self) -> list[Rule]:
        """The rules by priority."""
        return self.policy.ordered

    @cached_property
    def conditions(self) -> list[Conditions]:
        """What each of the rules asks."""
        return [self.policy.conditions(rule) for rule in self.rules]

    @cached_property
    def bots(self) -> BotRules:
        """The rules by which a machine is known."""
        return BotRules.of(self.policy.bots)

    @cached_property
    def actions(self) -> tuple[str, ...]:
        """The names of actions that scores carry: first that there is none, then those of the rules."""
        return tuple(dict.fromkeys(["none", *(rule.action for rule in self.rules)]))

    @cached_property
    def assignment(self) -> Assignment:
        """How customers are assigned to the arms."""
        held = self.policy.holdout
        share = self.share if held.share is None else held.share
        return Assignment(held.salt, str(held.version), share, min(held.managed, 1.0 - share))

    def warnings(self) -> Iterator[str]:
        """Yield what is no error, and probably not what was meant: segments that the bundle has not."""
        known = {*self.segments, *map(str, range(len(self.segments)))}
        for rule, asked in zip(self.rules, self.conditions, strict=True):
            for name in sorted(asked.words.get(SEGMENT, frozenset()) - known):
                near = nearest(name, self.segments)
                meant = f" (did you mean {near}?)" if near else ""
                yield (
                    f"the rule {rule.name!r} names the segment {name!r}, which the bundle has not{meant}: "
                    f"it has {', '.join(self.segments)}"
                )

    def held(self, rows: ScoredRows) -> NDArray[np.int64]:
        """Return for each score the rules that hold as bits, whatever the band."""
        return self.asked.held(rows)

    def choose(
        self, held: NDArray[np.int64], band: NDArray[np.uint8], left_alone: NDArray[np.bool_]
    ) -> NDArray[np.uint8]:
        """Return for each score the index into `actions`: that of the first rule that holds in the score's band.

        Parameters
        ----------
        held
            What `held` returns.
        left_alone
            Whose scores carry no action.
        """
        chosen = np.full(len(band), NO_ACTION, np.uint8)
        first_of(held, band, self._band_bits, self._level, self._actions_of_rules, left_alone, chosen)
        return chosen

    @cached_property
    def asked(self) -> Asked:
        """What the rules ask, as kernels read it."""
        return Asked.of(self.conditions, [rule.trigger for rule in self.rules], self.segments)

    @cached_property
    def _band_bits(self) -> NDArray[np.int64]:
        return np.array(self.tables["band_bits"])

    @cached_property
    def _level(self) -> int:
        return int(self.tables["level"])

    @cached_property
    def _actions_of_rules(self) -> NDArray[np.uint8]:
        return np.array([self.actions.index(rule.action) for rule in self.rules], np.uint8)

    @cached_property
    def tables(self) -> Table:
        """The policy as the kernels read it."""
        rules, policy = self.rules, self.policy
        hashes = {action: action_hash(action) for action in self.actions}
        caps = [(hashes[a], *cap) for a in self.actions[1:] for cap in policy.caps_of(a)]
        caps += [(0, *cap) for cap in policy.total_caps()]
        counted = {action for action, _, _ in caps}
        made = np.zeros(1, TABLES)
        t, count = made[0], len(rules)
        t["rules"], t["count"] = self._rules_hash(), count
        t["level"], t["entered"] = self._bits("rule_holds"), self._bits("band_entered")
        t["silent"] = self._bits(*SILENCES)
        t["priced"] = self._bits(PRICE_DROPPED)
        t["least_drop"][:count] = [policy.least_drop(rule) for rule in rules]
        t["lines"][:count] = [policy.lines(rule) for rule in rules]
        t["every"] = policy.compared_every_ms // MINUTE_MS
        t["after"][:count] = [policy.silence_ms(rule) for rule in rules]
        t["band_bits"] = [
            sum(1 << at for at, asked in enumerate(self.conditions) if asked.bands >> band & 1)
            for band in range(len(BANDS))
        ]
        t["enter"], t["leave"] = self._bounds()
        t["quiet"][:count] = [self._quiet_of(rule) for rule in rules]
        t["any_quiet"] = policy.quiet is not None
        t["actions"][:count] = [hashes[rule.action] for rule in rules]
        t["capped"][:count] = [
            rule.action != "none" and bool(counted & {0, hashes[rule.action]}) for rule in rules
        ]
        t["caps"], t["longest"] = len(caps), max((window for _, _, window in caps), default=0)
        for column, field in enumerate(("cap_actions", "cap_counts", "cap_windows")):
            t[field][: len(caps)] = [cap[column] for cap in caps]
        return t

    @cached_property
    def has_timers(self) -> bool:
        """Whether anything is ever due at another moment than that of an event."""
        tables = self.tables
        return bool(tables["silent"] or tables["priced"]) or bool((tables["quiet"] == WAIT).any())

    @cached_property
    def compares_prices(self) -> bool:
        """Whether any rule asks what the items in carts or on wish lists cost now."""
        return bool(self.tables["priced"])

    @cached_property
    def quiet_time(self) -> QuietTime:
        """When it is quiet, in the shop's zone."""
        local = zone(self.policy.timezone or self.timezone)
        return QuietTime(self._quiet_minutes(), local.changes_ms, local.offsets_ms)

    @cached_property
    def expires_ms(self) -> list[int]:
        """How long the actions of each rule may be carried out."""
        return [self.policy.expires_ms(rule) for rule in self.rules]

    def _bits(self, *triggers: str) -> int:
        return sum(1 << at for at, rule in enumerate(self.rules) if rule.trigger in triggers)

    def _rules_hash(self) -> int:
        """Return a hash of what a memory means: names, triggers, conditions, silences and paces of the rules."""
        meant: list[object] = [
            (rule.name, rule.action, rule.trigger, sorted(map(str, rule.when.items())), self.policy.silence_ms(rule))
            for rule in self.rules
        ]  # fmt: skip
        if self._bits(PRICE_DROPPED):
            meant.append(self.policy.compared_every_ms)
        return (xxh3_64_intdigest(repr(meant).encode()) >> 1) | 1

    def _bounds(self) -> tuple[Sequence[float], Sequence[float]]:
        enter, leave = [], []
        for name, threshold in zip(BANDS[1:], self.thresholds, strict=True):
            bounds = self.policy.bands.get(name, Bounds())  # type: ignore[arg-type]
            entered = threshold if bounds.enter is None else bounds.enter
            left = _LEAVE * entered if bounds.leave is None else min(bounds.leave, entered)
            enter.append(entered)
            leave.append(left)
        return enter, leave

    def _quiet_of(self, rule: Rule) -> int:
        quiet = self.policy.quiet
        return IGNORE if quiet is None else _QUIET[rule.quiet or quiet.then]

    def _quiet_minutes(self) -> NDArray[np.int64]:
        quiet = self.policy.quiet
        if quiet is None:
            return quiet_minutes(None, None, ())
        begin = None if quiet.from_ is None else minute_of_day(quiet.from_)
        end = None if quiet.to is None else minute_of_day(quiet.to)
        return quiet_minutes(begin, end, quiet.weekdays)


def policy_version(policy: Policy) -> str:
    """Return the version that the file names, and a hash of all that it says."""
    digest = xxh32_intdigest(msgspec.json.encode(policy, order="deterministic"))
    return f"{policy.version}-{digest:08x}"


def default_rulebook(bundle: Bundle, share: float) -> Rulebook:
    """Return what the default policy means for a bundle."""
    return Rulebook.of(default_policy(), bundle, share)


def action_hash(action: str) -> int:
    """Return what stands for an action in a customer's memory."""
    return xxh32_intdigest(action.encode()) or 1


def summary(rulebook: Rulebook) -> Iterator[str]:
    """Yield the lines on what holds for all rules: bands, caps, quiet time and holdout."""
    policy, tables = rulebook.policy, rulebook.tables
    for name, enter, leave in zip(BANDS[1:], tables["enter"].tolist(), tables["leave"].tolist(), strict=True):
        yield f"band {name}: entered at {enter:.3g}, left below {leave:.3g}"
    for action in rulebook.actions[1:]:
        if caps := policy.caps_of(action):
            yield f"caps of {action}: {_caps_text(caps)}"
    if caps := policy.total_caps():
        yield f"caps of all actions together: {_caps_text(caps)}"
    if (quiet := policy.quiet) is not None:
        hours = "" if quiet.from_ is None else f" from {quiet.from_} to {quiet.to}"
        days = f" on {', '.join(quiet.weekdays)}" if quiet.weekdays else ""
        join = " and" if hours and days else ""
        yield (
            f"quiet{hours}{join}{days}, {policy.timezone or rulebook.timezone}: actions "
            f"{'wait' if quiet.then == 'wait' else 'are dropped'}"
        )
    assignment = rulebook.assignment
    managed = f", managed by the shop {assignment.managed:.3g}" if assignment.managed else ""
    yield f"holdout: {assignment.holdout:.3g}{managed} (experiment {assignment.name})"


def _caps_text(caps: Sequence[tuple[int, int]]) -> str:
    return ", ".join(f"{count} per {duration_text(timedelta(milliseconds=window))}" for count, window in caps)
