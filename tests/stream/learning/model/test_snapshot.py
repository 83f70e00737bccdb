"""Snapshots as bytes."""

from __future__ import annotations

import numpy as np
import pytest

from stream.learning.model import snapshot as snapshots
from stream.learning.model.snapshot import Snapshot, SnapshotError

ARRAYS = {
    "a/weights": np.arange(6.0).reshape(2, 3),
    "a/ids": np.array([1, -2], np.int64),
    "b/flags": np.array([0, 255], np.uint8),
    "b/none": np.zeros((0, 4), np.float32),
}


def made() -> Snapshot:
    return Snapshot(ARRAYS, {"version": 3, "as_of": None, "text": "ä"})


def test_bytes_hold_everything() -> None:
    back = Snapshot.from_bytes(made().to_bytes())
    assert back.meta == made().meta and back.version == 3
    assert list(back.arrays) == sorted(ARRAYS)
    for name, array in ARRAYS.items():
        assert np.array_equal(back.arrays[name], array)
        assert back.arrays[name].dtype == array.dtype


def test_equal_contents_are_equal_bytes() -> None:
    reordered = Snapshot(dict(reversed(ARRAYS.items())), {"text": "ä", "as_of": None, "version": 3})
    assert reordered.to_bytes() == made().to_bytes()
    assert Snapshot.from_bytes(made().to_bytes()).to_bytes() == made().to_bytes()


def test_meta_can_be_added_to() -> None:
    more = made().with_meta(cursors={"0": [7, 9]})
    assert Snapshot.from_bytes(more.to_bytes()).meta["cursors"] == {"0": [7, 9]}
    assert "cursors" not in made().meta


def test_arrays_are_found_under_their_prefix() -> None:
    assert sorted(made().under("a")) == ["ids", "weights"]


def test_what_is_cut_off_or_garbled_is_refused() -> None:
    whole = made().to_bytes()
    for length in range(len(whole)):
        with pytest.raises(SnapshotError):
            Snapshot.from_bytes(whole[:length])
    for wrong in (whole + b"\0", b"\x80\x04" + whole, whole[:12] + b"[" + whole[13:]):
        with pytest.raises(SnapshotError):
            Snapshot.from_bytes(wrong)


def test_a_snapshot_of_an_earlier_version_has_no_seal_and_is_read() -> None:
    old = b"INTLEARN" + made().to_bytes()[8:-8]
    assert Snapshot.from_bytes(old).to_bytes() == made().to_bytes()
    for length in range(len(old)):
        with pytest.raises(SnapshotError):
            Snapshot.from_bytes(old[:length])


def test_another_schema_version_is_refused_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    written = made().to_bytes()
    monkeypatch.setattr(snapshots, "SCHEMA_VERSION", 2)
    with pytest.raises(SnapshotError, match="schema version 1, this program reads 2"):
        Snapshot.from_bytes(written)


def test_objects_have_no_place_in_a_snapshot() -> None:
    with pytest.raises(TypeError, match="no place"):
        Snapshot({"x": np.array([object()])}, {}).to_bytes()
