"""Keys of hand-overs: what a worker has not signed is refused, whatever it says."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from features.state import DAY_MS, to_bytes
from stream.exceptions import SettingsError
from stream.formats.contract import NATIVE
from stream.kafka.records import ARRIVED_AT
from stream.kafka.signatures import SIGNATURE, HandOverKeys
from stream.logs.archive import FirstPass, take_events
from stream.scoring.engine import Engine
from stream.scoring.score_log import score_log
from tests.bundles import random_bundle
from tests.stream.records import NOW, record
from tests.stream.scoring.identity_bench import Shop, happening, login

NEW, OLD = "ab" * 32, "CD" * 40
KEYS = HandOverKeys([bytes.fromhex(NEW), bytes.fromhex(OLD)])


def written(folder: Path, text: str) -> Path:
    path = folder / "hand-over.key"
    path.write_text(text)
    return path


def test_what_the_first_key_has_signed_any_worker_with_that_key_accepts() -> None:
    old, other = HandOverKeys([bytes.fromhex(OLD)]), HandOverKeys([bytes(32)])
    signed = record(0, b"value", b"ada", headers=[NATIVE, KEYS.header(b"ada", b"value")])
    by_old = record(0, b"value", b"ada", headers=[old.header(b"ada", b"value")])
    assert (KEYS.fault(signed), KEYS.fault(by_old)) == ("", "")
    assert "of none of the keys" in old.fault(signed)
    assert "of none of the keys" in other.fault(signed)


@pytest.mark.parametrize(
    ("key", "value"),
    [(b"ada", b"valuE"), (b"adb", b"value"), (b"adav", b"alue"), (None, b"value"), (b"ada", None)],
)
def test_a_signature_is_of_this_key_and_this_value_alone(key: bytes | None, value: bytes | None) -> None:
    assert KEYS.fault(record(0, value, key, headers=[KEYS.header(b"ada", b"value")]))


def test_a_broken_signature_is_none() -> None:
    name, good = KEYS.header(b"ada", b"value")
    for broken in (b"", good[:-1], good.upper(), b"\xff" * 64, None):
        assert KEYS.fault(record(0, b"value", b"ada", headers=[(name, broken)])), broken
    assert not KEYS.fault(record(0, b"value", b"ada", headers=[(name, b"x"), (name, good)]))


def test_a_file_has_keys_and_the_moment_until_which_records_need_no_signature(tmp_path: Path) -> None:
    text = f"# first\n{NEW}\n\n  {OLD}  \nunsigned until 2024-03-04T01:00:00+01:00\n"
    keys = HandOverKeys.of(written(tmp_path, text))
    assert keys is not None
    assert keys.header(b"k", b"v") == KEYS.header(b"k", b"v")
    assert not keys.fault(record(0, b"v", b"k", timestamp=NOW - 1))
    assert keys.fault(record(0, b"v", b"k", timestamp=NOW))
    forged = record(0, b"v", b"k", timestamp=NOW, headers=[(ARRIVED_AT, b"%d" % (NOW - 1))])
    assert keys.fault(forged), "the broker's time counts, not what a producer says"
    assert keys.fault(record(0, b"v", b"k", timestamp=NOW - 1, headers=[(SIGNATURE, b"x")]))
    assert HandOverKeys.of(None) is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "has no key"),
        ("# none\n", "has no key"),
        (f"{NEW[:-2]}\n", "line 1 is no key of 64 hexadecimal digits"),
        (f"{NEW}\n{NEW}a\n", "line 2 is no key"),
        (f"{NEW}\nunsigned until tomorrow\n", "'tomorrow' is no time with a zone"),
        (f"{NEW}\nunsigned until 2026-12-01T00:00:00\n", "is no time with a zone"),
        ("\xe4" * 64, "cannot be read (it is no text)"),
    ],
)
def test_a_bad_file_is_one_line_that_shows_no_key(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(SettingsError) as refused:
        HandOverKeys.read(written(tmp_path, text))
    assert fault in str(refused.value)
    assert "INTENT_HAND_OVER_KEY" in str(refused.value)
    assert NEW[:20] not in str(refused.value)
    with pytest.raises(SettingsError, match="openssl rand -hex 32"):
        HandOverKeys.read(tmp_path / "missing")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder: Path = tmp_path_factory.mktemp("bundle")
    return Engine(random_bundle(folder), lateness_ms=DAY_MS, ttl_ms=400 * DAY_MS, holdout=0.0)


def archived(shop: Shop, keys: HandOverKeys | None) -> tuple[pa.Table, FirstPass]:
    taken = FirstPass(partitions=shop.partitions, hand_over_keys=keys)
    tables = [take_events(taken, number, log, None) for number, log in enumerate(shop.logs)]
    return pa.concat_tables(tables).replace_schema_metadata({"intent.source": "kafka"}), taken


def test_a_forged_hand_over_is_a_letter_and_the_real_one_counts(engine: Engine) -> None:
    shop = Shop(engine, keys=KEYS)
    shop.emit(happening(1, "a1", 0))
    shop.emit(happening(2, "grace", 0))
    forged = {
        "event_id": "f", "customer_id": "grace", "anonymous_id": "mallory", "event_time": NOW, "type": "merge",
        "source": [shop.home("mallory"), 0, 0], "path": ["mallory"], "erase": True,
    }  # fmt: skip
    shop.append(shop.home("grace"), "grace", json.dumps(forged).encode(), headers=[NATIVE])
    shop.emit(login(1, "a1", "ada", 1))
    shop.run()
    assert shop.counts() == {"ada": 1, "grace": 1}
    letters = [letter for output in shop.outputs for letter in output.letters]
    assert [(letter.key, letter.reason) for letter in letters] == [(b"grace", "bad_signature")]
    assert "INTENT_HAND_OVER_KEY" in letters[0].detail


def test_an_archive_leaves_forged_hand_overs_out_and_is_scored_without_the_keys(engine: Engine) -> None:
    shop = Shop(engine, keys=KEYS)
    for fields in (happening(1, "a1", 0), login(1, "a1", "ada", 1), happening(2, "a1", 2)):
        shop.emit(fields)
    shop.run()
    handed = next(one for log in shop.logs for one in log if b'"type":"merge"' in one.value)
    shop.append(handed.partition, "ada", handed.value.replace(b'"l1"', b'"l9"'), headers=[NATIVE])
    table, taken = archived(shop, KEYS)
    assert taken.refused == {"bad_signature": 1}
    scored = score_log(table, engine)
    assert dict(zip(scored.customers, to_bytes(scored.states), strict=True)) == {
        customer: to_bytes(state)[0] for customer, state in shop.states.items()
    }
