"""A policy file is read strictly: what is wrong with it is one line, with the place and what is allowed."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.decisions.policy_file import default_policy, described, parse_policy, read_policy
from stream.decisions.reading import Document
from stream.exceptions import PolicyError

RULE = "{name: a, action: b}"
PRICED = "{name: a, action: b, trigger: price_dropped, %s}"
ROOT = Path(__file__).parents[3]


def policy_text(*rules: str, top: str = "") -> str:
    return "\n".join(["version: 1", *([top] if top else []), "rules:", *(f"  - {rule}" for rule in rules)])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "line 1: this is no policy"),
        ("- a", "line 1: this is no policy"),
        ("version: 1\nversion: 2", "line 2: 'version' stands twice"),
        ("x: !!python/object:os.system a", "line 1 (x): the tag"),
        ("version: 1", "'rules' is missing"),
        (
            'version: "1\\u202e\\n"\nrules: [{name: a, action: b, when: {band: high}}]',
            "up to 64 printable characters in one line",
        ),
        ("version: 1\nrules: []", "line 2 (rules): [] cannot be used"),
        (policy_text("5"), "line 3 (rule 1): 5 cannot be used"),
        (
            policy_text("{name: a, actoin: b}"),
            "line 3 (rule 1 'a', actoin): there is no 'actoin' here; did you mean action? Use name, action",
        ),
        (
            policy_text("{name: a, action: 5}"),
            "line 3 (rule 1 'a', action): 5 cannot be used; expected a text",
        ),
        (policy_text("{name: a/b, action: b}"), "(rule 1 'a/b', name): 'a/b' is no name"),
        (policy_text(RULE, "{name: a, action: c}"), "line 4 (rule 2 'a', name): there are two rules 'a'"),
        (policy_text("{name: a, action: b, when: {bnad: high}}"), "did you mean band?"),
        (
            policy_text("{name: a, action: b, when: {band: hihg}}"),
            "'hihg' is no band; did you mean high? Use low, medium,",
        ),
        (policy_text("{name: a, action: b, when: {intent: at least 3}}"), "use numbers from 0 to 1"),
        (policy_text("{name: a, action: b, when: {cart_value: many}}"), "'many' is no number"),
        (policy_text("{name: a, action: b, when: {since_search: at least 3x}}"), "invalid duration '3x'"),
        (
            policy_text("{name: a, action: b, when: {events: between 5 and 1}}"),
            "no number is 'between 5 and 1'",
        ),
        (policy_text("{name: a, action: b, when: {cart_items: 1, cart_quantity: 2}}"), "are the same"),
        (policy_text("{name: a, action: b, trigger: sold}"), "'sold' is no trigger; use "),
        (
            policy_text("{name: a, action: b, trigger: cart_abandonned}"),
            "(rule 1 'a', trigger): 'cart_abandonned' is no trigger; did you mean cart_abandoned? Use band_entered",
        ),
        (policy_text(RULE, top="bands: {med: {enter: 0.1}}"), "there is no 'med' here; did you mean medium?"),
        (policy_text("{name: a, action: b, by: 10%}"), "(rule 1 'a', by): rule_holds looks at no price"),
        (policy_text("{name: a, action: b, every: 1h}"), "(rule 1 'a', every): rule_holds looks at no price"),
        (policy_text(PRICED % "by: 0%"), "'0%' is no percentage from 0.001% to 99.999%; write it as 10%"),
        (policy_text(PRICED % "by: 0.1"), "(rule 1 'a', by): 0.1 is no percentage"),
        (policy_text(PRICED % "by: 100%"), "'100%' is no percentage"),
        (policy_text(PRICED % "of: basket"), "(rule 1 'a', of): 'basket' cannot be used; use cart, wishlist"),
        (policy_text("{name: a, action: b, of: cart}"), "rule_holds looks at no price; use price_dropped"),
        (
            policy_text(
                PRICED % "by: 10%", "{name: c, action: d, trigger: price_dropped, by: 20%, of: cart}"
            ),
            "the rule 'c' is never reached",
        ),
        (policy_text(PRICED % "every: 1m"), "'1m' is out of range; use whole minutes from 5m to 14d"),
        (policy_text(PRICED % "every: 90s"), "'90s' is out of range"),
        (policy_text(PRICED % "every: 20d"), "'20d' is out of range"),
        (policy_text(PRICED % "every: soon"), "invalid duration 'soon'"),
        (policy_text(PRICED % "after: 1h"), "price_dropped waits for no silence"),
        (
            policy_text(
                PRICED % "every: 1h", "{name: c, action: d, trigger: price_dropped, by: 1%, every: 2h}"
            ),
            "(rule 2 'c', every): 'a' says 1h, and prices are compared for all rules at once; use one of them",
        ),
        (
            policy_text(PRICED % "by: 10%", "{name: c, action: d, trigger: price_dropped, by: 20%}"),
            "the rule 'c' is never reached",
        ),
        (policy_text("{name: a, action: b, trigger: win_back}"), "add `after: 30d`"),
        (policy_text("{name: a, action: b, after: 3h}"), "rule_holds waits for no silence"),
        (policy_text("{name: a, action: b, quiet: drop}"), "the file names no quiet time"),
        (
            policy_text(RULE, top="caps: [11 per 1d]"),
            "line 2 (cap 1): 11 is out of range for a cap; use 1 to 10",
        ),
        (policy_text(RULE, top="caps: [0 per 1d]"), "0 is out of range"),
        (policy_text(RULE, top="caps: [1 per 900d]"), "'900d' is too long; use at most 400d"),
        (policy_text(RULE, top="caps: [daily]"), "'daily' is no cap; write it as `3 per 7d`"),
        (
            policy_text(RULE, top="actions:\n  b: {caps: 3}"),
            "(actions.b.caps): 3 cannot be used; expected a list",
        ),
        (policy_text(RULE, top="actions: {c: {cooldown: 1d}}"), "no rule has the action 'c'; use b"),
        (policy_text(RULE, top="bands: {medium: {enter: 2}}"), "(bands.medium.enter): 2 cannot be used"),
        (policy_text(RULE, top="bands: {high: {enter: 0.1, leave: 0.2}}"), "0.2 is above enter, 0.1"),
        (
            policy_text(RULE, top="bands: {high: {enter: 0.1}, medium: {enter: 0.2}}"),
            "0.1 is below that of medium",
        ),
        (policy_text(RULE, top="quiet: {from: 9pm, to: 08:00}"), "'9pm' is no time of day"),
        (policy_text(RULE, top="quiet: {from: 21:00}"), "name both `from` and `to`"),
        (
            policy_text(RULE, top="quiet: {weekdays: [funday]}"),
            "'funday' is no weekday; did you mean sunday? Use",
        ),
        (policy_text(RULE, top="timezone: Mars"), "unknown time zone 'Mars'"),
        (policy_text(RULE, top="timezone: Europe/Berln"), "did you mean Europe/Berlin?"),
        (policy_text(RULE, top="holdout: {share: 0.6, managed: 0.6}"), "more than 1 together"),
        (policy_text(RULE, top="holdout: {share: 20%}"), "'20%' cannot be used; write a number from 0 to 1"),
        (
            policy_text(RULE, top="quiet: {from: 21:00, to: 08:00, then: later}"),
            "(quiet.then): 'later' cannot be used; use wait, drop",
        ),
        (
            policy_text("{name: a, action: b, quiet: never}"),
            "'never' cannot be used; use wait, drop, ignore",
        ),
        (
            policy_text("{name: a, action: b, trigger: win_back, after: 45}"),
            "(rule 1 'a', after): 45 cannot be used; write a duration, such as 45m",
        ),
        (
            policy_text("{name: a, action: b, when: {reasons: [session_items]}}"),
            "'session_items' is no reason; did you mean session? Use items_viewed,",
        ),
        (
            policy_text("{name: a, action: b, trigger: band_entered, when: {band: low}}"),
            "no customer comes into low from below; use medium, high",
        ),
        (
            policy_text("{name: a, action: b, trigger: band_entered, when: {cart_valu: 3}}"),
            "(rule 1 'a', when.cart_valu): there is no condition 'cart_valu'; did you mean cart_value?",
        ),
        (policy_text("{name: a, action: b, when: {cart_value: >= 20}}"), "write `at least 20`"),
    ],
)
def test_what_is_wrong_is_one_line_with_the_place(text: str, told: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy(text, "p.yaml")
    assert str(caught.value).startswith("p.yaml, line ")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[[", "line 1, column 4: a value is missing here, or a bracket is not closed"),
        ("a: &x 1\nb: *x", "line 2, column 4: aliases (*) are not read here"),
        ("version: 1\nrules:\n\t- {name: a}\n", "line 3, column 1: there is a tab; indent with spaces"),
        ("version: 1\nrules\n  - name: a\n", "line 2, column 1: a colon is missing; write `name: value`"),
        (
            "rules:\n  - name: a\n     action: b\n",
            "line 3, column 12: there is a colon too many; the line is prob",
        ),
        (
            "rules:\n  - name: a\n   action: b\n",
            "line 3, column 4: this does not belong to what stands above",
        ),
        ("rules:\n  - {name: a, action: b\n", "line 2, column 5: a bracket opens here, and is not closed"),
        ("rules:\n  - name: 'a\n    action: b\n", "line 2, column 11: a quote is opened and never closed"),
        (
            "rules:\n  - name: @a\n",
            "line 2, column 11: a value begins with a sign that YAML keeps for itself",
        ),
        ("when: {cart_value: >= 20}", "line 1, column 20: a value begins with >; write `at least 20`"),
        (
            "when:\n  cart_value: >= 20\n",
            "line 2, column 16: a value begins with > or |; write `at least 20`",
        ),
        ("version: 1\n---\nrules: []\n", "line 2, column 1: `---` begins a second file"),
        ("rules: - a\n", "line 1, column 8: a list begins on the line of its name"),
        ('version: "a\\q"\n', "line 1, column 13: a backslash in double quotes"),
        ("version: 1\nb: a\x07", "line 2, column 5: a character that cannot be shown; leave it out"),
        ("[" * 3_000, "brackets or lists stand too deep in each other"),
    ],
)
def test_what_is_no_yaml_is_told_without_the_words_of_the_library(text: str, told: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy(text, "p.yaml")
    assert told in str(caught.value)
    assert not any(word in str(caught.value) for word in ("token", "mapping", "scalar", "<block", "\n"))


@pytest.mark.parametrize(
    ("earlier", "later", "reached"),
    [
        ("intent: more than 0.2", "intent: at least 0.3", False),
        ("intent: more than 0.2", "intent: at least 0.2", True),
        ("band: [medium, high]", "band: high, events: 3", False),
        ("band: high", "band: [medium, high]", True),
        ("segment: [a, b]", "segment: a", False),
        ("events: 3", "sessions: 3", True),
    ],
)
def test_a_rule_that_is_never_reached_is_found(earlier: str, later: str, reached: bool) -> None:
    rules = [f"{{name: a, action: b, when: {{{earlier}}}}}", f"{{name: c, action: d, when: {{{later}}}}}"]
    if reached:
        assert len(parse_policy(policy_text(*rules)).rules) == 2
    else:
        with pytest.raises(PolicyError, match=r"line 4 .*'c' is never reached: 'a' comes first"):
            parse_policy(policy_text(*rules))


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        Document(text, "p.yaml")
    except PolicyError as error:
        assert str(error).startswith("p.yaml")
        assert "\n" not in str(error)


def test_words_of_yaml_1_1_are_the_texts_that_they_look_like() -> None:
    assert Document("a: 21:00\nb: no\nc: 1e3\nd: 0.5\ne: '7'\nf: true", "p").value == {
        "a": "21:00", "b": "no", "c": 1000.0, "d": 0.5, "e": "7", "f": True,
    }  # fmt: skip


def test_a_file_that_is_no_text_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_bytes(b"version: 1\nrules: \xff\n")
    with pytest.raises(PolicyError, match=r"p\.yaml, line 2: this is not UTF-8"):
        read_policy(path)
    with pytest.raises(PolicyError, match="cannot be read"):
        read_policy(tmp_path / "missing.yaml")


def test_the_example_of_the_page_is_a_policy() -> None:
    page = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")
    policy = parse_policy(page.split("```yaml\n")[1].split("```")[0])
    assert [rule.name for rule in policy.rules] == [
        "checkout left", "cart left", "cheaper now", "incentive", "long gone",
    ]  # fmt: skip


def test_a_policy_is_told_rule_by_rule() -> None:
    priced = parse_policy(
        policy_text(PRICED % "by: 12.5%, every: 30m", "{name: c, action: d, trigger: price_dropped}")
    )
    assert list(described(priced)) == [
        "a: b (price_dropped by 12.5%, looked at every 30m; always)",
        "c: d (price_dropped by 5%, looked at every 30m; always)",
    ]
    first, *_ = described(default_policy())
    assert first == (
        "cross-sell after a purchase: cross_sell "
        "(rule_holds; band: medium or high, session_purchase: more than 0)"
    )


def test_a_rule_about_carts_alone_leaves_wish_lists_to_one_behind_it() -> None:
    policy = parse_policy(
        policy_text(PRICED % "of: cart", "{name: c, action: d, trigger: price_dropped, of: wishlist}")
    )
    assert list(described(policy)) == [
        "a: b (price_dropped by 5% in the cart alone, looked at every 1h; always)",
        "c: d (price_dropped by 5% on the wish list alone, looked at every 1h; always)",
    ]


def test_a_policy_that_says_nothing_of_wish_lists_has_the_version_that_it_had_before_there_were_any() -> None:
    rule = parse_policy(policy_text(PRICED % "by: 10%")).rules[0]
    assert "of" not in msgspec.json.decode(msgspec.json.encode(rule))
