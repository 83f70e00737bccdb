"""From scores to actions: the same however the log is cut, never above a cap, and never to somebody who bought."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.events import Event
from features.state import empty
from features.vector import COLUMN_NAMES
from features.watermark import BEGINNING
from stream.decisions.decide import Decided
from stream.decisions.memory import Reasons, blank, effect_of
from stream.decisions.rulebook import Rulebook
from stream.messages.action import Action
from stream.messages.score import ReasonRef
from tests.features.histories import DAY, HOUR, MINUTE, MONDAY
from tests.stream.decisions.logs import LATENESS, NAMES, Log, batch, decided, log_of, logs, rulebook_of

ABANDONED = """
version: 1
rules:
  - {name: cart, trigger: cart_abandoned, action: remind, when: {intent: at least 0.2}}
"""
EVERYTHING = """
version: 1
timezone: Europe/Berlin
bands: {medium: {enter: 0.2, leave: 0.15}, high: {enter: 0.5, leave: 0.4}}
caps: [1 per 1h, 3 per 2d]
total: {caps: [2 per 4h, 6 per 7d]}
actions:
  remind: {cooldown: 5h}
  news: {caps: []}
quiet: {from: 21:00, to: 08:00, weekdays: [sunday], then: %s}
rules:
  - {name: nothing, action: none, when: {session_purchase: more than 1}}
  - {name: checkout, trigger: checkout_abandoned, action: help, when: {intent: at least 0.1}}
  - {name: cart, trigger: cart_abandoned, action: remind, priority: -1}
  - {name: over, trigger: session_ended, action: news, when: {band: high}}
  - {name: back, trigger: win_back, after: 8h, action: come_back, quiet: drop}
  - {name: medium, trigger: band_entered, action: news, when: {band: medium}, quiet: ignore}
  - {name: high, trigger: band_entered, action: help, when: {band: high}}
  - {name: filled, action: remind, when: {band: [medium, high], cart_items: more than 0}}
  - {name: empty, action: show, when: {band: [medium, high]}}
"""
POLICIES = st.sampled_from(["wait", "drop"]).map(lambda then: rulebook_of(EVERYTHING % then))
CUTS = st.lists(st.integers(0, 40), max_size=6)
AT = {name: at for at, name in enumerate(COLUMN_NAMES)}


@settings(max_examples=80, deadline=None)
@given(log=logs(), rulebook=POLICIES, cuts=CUTS)
def test_a_log_may_be_cut_anywhere(log: Log, rulebook: Rulebook, cuts: list[int]) -> None:
    whole, memories, counts = decided(rulebook, log)
    ends = sorted(min(cut, len(log.times)) for cut in cuts)
    for some in (ends, list(range(1, len(log.times)))):
        pieces, left, counted = decided(rulebook, log, some)
        assert pieces == whole
        assert left.tobytes() == memories.tobytes()
        assert counted.tolist() == counts.tolist()


@settings(max_examples=80, deadline=None)
@given(log=logs(), rulebook=POLICIES, cuts=CUTS, hours=st.sampled_from((1, 7, 9, 30)))
def test_whether_the_silent_are_swept_in_time_makes_no_difference(
    log: Log, rulebook: Rulebook, cuts: list[int], hours: int
) -> None:
    ends = sorted(min(cut, len(log.times)) for cut in cuts)
    kept, left, counts = decided(rulebook, log, ends, hours * HOUR)
    swept, after, counted = decided(rulebook, log, ends, hours * HOUR, sweep=True)
    assert kept == swept
    assert counted.tolist() == counts.tolist()
    alive = after["as_of"] > 0
    assert left[alive].tobytes() == after[alive].tobytes()


def test_who_is_silent_for_longer_than_states_live_is_forgotten() -> None:
    rules = """
version: 1
caps: [1 per 20d]
rules:
  - {name: back, trigger: win_back, after: 3d, action: come_back}
  - {name: always, action: show}
"""
    day = 24 * 60
    times = [(0, "ada"), (3.5, "bob"), (4, "ada"), (8, "ada")]
    events = [view(at, int(days * day), name) for at, (days, name) in enumerate(times)]
    log = log_of(events, [MONDAY + int(days * DAY) for days, _ in times], [0.1] * 4)
    told = {}
    for days in (2, 5):
        actions, *_ = decided(rulebook_of(rules), log, (), days * DAY)
        own = [action for action in actions if action.customer_id == "ada"]
        told[days] = [(action.rule, (action.decided_at - MONDAY) / DAY) for action in own]
    assert told[5] == [("always", 0.0), ("back", 3.0)], "a rule that holds on is silent"
    assert told[2] == [("always", 0.0), ("always", 4.0), ("always", 8.0)], (
        "three new customers, and none is won back"
    )


@settings(max_examples=80, deadline=None)
@given(log=logs(longest=60), rulebook=POLICIES)
def test_no_cap_is_exceeded_and_nothing_is_sent_in_the_quiet_time(log: Log, rulebook: Rulebook) -> None:
    actions, _, counts = decided(rulebook, log)
    assert len({action.action_id for action in actions}) == len(actions)
    assert len({(a.customer_id, a.decided_at, a.event_id) for a in actions}) == len(actions)
    for name in NAMES:
        own = [action for action in actions if action.customer_id == name]
        assert sorted(own, key=lambda action: action.decided_at) == own
        counted = [a for a in own if a.action != "news"]
        for action in ("help", "remind", "come_back", "show"):
            of_action = [a for a in own if a.action == action]
            check_cap(of_action, 1, HOUR)
            check_cap(of_action, 3, 2 * DAY)
        check_cap([a for a in own if a.action == "remind"], 1, 5 * HOUR)
        check_cap([*counted, *(a for a in own if a.action == "news")], 2, 4 * HOUR)
        check_cap(own, 6, 7 * DAY)
    for action in actions:
        if action.rule != "medium":
            assert not quiet(action.decided_at), action
    sent = {rule.name: number for rule, number in zip(rulebook.rules, counts[:, 0].tolist(), strict=True)}
    assert all(sum(a.rule == name for a in actions) == n for name, n in sent.items() if name != "nothing")


def check_cap(actions: list[Action], count: int, window: int) -> None:
    moments = [action.decided_at for action in actions]
    assert all(sum(start <= at < start + window for at in moments) <= count for start in moments)


def quiet(ms: int) -> bool:
    local = dt.datetime.fromtimestamp(ms / 1000, dt.UTC).astimezone(ZoneInfo("Europe/Berlin"))
    return local.isoweekday() == 7 or not 8 <= local.hour < 21


@settings(max_examples=120, deadline=None)
@given(log=logs())
def test_abandoned_carts_are_found_as_a_plain_search_finds_them(log: Log) -> None:
    actions, *_ = decided(rulebook_of(ABANDONED), log)
    assert sorted((a.customer_id, a.decided_at, a.as_of) for a in actions) == sorted(abandoned(log))


def abandoned(log: Log) -> list[tuple[str, int, int]]:
    """Return customer, moment and last activity of every abandoned cart: what the definition says, step by step."""
    found = []
    for offset, watermark in enumerate(log.watermarks.tolist()):
        before = log.watermarks[offset - 1] if offset else watermark - 1
        for name in NAMES:
            seen = log.seen(name, offset)
            if not seen:
                continue
            last = max(int(log.times[at]) for at in seen)
            due = last + 30 * MINUTE
            adds = [int(log.times[at]) for at in seen if log.types[at] == "add_to_cart"]
            bought = [int(log.times[at]) for at in seen if log.types[at] == "purchase"]
            left = log.vectors[seen[-1], AT["cart_quantity"]] > 0 and log.intent[seen[-1]] >= 0.2
            if before < due <= watermark and left and not any(at >= max(adds) for at in bought):
                found.append((name, due, last))
    return found


@settings(max_examples=80, deadline=None)
@given(log=logs(), rulebook=POLICIES)
def test_nobody_who_bought_or_came_back_gets_an_abandonment(log: Log, rulebook: Rulebook) -> None:
    """Of the whole log, what came later too: the watermark has waited for it."""
    for action in decided(rulebook, log)[0]:
        if action.trigger not in {"cart_abandoned", "checkout_abandoned"}:
            continue
        started = "add_to_cart" if action.trigger == "cart_abandoned" else "begin_checkout"
        own = log.seen(action.customer_id, len(log.times) - 1)
        begun = max(
            int(log.times[at]) for at in own if log.types[at] == started and log.times[at] <= action.as_of
        )
        assert not [
            at for at in own if log.types[at] == "purchase" and begun <= log.times[at] <= action.decided_at
        ]
        silent_until = action.as_of + 30 * MINUTE
        assert not [at for at in own if action.as_of < log.times[at] <= silent_until]


def played(
    text: str, *events: tuple[int, str, float], name: str = "ada", others: tuple[int, ...] = ()
) -> list[Action]:
    """Return the actions after events given as minute, type and intent; events of ``others`` move the watermark too."""
    made = [(minute, name, kind, intent) for minute, kind, intent in events]
    made = sorted(
        [*made, *((minute, "bob", "view_item", 0.0) for minute in others)],
        key=lambda one: one[0] if others else 0,
    )
    made.append((20 * 24 * 60, "bob", "view_item", 0.0))
    log = log_of(
        [view(at, *of) for at, (*of, _) in enumerate(made)],
        np.maximum.accumulate([MONDAY + minute * MINUTE for minute, *_ in made]).tolist(),
        [intent for *_, intent in made],
    )
    return [action for action in decided(rulebook_of(text), log)[0] if action.customer_id == name]


def view(number: int, minute: int, name: str = "ada", kind: str = "view_item") -> Event:
    return Event(
        event_id=f"e{number}",
        type=kind,  # type: ignore[arg-type]
        customer_id=name,
        event_time=MONDAY + minute * MINUTE,
        item_id="i",
        price=10.0,
        quantity=1,
    )


def minutes(actions: list[Action]) -> list[tuple[str, float]]:
    return [(action.rule, (action.decided_at - MONDAY) / MINUTE) for action in actions]


RULES = """
version: 1
bands: {medium: {enter: 0.2, leave: 0.15}}
rules:
  - {name: medium, trigger: band_entered, action: a, when: {band: medium}}
"""


def test_a_band_is_entered_once_until_it_is_left_at_the_lower_bound() -> None:
    told = played(
        RULES, *[(at, "view_item", p) for at, p in enumerate((0.19, 0.2, 0.16, 0.3, 0.14, 0.19, 0.25))]
    )
    assert minutes(told) == [("medium", 1), ("medium", 6)]


def test_a_rule_speaks_when_it_begins_to_hold_and_not_while_it_does() -> None:
    rules = "version: 1\nrules:\n  - {name: many, action: a, when: {session_view_item: at least 2}}"
    views = [(at, "view_item", 0.1) for at in (0, 1, 2, 3, 100, 101, 102)]
    assert minutes(played(rules, *views)) == [("many", 1), ("many", 101)]


def test_an_action_says_what_the_last_score_said() -> None:
    [action] = played(ABANDONED, (0, "add_to_cart", 0.3), (10, "view_item", 0.25))
    assert (action.trigger, action.rule, action.purchase_intent) == ("cart_abandoned", "cart", 0.25)
    assert (action.as_of, action.decided_at) == (MONDAY + 10 * MINUTE, MONDAY + 40 * MINUTE)
    assert action.expires_at == action.decided_at + 2 * HOUR
    assert (action.event_id, action.model_version, action.segment.name) == (None, "m1", "visitors")
    [entered] = played(RULES, (0, "view_item", 0.3))
    assert entered.event_id == "o0"


@pytest.mark.parametrize("late", [False, True])
def test_a_purchase_cancels_an_abandonment_also_if_it_comes_late(late: bool) -> None:
    buys = (9, "purchase", 0.3) if late else (11, "purchase", 0.3)
    assert played(ABANDONED, (0, "add_to_cart", 0.3), (10, "view_item", 0.3), buys) == []
    assert LATENESS == 15 * MINUTE


def test_a_cart_is_abandoned_once_a_silence() -> None:
    seen = [(0, "add_to_cart", 0.3), (300, "view_item", 0.3), (310, "view_item", 0.3)]
    assert minutes(played(ABANDONED, *seen, others=(60,))) == [("cart", 30), ("cart", 340)]


def test_whoever_is_back_before_the_watermark_has_reached_the_timer_is_not_reminded() -> None:
    seen = [(0, "add_to_cart", 0.3), (40, "view_item", 0.1)]
    assert played(ABANDONED, *seen, others=(39,)) == []
    assert minutes(played(ABANDONED, *seen[:1], others=(39, 46))) == [("cart", 30)]


WAITING = ABANDONED + "quiet: {from: 20:00, to: 08:00}\n"


def test_what_is_due_in_the_quiet_time_waits_for_its_end() -> None:
    night = 22 * 60  # of UTC: 23:00 in Berlin
    assert minutes(played(WAITING, (night, "add_to_cart", 0.3))) == [("cart", 24 * 60 + 7 * 60)]


def test_a_purchase_or_a_return_cancels_what_waits() -> None:
    night, later = 22 * 60, 24 * 60
    assert played(WAITING, (night, "add_to_cart", 0.3), (later, "purchase", 0.3)) == []
    back = played(WAITING, (night, "add_to_cart", 0.3), (later, "view_item", 0.1))
    assert back == [], "they came back, and their intent is low"


def test_one_action_waits_that_of_the_first_rule() -> None:
    text = (
        WAITING + "bands: {high: {enter: 0.5}}\ntotal: {caps: [9 per 7d]}\n".replace("total", "total")
    ).replace("rules:\n", "rules:\n  - {name: high, trigger: band_entered, action: b, when: {band: high}}\n")
    night = 22 * 60
    told = played(text, (night, "view_item", 0.6), (night + 1, "add_to_cart", 0.4))
    assert minutes(told) == [("high", 31 * 60)]


def test_rules_that_change_are_taken_over_without_a_second_action() -> None:
    from features.events import Event

    views = [
        Event(event_id=f"e{at}", type="view_item", customer_id="ada", event_time=MONDAY + at * MINUTE)
        for at in range(4)
    ]  # type: ignore[arg-type]
    log = log_of(views, [view.event_time for view in views], [0.3] * 4)
    old = rulebook_of(RULES)
    new = rulebook_of(RULES + "  - {name: other, action: c, when: {band: low}}\n")
    actions, memories, _ = decided(old, log)
    assert len(actions) == 1
    found = batch(new, log, 2, 4, int(log.watermarks[1]), [0, 1, 2], memories)
    assert found.actions == []
    assert memories["rules"][0] == new.tables["rules"]


@settings(max_examples=80, deadline=None)
@given(log=logs(), rulebook=POLICIES)
def test_an_action_tells_the_reasons_of_the_last_score_and_what_it_is_about(
    log: Log, rulebook: Rulebook
) -> None:
    found = whole(rulebook, log)
    for place, action in zip(found.places, found.actions, strict=True):
        record = place // 2
        (slot,) = [at for at, name in enumerate(NAMES) if name == action.customer_id]
        last = max(at for at in range(record + 1) if log.slots[at] == slot)
        assert action.reasons == log.reasons[last]
        if action.event_id is not None:
            assert action.items == log.columns.items.of(last) != []
        elif action.trigger in {"cart_abandoned", "checkout_abandoned"}:
            lines = [log.items[line] for line in log.carts[last].tolist()[::-1] if line]
            assert action.items == list(dict.fromkeys(lines))
            assert action.trigger != "cart_abandoned" or lines
        else:
            assert action.items == []


def whole(rulebook: Rulebook, log: Log) -> Decided:
    return batch(rulebook, log, 0, len(log.times), BEGINNING, [0, 1, 2], blank(3))


def test_what_was_remembered_without_reasons_or_with_others_has_none() -> None:
    seen = [("add_to_cart", 0), ("add_to_cart", 1), ("view_item", 60)]
    events = [view(at, minute, ("ada", "ada", "bob")[at], kind) for at, (kind, minute) in enumerate(seen)]
    log = log_of(events, [MONDAY + minute * MINUTE for _, minute in seen], [0.3] * 3)
    rulebook = rulebook_of(ABANDONED)
    told = []
    for codes in (None, 0, 12_345):
        memories, states = blank(3), empty(3)
        batch(rulebook, log, 0, 2, BEGINNING, [0, 1, 2], memories, states=states)
        if codes is not None:
            memories["codes"] = codes
        found = batch(rulebook, log, 2, 3, int(log.watermarks[1]), [0, 1, 2], memories, states=states)
        told += [action.reasons for action in found.actions if action.customer_id == "ada"]
    assert told == [log.reasons[1], [], []]
    assert log.reasons[1]


def test_effects_beyond_what_is_remembered_are_cut() -> None:
    kept = Reasons.of([[ReasonRef("cart", 1, 40.0), ReasonRef("spend", 1, -40.0)], []], 2)
    assert [effect_of(one) for one in kept.effects[0].tolist()] == [32.767, -32.767, 0.0]
    assert not kept.codes[1].any()


def test_the_arm_follows_the_assignment() -> None:
    told = {name: played(RULES, (0, "view_item", 0.3), name=name) for name in ("ada", "cyd")}
    assignment = rulebook_of(RULES).assignment
    for name, [action] in told.items():
        assert action.arm == ("treatment", "holdout", "customer_managed")[assignment.arms([name])[0]]
        assert action.experiment == assignment.name
