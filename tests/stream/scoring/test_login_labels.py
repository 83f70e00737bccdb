"""Learning across logins: an example is positive if its person purchases, under whichever id."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from features.bundle import Bundle
from features.state import DAY_MS
from stream.formats.contract import Format
from stream.formats.registry import format_of
from stream.scoring.engine import Engine
from stream.scoring.recorder import Recorder
from stream.scoring.sampling import Sampling
from tests.bundles import random_bundle
from tests.stream.records import NOW
from tests.stream.scoring.identity_bench import MINUTE, Shop, happening, login
from tests.stream.scoring.learner_bench import Labelled, labelled

LATENESS = 15 * MINUTE
LATER = NOW + 30 * DAY_MS


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder: Path = tmp_path_factory.mktemp("bundle")
    return random_bundle(folder)


class LearningShop:
    """A shop whose scorer writes for the learner."""

    def __init__(
        self, bundle: Bundle, partitions: int = 3, lateness_ms: int = LATENESS, form: Format | None = None
    ) -> None:
        self.bundle = bundle
        self.recorder = Recorder(bundle, Sampling(["view_item", "search"], {}), lateness_ms)
        engine = Engine(bundle, lateness_ms=lateness_ms, ttl_ms=400 * DAY_MS, holdout=0.0)
        self.shop = Shop(engine, partitions, self.recorder, form)

    def run(self, *story: dict[str, Any]) -> None:
        for fields in story:
            self.shop.emit(fields)
        self.shop.run()

    def learned(self, chance: Random | None = None) -> list[Labelled]:
        return labelled(self.shop, self.bundle, self.recorder, LATER, chance or Random(1))[0]

    def labels(self) -> dict[str, int]:
        return {one.event_id: one.label for one in self.learned()}


@pytest.fixture
def shop(bundle: Bundle) -> LearningShop:
    return LearningShop(bundle)


def of_person(
    example: Labelled, story: list[dict[str, Any]], links: Mapping[str, tuple[str, int]], end: int
) -> bool:
    """Return whether any id that is the example's person's by the end purchases after it."""
    person, before = {example.customer}, set[str]()
    while person != before:
        before = set(person)
        for anonymous, (customer, time) in links.items():
            if time <= end and {anonymous, customer} & person:
                person |= {anonymous, customer}
    return any(
        one["type"] == "purchase"
        and one["customer_id"] in person
        and example.as_of < one["event_time"] <= end
        for one in story
    )


@pytest.mark.parametrize("seed", range(12))
def test_an_example_is_positive_if_any_id_of_the_person_purchases(bundle: Bundle, seed: int) -> None:
    chance = Random(seed)
    shop = LearningShop(bundle, chance.randint(1, 4), DAY_MS)  # what is handed on comes in time
    horizon = round(bundle.manifest.horizon_seconds * 1000)
    known = {f"a{number}": chance.choice(("ada", "grace", "joan")) for number in range(8)}
    moments = chance.sample(range(400 * 60), 170)  # seconds, none of them twice
    logins = {one: login(number, one, known[one], moments.pop() / 60) for number, one in enumerate(known)}
    story = [
        happening(
            number,
            chance.choice([*known, *known.values()]),
            moment / 60,
            chance.choice(("view_item", "search", "view_item", "purchase")),
        )
        for number, moment in enumerate(moments)
    ]
    for fields in sorted([*story, *logins.values()], key=lambda one: one["event_time"]):
        shop.shop.emit(fields)
        if chance.random() < 0.2:
            shop.shop.run(chance, most=5)
    shop.shop.run(chance, most=5)
    found = shop.learned(chance)
    assert sorted(one.event_id for one in found) == sorted(
        one["event_id"] for one in story if one["type"] != "purchase"
    ), "each is learned once"
    links = {one: (known[one], said["event_time"]) for one, said in logins.items()}
    wanted = {one.event_id: of_person(one, story, links, one.as_of + horizon) for one in found}
    assert {one.event_id: bool(one.label) for one in found} == wanted
    alone = {one.event_id for one in found if of_person(one, story, {}, one.as_of + horizon)}
    assert sum(wanted.values()) > len(alone), "some are positive only since somebody logged in"


def test_what_an_anonymous_visitor_did_is_positive_if_the_customer_buys(shop: LearningShop) -> None:
    shop.run(
        happening(1, "a1", 0),
        happening(2, "a2", 0),
        login(1, "a1", "ada", 5),
        happening(3, "ada", 9, "purchase"),
    )
    assert shop.labels() == {"e1": 1, "e2": 0}


def test_what_a_customer_did_is_positive_if_the_anonymous_id_bought_before_its_login(
    shop: LearningShop,
) -> None:
    shop.run(
        happening(1, "ada", 0),
        happening(2, "a1", 3),
        happening(3, "a1", 5, "purchase"),
        happening(4, "a1", 6),
        login(1, "a1", "ada", 20),
    )
    assert shop.labels() == {"e1": 1, "e2": 1, "e4": 0}


def test_a_login_after_the_horizon_says_nothing_of_before(shop: LearningShop) -> None:
    shop.run(
        happening(1, "a1", 0),
        happening(2, "ada", 10, "purchase"),
        login(1, "a1", "ada", 31),
        happening(3, "ada", 32),
    )
    assert shop.labels() == {"e1": 0, "e3": 0}


def test_what_is_bought_under_a_linked_id_counts_for_both_long_after_the_login(shop: LearningShop) -> None:
    shop.run(
        login(1, "a1", "ada", 0),
        happening(1, "ada", 300),
        happening(2, "a1", 310, "purchase"),
        happening(3, "b", 320),
    )
    assert shop.labels() == {"e1": 1, "e3": 0}


def test_what_is_handed_on_too_late_for_the_other_partition_still_labels(bundle: Bundle) -> None:
    """The customer's partition is hours ahead when the purchase arrives there."""
    shop = LearningShop(bundle, partitions=2)
    customer = next(
        one for one in ("ada", "grace", "joan", "mary") if shop.shop.home(one) != shop.shop.home("a1")
    )
    shop.run(login(1, "a1", customer, 0), happening(1, customer, 1))
    shop.run(happening(2, customer, 500))
    shop.run(happening(3, "a1", 9, "purchase"))
    assert shop.labels() == {"e1": 1, "e2": 0}


def test_a_repeated_login_and_a_second_customer_change_no_label(shop: LearningShop) -> None:
    shop.run(
        happening(1, "a1", 0), happening(2, "grace", 1), login(1, "a1", "ada", 5), login(2, "a1", "ada", 6),
        login(3, "a1", "grace", 7), happening(3, "grace", 9, "purchase"),
    )  # fmt: skip
    assert shop.labels() == {"e1": 0, "e2": 1}, "it stays ada's, who was first"


def test_ids_of_ids_are_one_person(shop: LearningShop) -> None:
    shop.run(
        happening(1, "a1", 0), login(1, "a1", "a2", 1), login(2, "a2", "ada", 2), happening(2, "ada", 9, "purchase"),
        login(3, "a4", "a3", 300), login(4, "a3", "ada", 300), happening(3, "ada", 400), login(5, "a5", "a4", 410),
        happening(4, "a5", 411, "purchase"),
    )  # fmt: skip
    assert shop.labels() == {"e1": 1, "e3": 1}


def test_an_erasure_cancels_the_examples_of_all_ids_and_ends_their_link(shop: LearningShop) -> None:
    shop.run(happening(1, "a1", 0), happening(2, "ada", 0), login(1, "a1", "ada", 1))
    shop.shop.append(shop.shop.home("ada"), "ada", None)
    shop.shop.run()
    shop.run(
        happening(3, "a1", 5),
        happening(4, "ada", 6, "purchase"),
        happening(5, "ada", 7),
        happening(6, "b", 8),
    )
    assert shop.labels() == {"e3": 0, "e5": 0, "e6": 0}


def test_a_purchase_that_tells_the_login_itself_labels_both_ids(bundle: Bundle) -> None:
    shop = LearningShop(bundle, form=format_of("segment"))

    def called(number: int, event: str, minute: int, **ids: str) -> None:
        time = NOW + minute * MINUTE
        value = {"type": "track", "event": event, "messageId": f"e{number}", "timestamp": time} | ids
        key = ids.get("anonymousId") or ids["userId"]
        fields = value | {"properties": {"product_id": "i1", "price": 9.5}}
        shop.shop.append(shop.shop.home(key), key, msgspec.json.encode(fields), time)

    called(1, "Product Viewed", 0, anonymousId="a1")
    called(2, "Product Viewed", 1, userId="ada")
    called(3, "Product Viewed", 2, userId="grace")
    called(4, "Order Completed", 5, anonymousId="a1", userId="ada")
    called(5, "Product Viewed", 6, anonymousId="a1", userId="ada")
    shop.shop.run()
    assert shop.labels() == {"e1": 1, "e2": 1, "e3": 0, "e5": 0}


def test_nothing_is_told_of_machines_that_log_in(shop: LearningShop) -> None:
    shop.run(
        login(1, "a1", "ada", 0),
        happening(1, "ada", 1),
        happening(2, "a1", 9, "purchase", bot=True),
    )
    assert shop.labels() == {"e1": 0}
