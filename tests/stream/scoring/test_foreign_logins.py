"""A topic in another form in which events tell logins: as if a login had come before each of them."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from features.events import Reason
from features.state import DAY_MS, to_bytes
from stream.formats.registry import format_of
from stream.kafka.batches import RecordBatch
from stream.logs.archive import FirstPass, take_events
from stream.scoring.batch import RecordStatus
from stream.scoring.engine import Engine
from stream.scoring.intake import read_batches
from stream.scoring.score_log import score_log
from tests.bundles import random_bundle
from tests.stream.records import NOW, record
from tests.stream.scoring.identity_bench import MINUTE, Shop, assert_counted_alike, happening, login

FORM = format_of("segment")
_NAMES = {"view_item": "Product Viewed", "add_to_cart": "Product Added", "purchase": "Order Completed"}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder: Path = tmp_path_factory.mktemp("bundle")
    return Engine(random_bundle(folder), lateness_ms=DAY_MS, ttl_ms=400 * DAY_MS, holdout=0.0)


def call(
    number: int, anonymous: str, known: str | None, minute: float, kind: str = "view_item"
) -> dict[str, Any]:
    return {
        "type": "track", "event": _NAMES[kind], "messageId": f"e{number}", "anonymousId": anonymous, "userId": known,
        "timestamp": NOW + int(minute * MINUTE), "properties": {"product_id": f"i{number % 3}", "price": 9.5},
    }  # fmt: skip


def send(shop: Shop, key: str, value: dict[str, Any]) -> None:
    shop.append(shop.home(key), key, json.dumps(value).encode(), value["timestamp"])


@pytest.mark.parametrize("seed", range(20))
def test_events_with_both_ids_give_the_states_of_logins_and_events_apart(engine: Engine, seed: int) -> None:
    chance = Random(seed)
    foreign, native = Shop(engine, form=FORM), Shop(engine)
    for number in range(40):
        anonymous, kind = chance.choice(("a1", "a2", "a3")), chance.choice(list(_NAMES))
        # Two customers use the third device.
        known = (
            chance.choice(("ada", "grace")) if anonymous == "a3" else {"a1": "ada", "a2": "grace"}[anonymous]
        )
        told = known if chance.random() < number / 40 else None
        send(foreign, anonymous, call(number, anonymous, told, number, kind))
        if told:
            native.emit(login(number, anonymous, told, number))
        native.emit(happening(number, anonymous, number, kind, item_id=f"i{number % 3}", price=9.5))
    foreign.run(chance, most=4)
    native.run(chance, most=4)
    assert foreign.states.keys() == native.states.keys()
    for one, state in foreign.states.items():
        assert_counted_alike(state, native.states[one])
    assert foreign.link("a3") == native.link("a3")


def test_the_first_event_with_both_ids_hands_the_state_over_and_goes_along(engine: Engine) -> None:
    shop = Shop(engine, form=FORM)
    send(shop, "a1", call(1, "a1", None, 0))
    send(shop, "a1", call(2, "a1", "ada", 1))
    send(shop, "a1", call(3, "a1", "ada", 2))
    shop.run()
    assert shop.counts() == {"ada": 3}
    assert [(one.event_id, one.customer_id, one.merged) for one in shop.scores] == [
        ("e1", "a1", None), ("identify.e2", "ada", "a1"), ("e2", "ada", None), ("e3", "ada", None)
    ]  # fmt: skip


def test_the_archive_of_such_a_topic_gives_the_states_of_the_stream(engine: Engine) -> None:
    shop, chance = Shop(engine, form=FORM), Random(3)
    for number in range(40):
        anonymous = chance.choice(("a1", "a2"))
        known = chance.choice((None, "ada", "ada" if anonymous == "a1" else "grace"))
        send(shop, anonymous, call(number, anonymous, known, number))
    shop.run(chance, most=5)
    taken = FirstPass(partitions=shop.partitions)
    tables = [take_events(taken, number, log, None, form=FORM) for number, log in enumerate(shop.logs)]
    table = pa.concat_tables(tables).replace_schema_metadata({"intent.source": "kafka"})
    events = table.filter(pa.compute.is_null(table["identity"]))
    assert len(events) == 40, "each event once under the id under which it came"
    scored = score_log(table, engine)
    wanted = {customer: to_bytes(state)[0] for customer, state in shop.states.items()}
    assert dict(zip(scored.customers, to_bytes(scored.states), strict=True)) == wanted


def test_a_late_event_is_a_letter_and_its_login_counts(tmp_path: Path) -> None:
    engine = Engine(random_bundle(tmp_path), lateness_ms=MINUTE, ttl_ms=400 * DAY_MS, holdout=0.0)
    values = [call(1, "a1", None, 30), call(2, "a1", "ada", 0), call(3, "a1", "ada", 31)]
    home = Shop(engine).home("a1")
    records = [
        record(at, json.dumps(value).encode(), b"a1", partition=home, timestamp=NOW + 60 * MINUTE)
        for at, value in enumerate(values)
    ]
    batch = read_batches([RecordBatch(home, records, 0, 3)], [0], engine, partitions=3, form=FORM)
    assert [(fault.index, fault.reason) for fault in batch.rejections] == [(1, Reason.LATE)]
    assert batch.status.tolist() == [RecordStatus.EVENT, RecordStatus.IDENTIFY, RecordStatus.EVENT]
    np.testing.assert_array_equal(batch.rows, [0, 1, 2])
    assert batch.identities.keys() == {1, 2}
