"""Shelves: which bundle does what, and how it changes."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from features.bundle import Bundle, has_bundle, read_manifest
from features.exceptions import BundleError
from features.shelf import SLOTS, FollowedSlots, Former, Slots, read_slots, write_slots
from features.signing import sign, sign_slots, verify_slots
from tests.bundles import save_bundle
from tests.features.test_signing import keys

NOW = "2026-03-01T12:00:00Z"


def test_who_asks_for_the_bundle_of_a_shelf_gets_the_live_one(tmp_path: Path) -> None:
    for seed in (6, 7):
        save_bundle(tmp_path / f"random-{seed}", seed=seed)
    assert not has_bundle(tmp_path)
    write_slots(tmp_path, Slots(live="random-7"))
    manifest = read_manifest(tmp_path)
    assert has_bundle(tmp_path)
    assert manifest is not None
    assert manifest.version == Bundle.load(tmp_path).manifest.version == "random-7"
    write_slots(tmp_path, Slots(live="random-8"))
    with pytest.raises(BundleError, match="has no bundle random-8"):
        Bundle.load(tmp_path)


def test_a_promoted_bundle_leaves_its_slot_and_a_rollback_undoes_it() -> None:
    first = Slots(live="a").shadowed_by("b").with_canary("c", 0.1)
    assert first.used == {"a": "live", "b": "shadow", "c": "canary"}
    second = first.promoted("b", NOW)
    assert (second.live, second.shadow, second.canary) == ("b", None, first.canary)
    third = second.promoted("c", NOW)
    assert third.used == {"c": "live"}
    assert [one.version for one in third.former] == ["a", "b"]
    assert third.rolled_back().rolled_back().live == "a"
    with pytest.raises(BundleError, match="no bundle was live before a"):
        first.rolled_back()


def test_a_bundle_has_one_slot_at_most() -> None:
    slots = Slots(live="a").shadowed_by("b").with_canary("b", 0.1)
    assert slots.used == {"a": "live", "b": "canary"}
    assert slots.shadowed_by("b").used == {"a": "live", "b": "shadow"}
    assert slots.without("b").used == {"a": "live"}


def test_customers_of_a_canary_stay_its_own_when_its_share_changes() -> None:
    little = Slots(live="a").with_canary("b", 0.05)
    more = little.with_canary("b", 0.2)
    other = more.with_canary("c", 0.2)
    assert little.canary and more.canary and other.canary
    assert little.canary.salt == more.canary.salt != other.canary.salt


def test_former_bundles_are_remembered_up_to_a_bound() -> None:
    slots = Slots(live="0")
    for number in range(1, 50):
        slots = slots.promoted(str(number), NOW)
    assert len(slots.former) == 20
    assert slots.rolled_back().live == "48"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "damaged"),
        (b'{"live": 3}', "damaged"),
        (b'{"live": "a", "canary": {"version": "b", "share": 1.5, "salt": ""}}', "damaged"),
        (b'{"live": "../../etc"}', "invalid version '../../etc'"),
        (b'{"live": "a", "schema": 2}', "has schema 2"),
    ],
)
def test_slots_that_cannot_be_used_are_refused_in_words(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / SLOTS).write_bytes(content)
    with pytest.raises(BundleError, match=said):
        read_slots(tmp_path)


def test_a_change_is_noticed_once(tmp_path: Path) -> None:
    write_slots(tmp_path, Slots(live="a"))
    followed = FollowedSlots(tmp_path)
    assert not followed.look()
    write_slots(tmp_path, Slots(live="b"))
    assert followed.look()
    assert followed.slots.live == "b"
    assert not followed.look()


def test_slots_that_cannot_be_used_are_refused_until_they_can_be(tmp_path: Path) -> None:
    write_slots(tmp_path, Slots(live="b"))
    followed = FollowedSlots(tmp_path)
    (tmp_path / SLOTS).write_bytes(b"nonsense")
    for _ in range(2):
        with pytest.raises(BundleError):
            followed.look()
    assert followed.slots.live == "b"
    write_slots(tmp_path, Slots(live="b"))
    assert not followed.look()


def test_who_follows_signed_slots_takes_no_others(tmp_path: Path) -> None:
    private, public = keys(tmp_path)
    other, _ = keys(tmp_path, "other")
    write_slots(tmp_path, Slots(live="a"))
    with pytest.raises(BundleError, match="is not signed"):
        FollowedSlots(tmp_path, public)
    first = Slots(live="a").signed(private, 1_000)
    write_slots(tmp_path, first)
    followed = FollowedSlots(tmp_path, public)
    second = msgspec.structs.replace(first, live="b", former=[Former("a", NOW)]).signed(private, 1_000)
    assert second.changed_at == 1_001
    write_slots(tmp_path, second)
    assert followed.look()
    for slots, said in (
        (first, "is an old one that was put back"),
        (Slots(live="a"), "is not signed"),
        (Slots(live="a").signed(other, 2_000), "is not as it was signed"),
        (msgspec.structs.replace(second, live="a"), "is not as it was signed"),
        (msgspec.structs.replace(second, changed_at=2_000), "is not as it was signed"),
        (msgspec.structs.replace(second, signature="no base64!"), "is not as it was signed"),
    ):
        write_slots(tmp_path, slots)
        with pytest.raises(BundleError, match=said):
            followed.look()
        assert followed.slots == second
    write_slots(tmp_path, second.rolled_back().signed(private, 2_000))
    assert followed.look()
    assert followed.slots.live == "a"


def test_a_signature_of_a_bundle_is_none_of_slots(tmp_path: Path) -> None:
    private, public = keys(tmp_path)
    assert verify_slots(b"{}", sign_slots(b"{}", private), public)
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    signature = sign(bundle, private).signature
    assert not verify_slots(b"{}", signature, public)
