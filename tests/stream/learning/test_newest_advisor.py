"""A scorer's advisor is the newest one for its bundle, and stays in place where none can be had."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from features.bundle import Bundle
from features.exceptions import StoreUnavailable
from features.vector import WIDTH
from stream.learner import learning_settings
from stream.learning.learning import Learning
from stream.learning.newest_advisor import NewestAdvisor
from stream.learning.snapshot_store import SnapshotStore
from stream.settings import Settings
from tests.bundles import save_bundle


class Shelf:
    """What the learner has laid down for scorers."""

    def __init__(self) -> None:
        self.held: tuple[str, bytes | None] = ("", None)
        self.away = False
        self.loads = 0
        self.former: dict[str, bytes] = {}

    def former_for_scorers(self, bundle: str) -> bytes | None:
        return self.former.get(bundle)

    def put(self, bundle: Bundle, version: str = "") -> None:
        saved = Learning.begin(bundle, learning_settings(Settings()), 2).saved()
        self.held = (version or saved.version, saved.scorers)

    def version(self) -> str:
        if self.away:
            raise StoreUnavailable("Redis is away")
        return self.held[0]

    def for_scorers(self) -> tuple[str, bytes | None]:
        self.loads += 1
        return self.held


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Bundle]:
    mine, other = (
        Bundle.load(save_bundle(Path(tmp_path_factory.mktemp("bundle")), seed=seed)) for seed in (6, 7)
    )
    return mine, other


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def newest(shelf: Shelf, bundles: tuple[Bundle, Bundle]) -> NewestAdvisor:
    return NewestAdvisor(cast("SnapshotStore", shelf), bundles[0])


def look(newest: NewestAdvisor) -> None:
    asyncio.run(newest.look())


def test_a_snapshot_is_loaded_once_until_there_is_a_newer_one(
    shelf: Shelf, newest: NewestAdvisor, bundles: tuple[Bundle, Bundle]
) -> None:
    look(newest)
    assert newest.current is None
    shelf.put(bundles[0])
    look(newest)
    first = newest.current
    assert first is not None
    look(newest)
    assert (newest.current, shelf.loads) == (first, 1)
    shelf.put(bundles[0], "a newer one")
    look(newest)
    assert newest.current is not first
    shelf.held = ("forgotten", None)
    look(newest)
    assert newest.current is None


def test_the_first_snapshot_says_what_the_network_says(
    shelf: Shelf, newest: NewestAdvisor, bundles: tuple[Bundle, Bundle]
) -> None:
    shelf.put(bundles[0])
    look(newest)
    assert newest.current is not None
    assert newest.current.version == 0
    vectors = np.random.default_rng(3).random((50, WIDTH)).astype(np.float32)
    said = bundles[0].score(vectors)
    advice = newest.current.advise(vectors, said.logit, said.segment)
    for probability in advice:
        assert np.allclose(probability, said.probability, rtol=1e-12, atol=0), (
            "a number, although nothing was learned"
        )


def test_what_was_learned_stays_while_redis_is_away(
    shelf: Shelf, newest: NewestAdvisor, bundles: tuple[Bundle, Bundle]
) -> None:
    shelf.put(bundles[0])
    look(newest)
    shelf.away = True
    look(newest)
    assert newest.current is not None


def test_another_bundles_snapshots_are_left_alone_and_said_once(
    shelf: Shelf, newest: NewestAdvisor, bundles: tuple[Bundle, Bundle], caplog: pytest.LogCaptureFixture
) -> None:
    shelf.put(bundles[0])
    look(newest)
    mine = newest.current
    with caplog.at_level(logging.INFO):
        for version in ("one", "two"):
            shelf.put(bundles[1], version)
            look(newest)
    assert newest.current is mine
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "keeps what was learned for it before" in caplog.text


def test_a_snapshot_that_cannot_be_read_leaves_the_network_alone(
    shelf: Shelf, newest: NewestAdvisor, bundles: tuple[Bundle, Bundle], caplog: pytest.LogCaptureFixture
) -> None:
    shelf.put(bundles[0])
    look(newest)
    shelf.held = ("torn", b"not a snapshot")
    look(newest)
    assert newest.current is None
    assert "scores come from the network alone" in caplog.text


def test_a_bundle_that_is_gone_back_to_scores_with_what_was_learned_for_it_before(
    shelf: Shelf, newest: NewestAdvisor, bundles: tuple[Bundle, Bundle], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    shelf.put(bundles[0])
    shelf.former[bundles[0].manifest.version] = shelf.held[1] or b""
    shelf.put(bundles[1])
    look(newest)
    former = newest.current
    assert former is not None
    shelf.put(bundles[1], "a newer one")
    look(newest)
    assert newest.current is former
    assert "keeps what was learned for it before" in caplog.text
    shelf.put(bundles[0])
    look(newest)
    assert newest.current is not former
