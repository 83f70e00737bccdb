"""Effects of columns add up, are the same in every batch, and belong to their network."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.bundle import Bundle, read_manifest
from features.exceptions import BundleError
from features.explainer import REASONS, TOLERANCE, Explainer
from features.vector import SEGMENT_AT, WIDTH, Vectors
from tests.bundles import random_bundle, save_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return random_bundle(tmp_path_factory.mktemp("bundle"))


def vectors_of(seed: int, rows: int) -> Vectors:
    """Return vectors of all sizes that columns have, segments filled."""
    rng = np.random.default_rng(seed)
    found = rng.normal(size=(rows, WIDTH)) * 10 ** rng.uniform(-2, 7, size=(rows, WIDTH))
    found[:, SEGMENT_AT] = rng.integers(0, 4, rows)
    return found.astype(np.float32)


def explainer_of(bundle: Bundle) -> Explainer:
    assert bundle.explainer is not None
    return bundle.explainer


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_effects_sum_to_the_log_odds_less_the_references(bundle: Bundle, seed: int) -> None:
    vectors, explainer = vectors_of(seed, 200), explainer_of(bundle)
    log_odds = bundle.calibration.log_odds(bundle.logits(vectors))
    total = explainer.effects(vectors).sum(axis=1)
    np.testing.assert_allclose(total, log_odds - explainer.reference.log_odds, atol=TOLERANCE, rtol=0)
    assert log_odds.std() > 0.1


def test_the_reference_customer_has_no_effects(bundle: Bundle) -> None:
    explainer = explainer_of(bundle)
    np.testing.assert_array_equal(explainer.effects(explainer.reference.row), np.zeros((1, WIDTH)))


def test_a_column_as_in_the_reference_customer_has_no_effect(bundle: Bundle) -> None:
    explainer, vectors = explainer_of(bundle), vectors_of(2, 50)
    vectors[:, 7] = explainer.reference.row[0, 7]
    effects = explainer.effects(vectors)
    assert (effects[:, 7] == 0).all()
    assert (np.delete(effects, 7, axis=1) != 0).any(axis=0).sum() > WIDTH / 2


@pytest.mark.parametrize("rows", [1, 2, 15, 16, 17, 127, 128, 129])
def test_a_row_has_the_same_effects_in_every_batch(bundle: Bundle, rows: int) -> None:
    vectors, explainer = vectors_of(rows, 300), explainer_of(bundle)
    whole = explainer.effects(vectors)
    for start in (0, 7, 300 - rows):
        part = explainer.effects(vectors[start : start + rows])
        assert part.tobytes() == whole[start : start + rows].tobytes()


def test_a_bundle_from_before_there_were_reasons_loads_without_them(tmp_path: Path) -> None:
    save_bundle(tmp_path, reasons=False)
    assert not (tmp_path / REASONS).exists()
    bundle = Bundle.load(tmp_path)
    assert bundle.explainer is None
    assert len(bundle.logits(vectors_of(1, 3))) == 3


def test_reasons_of_another_network_are_refused(tmp_path: Path) -> None:
    save_bundle(tmp_path / "one", seed=1)
    save_bundle(tmp_path / "two", seed=2)
    (tmp_path / "one" / REASONS).write_bytes((tmp_path / "two" / REASONS).read_bytes())
    with pytest.raises(BundleError, match=r"reasons\.onnx is not of its network\.onnx .* train again"):
        Bundle.load(tmp_path / "one")


def test_reasons_without_a_reference_customer_are_refused(tmp_path: Path) -> None:
    save_bundle(tmp_path)
    manifest = read_manifest(tmp_path)
    assert manifest is not None
    without = msgspec.structs.replace(manifest, reference_customer=None)
    (tmp_path / "manifest.json").write_bytes(msgspec.json.encode(without))
    with pytest.raises(BundleError, match="names no reference customer: train again"):
        Bundle.load(tmp_path)


def test_damaged_reasons_are_refused(tmp_path: Path) -> None:
    save_bundle(tmp_path)
    (tmp_path / REASONS).write_bytes(b"no graph")
    with pytest.raises(BundleError, match=r"reasons\.onnx cannot be loaded"):
        Bundle.load(tmp_path)
