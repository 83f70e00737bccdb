"""What a policy means for scores: conditions, priority, and the default policy beside the table that it replaced."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.bundle import Bundle
from features.vector import COLUMN_NAMES, NEVER_S, WIDTH
from stream.decisions.holding import ScoredRows
from stream.decisions.policy_file import parse_policy
from stream.decisions.rulebook import Rulebook, default_rulebook
from stream.exceptions import PolicyError
from stream.messages.score import ReasonRef
from tests.bundles import SEGMENTS, random_bundle

LOW, MEDIUM, HIGH = 0, 1, 2


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return random_bundle(tmp_path_factory.mktemp("bundle"))


def rows(count: int = 1, probability: float = 0.5, segment: int = 0, **columns: float) -> ScoredRows:
    vectors = np.zeros((count, WIDTH), np.float32)
    for name, value in columns.items():
        vectors[:, COLUMN_NAMES.index(name)] = value
    return ScoredRows(vectors, np.full(count, probability), np.full(count, segment))


def action(rulebook: Rulebook, found: ScoredRows, band: int = HIGH, *, held: bool = False) -> str:
    [chosen] = rulebook.choose(rulebook.held(found), np.array([band], np.uint8), np.array([held]))
    return rulebook.actions[chosen]


def old_action(band: int, cart: float, bought: float) -> str:
    """Say what the table in code said before there was a policy file."""
    if band > LOW and bought > 0:
        return "cross_sell"
    return [
        ["none", "none"],
        ["offer_incentive", "remind_of_cart"],
        ["recommend_items", "assist_checkout"],
    ][band][cart > 0]


@given(band=st.integers(0, 2), cart=st.floats(0, 9, width=32), bought=st.integers(0, 3), held=st.booleans())
def test_the_default_policy_does_what_the_table_did(
    bundle: Bundle, band: int, cart: float, bought: int, held: bool
) -> None:
    rulebook = default_rulebook(bundle, 0.05)
    wanted = "none" if held else old_action(band, cart, bought)
    found = rows(cart_quantity=cart, session_purchase=bought)
    assert action(rulebook, found, band, held=held) == wanted


def test_rows_do_not_influence_each_other(bundle: Bundle) -> None:
    chance = np.random.default_rng(3)
    rulebook = default_rulebook(bundle, 0.05)
    found = ScoredRows(
        chance.integers(0, 2, (200, WIDTH)).astype(np.float32),
        chance.random(200),
        chance.integers(0, 4, 200),
    )
    band, held = chance.integers(0, 3, 200).astype(np.uint8), chance.random(200) < 0.2
    one_by_one = []
    for i in range(200):
        bits = rulebook.held(ScoredRows(*(part[i : i + 1] for part in found[:3])))
        one_by_one += rulebook.choose(bits, band[i : i + 1], held[i : i + 1]).tolist()
    assert rulebook.choose(rulebook.held(found), band, held).tolist() == one_by_one
    assert len(set(one_by_one)) == len(rulebook.actions)


def book(bundle: Bundle, *rules: str, top: str = "") -> Rulebook:
    text = f"version: 1\n{top}\nrules:\n" + "\n".join(f"  - {rule}" for rule in rules)
    return Rulebook.of(parse_policy(text), bundle, 0.05)


@pytest.mark.parametrize(
    ("when", "meets", "fails"),
    [
        ("intent: at least 0.5", {"probability": 0.5}, {"probability": 0.499}),
        ("intent: less than 0.5", {"probability": 0.49}, {"probability": 0.5}),
        ("intent: between 0.2 and 0.4", {"probability": 0.4}, {"probability": 0.41}),
        ("intent: more than 0.2 and at most 0.4", {"probability": 0.4}, {"probability": 0.2}),
        ("cart_value: at least 50", {"cart_value": 50}, {"cart_value": 49.9}),
        ("cart_items: 2", {"cart_quantity": 2}, {"cart_quantity": 3}),
        ("time_since_purchase: more than 30d", {"since_purchase": 31 * 86_400}, {"since_purchase": 86_400}),
        ("since_purchase: never", {"since_purchase": NEVER_S}, {"since_purchase": 86_400}),
        ("segment: loyal", {"segment": SEGMENTS.index("loyal")}, {"segment": 0}),
        ("segment: [1, buyers]", {"segment": 1}, {"segment": 0}),
        ("channel: app", {"channel_app": 0.6, "channel_web": 0.4}, {"channel_app": 0.4, "channel_web": 0.6}),
        ("channel: [web, store]", {"channel_store": 1}, {}),
        ("session_search: '>= 3'", {"session_search": 3}, {"session_search": 2}),
    ],
)
def test_a_condition_is_met_by_these_and_not_by_those(
    bundle: Bundle, when: str, meets: dict[str, float], fails: dict[str, float]
) -> None:
    rulebook = book(bundle, f"{{name: a, action: act, when: {{{when}}}}}")
    given_segment = {"segment"} & meets.keys()
    made = [rows(**({} if given_segment else {"segment": 0}) | one) for one in (meets, fails)]  # type: ignore[arg-type]
    assert [action(rulebook, one) for one in made] == ["act", "none"]


def test_a_reason_is_met_by_its_feature_and_by_nothing_where_scores_carry_none(bundle: Bundle) -> None:
    rulebook = book(bundle, "{name: a, action: act, when: {reasons: [items_viewed]}}")
    said = [[ReasonRef("items_viewed", 7.0, 0.4)]]
    assert action(rulebook, rows()._replace(reasons=said)) == "act"
    assert action(rulebook, rows()._replace(reasons=[[ReasonRef("time_of_day", 7.0, 0.4)]])) == "none"
    assert action(rulebook, rows()) == "none"


def test_the_rule_of_highest_priority_decides_then_the_first(bundle: Bundle) -> None:
    rulebook = book(
        bundle,
        "{name: a, action: one, when: {intent: more than 0.5}}",
        "{name: b, action: two, priority: 1, when: {intent: more than 0.6}}",
        "{name: c, action: three}",
    )
    assert [action(rulebook, rows(probability=p)) for p in (0.4, 0.55, 0.7)] == ["three", "one", "two"]


def test_rules_of_other_triggers_are_not_in_scores(bundle: Bundle) -> None:
    rulebook = book(bundle, "{name: a, action: one, trigger: cart_abandoned}")
    assert action(rulebook, rows(cart_quantity=1, since_purchase=NEVER_S)) == "none"


def test_bands_are_left_at_three_quarters_of_what_it_takes_to_enter_them(bundle: Bundle) -> None:
    tables = book(
        bundle, "{name: a, action: b}", top="bands: {medium: {enter: 0.2}, high: {leave: 0.3, enter: 0.5}}"
    )
    assert tables.tables["enter"].tolist() == [0.2, 0.5]
    assert tables.tables["leave"].tolist() == pytest.approx([0.15, 0.3])


def test_bands_that_do_not_fit_the_bundle_are_refused(bundle: Bundle) -> None:
    with pytest.raises(PolicyError, match="medium begins at 0.99"):
        book(bundle, "{name: a, action: b}", top="bands: {medium: {enter: 0.99}}")


def test_a_segment_that_the_bundle_has_not_is_a_warning(bundle: Bundle) -> None:
    rulebook = book(bundle, "{name: a, action: b, when: {segment: [loyal, royal]}}")
    [warning] = rulebook.warnings()
    assert "'royal'" in warning
    assert "loyal" in warning


def test_the_version_changes_with_all_that_the_file_says(bundle: Bundle, tmp_path: Path) -> None:
    one = book(bundle, "{name: a, action: b}")
    assert one.version == book(bundle, "{name: a,   action: b}").version
    assert one.version != book(bundle, "{name: a, action: b, offer: c}").version
    assert one.tables["rules"] == book(bundle, "{name: a, action: b, offer: c}").tables["rules"]
    assert one.tables["rules"] != book(bundle, "{name: a, action: b, when: {intent: 0.1}}").tables["rules"]
