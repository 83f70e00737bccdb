from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
import pytest
from msgspec import structs, to_builtins
from pydantic import SecretStr
from rich.console import Console

from features.bundle import BANDS
from features.exceptions import IntentError
from features.links import Link
from features.offers import CustomerItems, Offer, OfferPolicy
from features.sealing import sealed, unsealed
from features.state import STATE, States
from features.store.memory_store import MemoryStore
from features.store.offer_store import OfferStore
from features.store.partition_record import NO_WATERMARK, PartitionRecord
from features.vector import COLUMN_NAMES, COLUMNS, NEVER_S
from stream.cli.customer import described, models_of, now_of, recommended
from stream.cli.customer_links import AboutErased, about_erased
from stream.cli.customer_view import column_text, customer_view
from stream.decisions.holdout import DEFAULT_SALT, Assignment, held_out
from stream.decisions.memory import memories_of
from stream.decisions.remembered import Waiting, actions_of
from stream.decisions.rulebook import action_hash, default_rulebook
from stream.messages.score import Recommendation
from stream.ownership.standing import is_past, partition_of
from stream.scoring.engine import engine_of
from stream.scoring.scorer import Models
from stream.settings import Settings
from tests.bundles import SEGMENTS, random_bundle

CLOCK = 1_772_366_400_000


@pytest.fixture
def states() -> States:
    known = np.zeros(1, STATE)
    known["version"], known["events"], known["sessions"] = 1, 3, 1
    known["first_time"] = known["last_time"] = known["session_start"] = 1_772_366_400_000
    known["cart_value"], known["session_events"] = 49.5, 3
    return known


def settings(bundle: Path) -> Settings:
    return Settings(_env_file=None, partitions=5, bundle=bundle)


def random_models(folder: Path) -> Models:
    """Return what scores with a random bundle, and was taught nothing."""
    engine = engine_of(settings(folder).model_copy(update={"reasons": "all"}), random_bundle(folder))
    return Models(engine, None, None, None)


def test_the_partition_is_that_of_the_count_which_the_worker_wrote_down(tmp_path: Path) -> None:
    store = MemoryStore()
    customers = [f"c{number}" for number in range(50)]
    before = [partition_of(settings(tmp_path), store, customer) for customer in customers]
    store.claim(0, None, PartitionRecord(1, bytes(16), 0, NO_WATERMARK, 40))
    after = [partition_of(settings(tmp_path), store, customer) for customer in customers]
    assert max(before) == 4
    assert max(after) > 4


def test_a_request_is_done_once_the_states_are_saved_past_its_offset() -> None:
    store = MemoryStore()
    assert not is_past(store, 2, 7)
    record = PartitionRecord(1, bytes(16), 7, NO_WATERMARK, 40)
    store.claim(2, None, record)
    assert not is_past(store, 2, 7)
    store.claim(2, record, record._replace(next_offset=8))
    assert is_past(store, 2, 7)


def test_a_customer_is_described_by_state_and_named_columns(tmp_path: Path, states: States) -> None:
    known = described(None, "UTC", "ada", 3, states)
    assert known["state"]["events"] == 3
    assert list(known["vector"]) == list(COLUMN_NAMES)
    assert known["vector"]["cart_value"] == 49.5
    assert known["score"] is None


def test_a_bundle_adds_the_score(tmp_path: Path, states: States) -> None:
    known = described(random_models(tmp_path), "UTC", "ada", 3, states)
    assert 0 < known["score"]["purchase_intent"] < 1
    assert known["score"]["segment"]["name"] in SEGMENTS
    assert known["vector"]["segment"] == known["score"]["segment"]["id"]


def shown(known: dict[str, Any], *, no_offer: str = "", everything: bool = False) -> str:
    console = Console(file=StringIO(), width=80)
    hours_later = 1_772_366_400_000 + 3 * 3_600_000
    for part in customer_view(
        known, "no score: because", hours_later, no_offer=no_offer, everything=everything
    ):
        console.print(part)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_people_read_durations_and_never_and_nothing_that_is_zero(states: States) -> None:
    states["type_counts"][0, 0], states["type_times"][0, 0] = 3, 1_772_366_400_000
    known = described(None, "UTC", "ada", 3, states)
    text = shown(known)
    assert "no score: because" in text
    assert "last event 2026-03-01T12:00:00Z, 3 h ago" in text
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.split()}
    assert rows["view_item"] == ["3", "3", "h", "ago"]
    assert rows["since_view_item"][0] == "now"
    assert rows["since_purchase"][0] == "never"
    assert rows["cart_value"][0] == "49.50"
    assert "cart_quantity" not in rows
    assert "hour_sin" not in rows
    assert "e+07" not in text
    assert max(map(len, text.splitlines())) <= 80
    everything = shown(known, everything=True)
    for name in COLUMN_NAMES:
        assert f"\n {name} " in everything or f"\n{name} " in everything


def test_a_score_is_one_line(tmp_path: Path, states: States) -> None:
    known = described(random_models(tmp_path), "UTC", "ada", 3, states)
    assert f"{known['score']['purchase_intent']:.1%} within 30 min of the last event" in shown(known)


OFFERS = OfferPolicy(
    version="p1",
    bundle="random-6",
    partitions=5,
    created_at="",
    offers=[
        Offer(segment=at, segment_name=name, band=band, offer="news", text="News for them", items=["s1"])
        for at, name in enumerate(SEGMENTS)
        for band in BANDS
    ],
    popular=[],
)


class Offers:
    """An `OfferStore` in memory."""

    def __init__(self, policy: OfferPolicy | None, items: CustomerItems | None = None) -> None:
        self._policy, self._items = policy, items

    def policy(self) -> OfferPolicy | None:
        return self._policy

    def items(self, partition: int, customers: Sequence[str]) -> list[CustomerItems | None]:
        assert (partition, customers) == (3, ["ada"])
        return [self._items]


NOBODY = Assignment(DEFAULT_SALT, "1", 0.0)  # is held out


def test_what_is_recommended_is_shown_with_whose_items_they_are(tmp_path: Path, states: States) -> None:
    bundle = random_bundle(tmp_path)
    known = described(random_models(tmp_path), "UTC", "ada", 3, states)
    own = cast(OfferStore, Offers(OFFERS, CustomerItems("p1", ["i1", "i2"], ["i2"])))
    found = recommended(own, bundle, 5, NOBODY, known)
    assert isinstance(found, Recommendation)
    lines = shown(known | {"recommendation": to_builtins(found)}).splitlines()
    assert "offer news: News for them" in lines
    assert "items (the customer's own): i1, i2" in lines
    assert "new to the customer: i2" in lines
    found = recommended(cast(OfferStore, Offers(OFFERS)), bundle, 5, NOBODY, known)
    assert "items (of the segment): s1" in shown(known | {"recommendation": to_builtins(found)})


def test_why_nothing_is_recommended_is_one_line(tmp_path: Path, states: States) -> None:
    bundle = random_bundle(tmp_path)
    known = described(random_models(tmp_path), "UTC", "ada", 3, states)

    def why(policy: OfferPolicy | None, *, partitions: int = 5, holdout: float = 0.0) -> object:
        assignment = Assignment(DEFAULT_SALT, "1", holdout)
        return recommended(cast(OfferStore, Offers(policy)), bundle, partitions, assignment, known)

    assert "`intent recommend --write`" in str(why(None))
    assert "written for 5 partitions, the topic has 7" in str(why(OFFERS, partitions=7))
    assert "holdout" in str(why(OFFERS, holdout=1.0))
    assert "`intent recommend --write`" in str(why(None, holdout=1.0)), "what applies first is said"
    assert "no offer for" in str(why(structs.replace(OFFERS, offers=[]), holdout=1.0))
    assert "no offer" in str(why(structs.replace(OFFERS, offers=[])))
    assert "because of this" in shown(known, no_offer="because of this").splitlines()


def test_the_arm_is_that_of_the_id_that_came_first(tmp_path: Path, states: States) -> None:
    bundle, assignment = random_bundle(tmp_path), Assignment(DEFAULT_SALT, "1", 0.5)
    names = [f"a-{number}" for number in range(20)]
    first = names[int(held_out(names, 0.5).argmax())]

    def why(link: Link | None) -> object:
        told = described(random_models(tmp_path), "UTC", "ada", 3, states, link)
        return recommended(cast(OfferStore, Offers(OFFERS)), bundle, 5, assignment, told)

    assert "holdout" in str(why(Link(members=(first,), assigned=first)))
    assert "holdout" not in str(why(Link(members=(first,))))
    assert "holdout" not in str(why(None))


def test_seconds_are_shown_as_durations() -> None:
    by_name = {column.name: column for column in COLUMNS}
    assert column_text(by_name["since_purchase"], 3 * 3600.0) == "3 h ago"
    assert column_text(by_name["purchase_gap"], NEVER_S) == "none"
    assert column_text(by_name["session_age"], 754.0) == "12 min 34 s"
    assert column_text(by_name["channel_web"], 0.25) == "25%"


def test_a_bundle_that_is_asked_for_must_be_there(tmp_path: Path) -> None:
    assert models_of(settings(tmp_path / "nowhere"), 5) is None
    with pytest.raises(IntentError, match="nowhere"):
        models_of(settings(tmp_path / "nowhere"), 5, required=True)


@pytest.mark.parametrize(
    ("newest", "now"),
    [
        (CLOCK - 60_000, CLOCK),
        (CLOCK - 86_400_000, CLOCK),
        (CLOCK - 687 * 86_400_000, CLOCK - 687 * 86_400_000),
        (None, CLOCK),
    ],
)
def test_ages_count_from_the_end_of_a_replayed_log_and_from_now_in_a_live_shop(
    newest: int | None, now: int
) -> None:
    record = None
    if newest is not None:
        record = PartitionRecord(epoch=1, token=b"", next_offset=9, watermark=newest - 900_000, partitions=4)
    at, note = now_of(record, 900_000, CLOCK)
    assert at == now
    assert bool(note) == (now != CLOCK)
    if note:
        assert note == "Ages count from 2024-04-13 12:00 UTC, the newest event of the partition."


SINCE = CLOCK + 3_600_000


@pytest.mark.parametrize(
    ("link", "said", "told"),
    [
        (
            Link("c-17", time=CLOCK, since=SINCE),
            {"customer_id": "c-17", "shared": False, "since": "2026-03-01T13:00:00.000Z", "merged": []},
            "known as c-17 since 2026-03-01T13:00:00Z, 2 h ago",
        ),
        (
            Link(shared=True, since=SINCE),
            {"customer_id": None, "shared": True, "since": "2026-03-01T13:00:00.000Z", "merged": []},
            "shared by several customers since",
        ),
        (
            Link(members=("a-1", "a-2")),
            {"customer_id": None, "shared": False, "since": None, "merged": ["a-1", "a-2"]},
            "merged into this customer: a-1, a-2",
        ),
        (
            Link(members=("a-1",), assigned="a-1"),
            {"customer_id": None, "shared": False, "since": None, "merged": ["a-1"], "assigned": "a-1"},
            "came first as a-1: stays in the arm of the experiment of that id",
        ),
        (
            Link("c-17"),
            {"customer_id": "c-17", "shared": False, "since": None, "merged": []},
            "known as c-17: what happens",
        ),
    ],
    ids=["linked", "shared", "merged", "assigned by another id", "linked before this was written down"],
)
def test_how_an_id_stands_to_others_is_told(
    states: States, link: Link, said: dict[str, Any], told: str
) -> None:
    for known in (
        described(None, "UTC", "a-9", 3, states, link),
        described(None, "UTC", "a-9", 3, None, link),
    ):
        assert known["links"] == {"assigned": link.assigned or None} | said
        assert told in " ".join(shown(known).split())
    assert (known["state"], known["vector"], known["score"]) == (None, None, None)
    assert "last event" not in shown(known)


def test_nothing_is_said_of_links_where_there_are_none(states: States) -> None:
    known = described(None, "UTC", "ada", 3, states)
    assert known["links"] is None
    assert "merged" not in shown(known)


def test_a_stored_link_of_before_says_no_moment_and_a_present_one_reads_as_before() -> None:
    old = msgspec.msgpack.encode((1, ("c-17", False, (), CLOCK)))
    assert Link.from_bytes(sealed(old)) == Link("c-17", time=CLOCK)

    class Before(msgspec.Struct, array_like=True):
        customer: str = ""
        shared: bool = False
        members: tuple[str, ...] = ()
        time: int = 0

    content = unsealed(Link("c-17", members=("a-1",), time=CLOCK, since=SINCE).to_bytes())
    _, found = msgspec.msgpack.decode(content or b"", type=tuple[int, Before])
    assert found == Before("c-17", members=("a-1",), time=CLOCK)


def test_the_actions_that_were_decided_last_are_shown_with_their_arm_and_end(
    tmp_path: Path, states: States
) -> None:
    models = random_models(tmp_path)
    none = shown(described(models, "UTC", "ada", 3, states))
    assert "no action yet of those that caps count (assist_checkout, cross_sell," in none
    memory = memories_of(states)[0]
    memory["sent_times"][:3] = CLOCK - 3_600_000, CLOCK, CLOCK - 7_200_000
    memory["sent_actions"][:3] = action_hash("cross_sell"), action_hash("offer_incentive"), 5
    known = described(models, "UTC", "ada", 3, states)
    assert known["actions"]["arm"] == "treatment"
    day = "2026-03-01T"
    assert [list(one.values()) for one in known["actions"]["last"]] == [
        ["offer_incentive", f"{day}12:00:00.000Z", f"{day}14:00:00.000Z"],
        ["cross_sell", f"{day}11:00:00.000Z", f"{day}13:00:00.000Z"],
        [None, f"{day}10:00:00.000Z", None],
    ]
    text = " ".join(shown(known).split())
    assert (
        "last action: offer_incentive, 2026-03-01T12:00:00Z, 3 h ago; to be carried out until 2026-03-01T14:00:00Z"
    ) in text
    assert "before: cross_sell, 2026-03-01T11:00:00Z, 4 h ago" in text
    assert "before: one that the policy has no longer" in text
    assert "arm: treatment" in text


def test_actions_of_the_holdout_are_shown_as_left_undone(tmp_path: Path, states: States) -> None:
    bundle = random_bundle(tmp_path)
    everybody = default_rulebook(bundle, 1.0)
    memories_of(states)[0]["sent_times"][0] = CLOCK
    memories_of(states)[0]["sent_actions"][0] = action_hash("cross_sell")
    assert actions_of(everybody, states, "ada").arm == "holdout"
    known = described(random_models(tmp_path), "UTC", "ada", 3, states)
    known["actions"]["arm"] = "holdout"
    assert "; not carried out, as the arm is holdout" in " ".join(shown(known).split())


def test_an_action_that_waits_is_told_unless_the_rules_have_changed(tmp_path: Path, states: States) -> None:
    rulebook = default_rulebook(random_bundle(tmp_path), 0.0)
    memory = memories_of(states)[0]
    memory["waiting"], memory["waiting_until"], memory["rules"] = 2, CLOCK, rulebook.tables["rules"]
    assert actions_of(rulebook, states, "ada").waiting == Waiting(
        "assist_checkout", "help with the checkout", CLOCK
    )
    memory["rules"] += 1
    assert actions_of(rulebook, states, "ada").waiting is None


def test_a_redis_that_does_not_answer_keeps_no_request_from_being_sent() -> None:
    away = settings(Path()).model_copy(update={"redis": SecretStr("redis://127.0.0.1:9/0")})
    found = about_erased(away, "ada")
    assert (found.known, found.linked) == (None, [])
    assert "cannot be said: " in found.sentence()
    assert found.lines("requested") == ["requested", found.sentence()]


def test_nobody_is_called_erased_where_nothing_is_known() -> None:
    (line,) = AboutErased(False, []).lines("customer nobody is erased")
    assert line.startswith("nothing is known under this id")
