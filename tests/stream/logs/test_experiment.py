"""What is bought in a log in which people log in: an archive, a log of the shop's own and its lines say the same."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from features.log import write_log
from features.state import DAY_MS
from stream.logs.archive import FirstPass, take_events
from stream.logs.experiment import PaymentLog, read_payments
from stream.scoring.engine import Engine
from stream.settings import Settings
from tests.bundles import random_bundle
from tests.stream.scoring.identity_bench import Shop, archived, happening, login

_LINKS = {"a1": ("ada",), "a2": ("a1",), "b1": ("ada", "grace"), "b2": ("grace",)}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder: Path = tmp_path_factory.mktemp("bundle")
    return Engine(random_bundle(folder), lateness_ms=DAY_MS, ttl_ms=400 * DAY_MS, holdout=0.0)


def story_of(chance: Random) -> list[dict[str, Any]]:
    found = []
    for number in range(120):
        who = chance.choice((*_LINKS, "ada", "grace"))
        if who in _LINKS and chance.random() < 0.3:
            found.append(login(number, who, chance.choice(_LINKS[who]), number))
        else:
            kind = chance.choice(("view_item", "purchase"))
            found.append(happening(number, who, number, kind, value=float(number)))
    return found


def bought(paid: PaymentLog) -> list[tuple[str, str]]:
    """Return whose each purchase is."""
    times = paid.table["event_time"].cast(pa.int64()).to_pylist()
    persons = paid.persons.ids(paid.table["customer_id"].to_pylist(), times)
    return sorted(zip(persons, paid.table["event_id"].to_pylist(), strict=True))


@pytest.mark.parametrize("seed", range(4))
def test_an_archive_a_plain_log_and_lines_give_the_same_people_and_each_purchase_once(
    engine: Engine, tmp_path: Path, seed: int
) -> None:
    chance, shop, settings = Random(seed), Shop(engine), Settings()
    story = story_of(chance)
    for fields in story:
        shop.emit(fields)
        if chance.random() < 0.2:
            shop.run(chance, most=4)
    shop.run(chance, most=4)
    plain = Shop(engine, partitions=1)
    for fields in story:
        plain.emit(fields)
    own = take_events(FirstPass(partitions=1), 0, plain.logs[0], None)
    write_log(tmp_path / "archive.parquet", archived(shop), metadata={"source": "kafka"})
    write_log(tmp_path / "plain.parquet", own.replace_schema_metadata(None))
    (tmp_path / "lines.jsonl").write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in story))
    archive, log, lines = (
        read_payments(settings, tmp_path / name)
        for name in ("archive.parquet", "plain.parquet", "lines.jsonl")
    )
    assert archive.persons == log.persons == lines.persons
    assert bought(archive) == bought(log) == bought(lines)
    assert (archive.notes, log.notes, lines.notes) == ((), (), ())
    purchases = [one["event_id"] for one in story if one["type"] == "purchase"]
    assert sorted(event for _, event in bought(log)) == sorted(purchases)
    assert {person for person, _ in bought(log)} >= {"a1", "b1\0"}, (
        "ada's first id stands for her; b1 is shared"
    )


def test_scores_tell_of_merges_and_these_make_people(engine: Engine, tmp_path: Path) -> None:
    shop = Shop(engine)
    for fields in (
        happening(1, "a1", 0),
        happening(2, "a2", 1),
        login(1, "a1", "ada", 2),
        login(2, "a2", "a1", 3),
        happening(3, "ada", 4, "purchase"),
    ):
        shop.emit(fields)
        shop.run()
    path = tmp_path / "scores.jsonl"
    path.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in shop.scores))
    paid = read_payments(Settings(), path)
    assert paid.persons.ids(["a1", "a2", "ada", "grace"], [0] * 4) == ["a1", "a1", "a1", "grace"]
    assert bought(paid) == [("a1", "e3")]
