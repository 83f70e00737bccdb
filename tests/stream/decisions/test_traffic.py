"""Traffic that is no customer's in decisions: who is left out, and that nothing is done about it."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.traffic import DEFAULT_BOTS
from stream.decisions.following import FollowedExclusions, NobodyExcluded, followed_exclusions
from stream.decisions.policy_file import default_policy, parse_policy
from stream.decisions.traffic import described_bots, read_excluded
from stream.exceptions import PolicyError, SettingsError
from tests.stream.decisions.logs import NAMES, Log, decided, logs, rulebook_of

POLICY = """
version: 1
rules:
  - {name: cart, trigger: cart_abandoned, action: remind}
  - {name: back, trigger: win_back, after: 8h, action: come_back}
  - {name: filled, action: show, when: {cart_items: more than 0}}
  - {name: always, action: greet}
"""
RULEBOOK = rulebook_of(POLICY, share=0.0)


@settings(max_examples=60, deadline=None)
@given(log=logs(), data=st.data())
def test_an_event_of_a_machine_leads_to_nothing_and_ends_what_was_to_come(
    log: Log, data: st.DataObject
) -> None:
    bot = np.array(
        data.draw(st.lists(st.booleans(), min_size=len(log.times), max_size=len(log.times))), np.bool_
    )
    actions, _, _ = decided(RULEBOOK, log._replace(bot=bot))
    assert not any(bot[int(action.event_id[1:])] for action in actions if action.event_id is not None)
    for name in NAMES:
        own = log.seen(name, len(log.times) - 1)
        if own and bot[own].all():
            assert name not in {action.customer_id for action in actions}
    timers = [action for action in actions if action.event_id is None]
    for action in timers:
        before = [
            at for at in log.seen(action.customer_id, len(log.times) - 1) if log.as_of[at] == action.as_of
        ]
        assert any(not bot[at] for at in before), "a silence after a machine is waited for by nobody"


@settings(max_examples=40, deadline=None)
@given(log=logs(), data=st.data(), cuts=st.lists(st.integers(0, 40), max_size=4))
def test_a_log_with_machines_and_staff_may_be_cut_anywhere(
    log: Log, data: st.DataObject, cuts: list[int]
) -> None:
    bot = np.array(
        data.draw(st.lists(st.booleans(), min_size=len(log.times), max_size=len(log.times))), np.bool_
    )
    log = log._replace(bot=bot)
    whole, memories, counts = decided(RULEBOOK, log, excluded={"bob"})
    assert "bob" not in {action.customer_id for action in whole}
    ends = sorted(min(cut, len(log.times)) for cut in cuts)
    for some in (ends, list(range(1, len(log.times)))):
        pieces, left, counted = decided(RULEBOOK, log, some, excluded={"bob"})
        assert pieces == whole
        assert left.tobytes() == memories.tobytes()
        assert counted.tolist() == counts.tolist()


def test_the_rules_of_the_program_are_those_of_training() -> None:
    assert default_policy().bots == DEFAULT_BOTS
    text = "version: 1\nrules:\n  - {name: a, action: b}\n"
    assert parse_policy(text).bots == DEFAULT_BOTS, "where a file says nothing of traffic"
    assert parse_policy(text + "traffic: {bots: []}").bots == ()


def test_rules_are_told_in_lines() -> None:
    assert next(described_bots(default_policy().traffic)) == "bot, reads fast: view_item_1m: at least 30"


@pytest.mark.parametrize(
    ("traffic", "told"),
    [
        ("3", "(traffic): 3 cannot be used"),
        ("{boots: []}", "(traffic.boots): there is no 'boots' here; use bots"),
        ("{bots: [{name: a}]}", "(traffic, bot rule 1 'a'): 'when' is missing"),
        ("{bots: [{name: a, when: {}}]}", "(traffic, bot rule 1 'a', when): this would hold for everybody"),
        ("{bots: [{name: a/b, when: {events: 1}}]}", "(traffic, bot rule 1 'a/b', name): 'a/b' is no name"),
        ("{bots: [{name: a, when: {band: high}}]}", "'band' says nothing about traffic"),
        ("{bots: [{name: a, when: {view_item_1n: 3}}]}", "did you mean view_item_1m?"),
        (
            "{bots: [{name: a, when: {events: many}}]}",
            "(traffic, bot rule 1 'a', when.events): 'many' is no number",
        ),
        (
            "{bots: [{name: a, when: {events: 1}}, {name: a, when: {events: 2}}]}",
            "(traffic, bot rule 2 'a', name): there are two rules 'a'",
        ),
    ],
)
def test_what_is_wrong_with_a_rule_is_one_line_with_the_place(traffic: str, told: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy(f"version: 1\ntraffic: {traffic}\nrules:\n  - {{name: a, action: b}}\n", "p.yaml")
    assert str(caught.value).startswith("p.yaml, line 2 ")
    assert told in str(caught.value)


def test_a_changed_list_of_excluded_customers_comes_into_force(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "staff.txt"
    path.write_text("anna\r\n\n  bert \n", encoding="utf-8")
    followed = followed_exclusions(path)
    assert isinstance(followed, FollowedExclusions)
    assert followed.current == {"anna", "bert"}
    path.write_text("anna\nbert\ncarla\n", encoding="utf-8")
    followed.look()
    assert followed.current == {"anna", "bert", "carla"}
    path.write_bytes(b"anna\n\xff\n")
    with caplog.at_level(logging.WARNING):
        followed.look()
        followed.look()
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith("the list of 3 excluded customers stays in force: ")
    assert "staff.txt, line 2: this is not UTF-8" in line
    assert (followed.current, followed.refusal != "") == ({"anna", "bert", "carla"}, True)
    path.write_text("")
    followed.look()
    assert (followed.current, followed.refusal) == (frozenset(), "")


def test_a_bad_list_at_the_start_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="INTENT_EXCLUDED_CUSTOMERS: .*gone.txt cannot be read"):
        followed_exclusions(tmp_path / "gone.txt")
    (tmp_path / "long.txt").write_text("anna\n" + "x" * 129)
    with pytest.raises(PolicyError, match=r"long\.txt, line 2: 129 characters are no customer id"):
        read_excluded(tmp_path / "long.txt")
    assert followed_exclusions(None) == NobodyExcluded()
