"""Whatever bytes lie where a bundle, offers or a partition's record are read: what is documented, or a value."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.bundle import BANDS, CALIBRATION, MANIFEST, SEGMENTER, Bundle, read_manifest
from features.decoding import Undecodable, decoded
from features.exceptions import BundleError, SchemaMismatch, StoreConflict, UnreadableRecord
from features.offers import CustomerItems, OfferPolicy
from features.store.partition_record import PartitionRecord, check_guard
from features.vector import WIDTH
from tests.bundles import save_bundle
from tests.mutations import mutations


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A bundle, and a copy that is damaged again and again."""
    whole = save_bundle(tmp_path_factory.mktemp("bundle"))
    damaged = tmp_path_factory.mktemp("damaged") / "bundle"
    shutil.copytree(whole, damaged)
    return whole, damaged


@pytest.mark.parametrize("name", [MANIFEST, SEGMENTER, CALIBRATION])
@settings(max_examples=40)
@given(st.data())
def test_a_damaged_bundle_is_refused_or_still_says_a_probability_and_a_segment(
    folders: tuple[Path, Path], name: str, data: st.DataObject
) -> None:
    whole, damaged = folders
    logging.getLogger("features.bundle").setLevel(logging.ERROR)  # other time zone databases
    (damaged / name).write_bytes(data.draw(mutations((whole / name).read_bytes())))
    with contextlib.suppress(BundleError, SchemaMismatch):
        bundle = Bundle.load(damaged)
        assert read_manifest(damaged) == bundle.manifest
        scores = bundle.score(np.zeros((3, WIDTH), np.float32))
        assert ((scores.probability >= 0.0) & (scores.probability <= 1.0)).all()
        assert set(scores.segment) <= set(range(len(bundle.segmenter.segments)))
        assert set(scores.band) <= set(range(len(BANDS)))
    shutil.copy(whole / name, damaged / name)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (MANIFEST, {"band_thresholds": {"medium": 0.5}}),
        (MANIFEST, {"timezone": "Middle/Earth"}),
        (MANIFEST, {"timezone": "\0"}),
        (MANIFEST, {"horizon_seconds": -1.0}),
        (CALIBRATION, {"slope": None}),
        (SEGMENTER, {"columns": ["events", "nothing", "spend", "since_purchase"]}),
        (SEGMENTER, {"center": [1.0]}),
        (SEGMENTER, {"segments": []}),
        (SEGMENTER, {"scale": [1.0, 0.0, 1.0, 1.0]}),
    ],
)
def test_a_bundle_of_which_a_part_makes_no_sense_is_refused(
    folders: tuple[Path, Path], name: str, change: dict[str, object]
) -> None:
    whole, damaged = folders
    made = json.loads((whole / name).read_bytes()) | change
    (damaged / name).write_text(json.dumps(made))
    with pytest.raises(BundleError, match="train again"):
        Bundle.load(damaged)
    shutil.copy(whole / name, damaged / name)


RECORD = PartitionRecord(7, b"t" * 16, 40, 12, 3)


@given(mutations(RECORD.to_bytes()))
def test_a_damaged_record_is_refused_or_another_one(raw: bytes) -> None:
    with contextlib.suppress(UnreadableRecord):
        assert PartitionRecord.from_bytes(raw).to_bytes() == raw
    if raw != RECORD.to_bytes():
        with pytest.raises(StoreConflict):
            check_guard(0, raw, RECORD)


@given(mutations(CustomerItems("1f", ["a"], ["b"]).to_bytes()))
def test_damaged_offers_are_refused_or_read(raw: bytes) -> None:
    for kind in (CustomerItems, OfferPolicy):
        with contextlib.suppress(SchemaMismatch):
            found = kind.from_bytes(raw)
            assert kind.from_bytes(found.to_bytes()) == found


@pytest.mark.parametrize(
    "error",
    [ValueError("v"), OverflowError("o"), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "u"), RecursionError()],
)
def test_whatever_a_decoder_raises_is_one_error(error: Exception) -> None:
    def decode(raw: bytes) -> None:
        raise error

    with pytest.raises(Undecodable):
        decoded(decode, b"")
