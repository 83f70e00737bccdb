"""The benchmark of learning, on a small sale with an untrained network."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from benchmarks.learning import drift
from benchmarks.learning.picture import picture
from benchmarks.learning.sales import OnProgress, SaleLog, sale_log
from features.bundle import Bundle
from stream.learning.model.settings import LearningSettings
from tests.bundles import random_bundle


@contextmanager
def silent(description: str) -> Iterator[OnProgress]:
    yield lambda done, total: None


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return random_bundle(Path(tmp_path_factory.mktemp("bundle")))


@pytest.fixture(scope="module")
def log(bundle: Bundle) -> SaleLog:
    return sale_log("s10", bundle, 1_000, silent)


def test_examples_come_in_order_and_know_their_exact_probability(log: SaleLog) -> None:
    assert (np.diff(log.examples.as_of) >= 0).all()
    assert log.exact.mean() == pytest.approx(log.labels.mean(), abs=0.02)
    assert log.day.min() >= 0 and log.day.max() < 18


def test_learning_from_delayed_labels_beats_an_untrained_network(bundle: Bundle, log: SaleLog) -> None:
    done: list[int] = []
    played = drift.play(log, bundle, LearningSettings(), lambda at, total: done.append(at))
    assert done[-1] == len(log.labels)
    found = drift.judge(log, played)
    assert list(found) == [*drift.WINDOWS, "alerts"]
    for window in drift.WINDOWS:
        assert set(found[window]) == set(drift.JUDGED)
        assert found[window]["blend"]["ece"] < found[window]["frozen"]["ece"]


def test_the_first_horizon_is_published_by_the_network_alone(bundle: Bundle, log: SaleLog) -> None:
    played = drift.play(log, bundle, LearningSettings(), lambda at, total: None)
    early = log.examples.as_of < log.examples.as_of[0] + 45 * 60_000
    assert early.any()
    assert np.array_equal(played.blend[early], played.frozen[early])


def test_the_picture_is_an_image_with_every_line_of_both_sales() -> None:
    course = {"day": [0.0, 9.0, 17.75], **{name: [0.001, 0.05, 0.002] for name in drift.JUDGED}}
    image = ET.fromstring(picture({"s10": {"course": course}, "s9": {"course": course}}))
    assert len(image.findall("{http://www.w3.org/2000/svg}polyline")) == 2 * len(drift.JUDGED)
