from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from aiokafka import AIOKafkaProducer
from typer.testing import CliRunner

from features.events import decode
from features.exceptions import LogError
from features.log import ERASED, log_metadata, read_log, write_log
from stream.cli import create_app
from stream.clients.emit import EventEmitter
from stream.exceptions import TopicMismatch
from stream.logs.archive import archive
from stream.logs.overtaken import overtaken
from stream.logs.replay import replay
from stream.scoring.engine import engine_of
from stream.scoring.score_log import ScoredLog, score_log
from stream.settings import Settings
from stream.texts import moment
from tests.bundles import random_bundle
from tests.integration.topics import Record, environment, held, write
from tests.stream.logs.logs import START, events_of, random_log
from tests.stream.logs.test_replay import AdvancedClock


@pytest.fixture
def log(tmp_path: Path, seed: int) -> Path:
    path = tmp_path / "log.parquet"
    write_log(path, random_log(600, seed).sort_by("arrived_at"), metadata={"source": "test"})
    return path


def by_id(table: pa.Table) -> pa.Table:
    return events_of(table).drop_columns("items").sort_by("event_id").combine_chunks()


def scored(settings: Settings, path: Path, partitions: int | None) -> ScoredLog:
    engine = engine_of(settings, random_bundle(settings.bundle))
    return score_log(read_log(path), engine, partitions=partitions)


def states_of(found: ScoredLog) -> dict[str, bytes]:
    return {who: state.tobytes() for who, state in zip(found.customers, found.states, strict=True)}


def test_a_replayed_log_comes_back_from_the_topic_bit_for_bit(
    topics: Settings, log: Path, tmp_path: Path
) -> None:
    seen: list[tuple[int, int]] = []
    report = replay(topics, log, on_progress=lambda done, total: seen.append((done, total)))
    assert (report.events, report.erased, sum(report.partitions.values())) == (600, 0, 600)
    assert seen[-1] == (600, 600)
    again = archive(
        topics, tmp_path / "again.parquet", on_progress=lambda done, total: seen.append((done, total))
    )
    assert (again.events, again.erased, again.refused) == (600, 0, {})
    assert seen[-1] == (600, 600)
    there, back = read_log(log), read_log(tmp_path / "again.parquet")
    assert by_id(back).equals(by_id(there))
    assert back["arrived_at"].equals(there["arrived_at"])
    assert [items or None for items in back.sort_by("event_id")["items"].to_pylist()] == [
        items or None for items in there.sort_by("event_id")["items"].to_pylist()
    ]
    assert log_metadata(tmp_path / "again.parquet") == {
        "source": "kafka",
        "topic": topics.events_topic,
        "partitions": "3",
    }


def test_scoring_the_archive_gives_the_states_of_the_log_that_was_replayed(
    topics: Settings, log: Path, tmp_path: Path
) -> None:
    replay(topics, log)
    archive(topics, tmp_path / "again.parquet")
    there, back = scored(topics, log, 3), scored(topics, tmp_path / "again.parquet", None)
    assert states_of(back) == states_of(there)
    assert back.watermarks == there.watermarks
    intents = [
        dict(zip(one.scores["event_id"].to_pylist(), one.scores["purchase_intent"].to_pylist(), strict=True))
        for one in (there, back)
    ]
    assert intents[0] == intents[1]


def test_each_partition_has_its_customers_events_in_the_order_of_the_log(topics: Settings, log: Path) -> None:
    replay(topics, log)
    records = held(topics, topics.events_topic)
    expected = read_log(log)
    for customer in set(expected["customer_id"].to_pylist()):
        own = [record for record in records if record.key == customer.encode()]
        assert len({record.partition for record in own}) == 1
        mine = expected.filter(pc.equal(expected["customer_id"], customer))
        assert [decode(record.value).event_id for record in own] == mine["event_id"].to_pylist()
    arrivals = dict(
        zip(
            expected["event_id"].to_pylist(), expected["arrived_at"].cast(pa.int64()).to_pylist(), strict=True
        )
    )
    assert all(
        record.headers == (("arrived_at", b"%d" % arrivals[decode(record.value).event_id]),)
        for record in records
    )


def test_an_archive_can_be_replayed_without_its_erased_rows(topics: Settings, tmp_path: Path) -> None:
    table = random_log(100, 4).sort_by("arrived_at")
    replay(topics, table)
    gone = table["customer_id"][0].as_py()
    with EventEmitter(topics) as shop:
        shop.erase(gone)
        shop.emit(event_id="later", type="search", customer_id=gone, event_time=START)
    report = archive(topics, tmp_path / "log.parquet")
    lost = table["customer_id"].to_pylist().count(gone)
    assert (report.events, report.erased, report.erasures) == (100 - lost + 1, lost, 1)
    erased = read_log(tmp_path / "log.parquet").filter(pc.field("type") == ERASED)
    assert erased["customer_id"].null_count == erased["event_id"].null_count == lost
    again = replay(topics, tmp_path / "log.parquet")
    assert (again.events, again.erased) == (100 - lost + 1, lost)


def test_a_log_that_names_wrong_partitions_of_this_topic_is_refused(topics: Settings, tmp_path: Path) -> None:
    replay(topics, random_log(50, 2))
    archive(topics, tmp_path / "log.parquet")
    table = read_log(tmp_path / "log.parquet")
    at = table.column_names.index("partition")
    moved = table.set_column(at, "partition", pc.subtract(2, table["partition"]))
    for partitions, refused in (("3", True), ("12", False)):
        write_log(tmp_path / "moved.parquet", moved, metadata={"partitions": partitions})
        if refused:
            with pytest.raises(LogError, match="by murmur2"):
                replay(topics, tmp_path / "moved.parquet")
        else:
            assert replay(topics, tmp_path / "moved.parquet").events == 50


def test_a_paced_replay_sends_everything(topics: Settings, log: Path) -> None:
    clock = AdvancedClock()
    report = replay(topics, log, speed="60x", clock=clock)
    assert report.events == 600 == len(held(topics, topics.events_topic))
    span = read_log(log)["event_time"].cast(pa.int64())
    assert clock.time - 100 == pytest.approx((pc.max(span).as_py() - span[0].as_py()) / 60_000, abs=0.5)


def test_a_replay_tells_the_event_time_that_it_has_come_to(topics: Settings, log: Path) -> None:
    times: list[int] = []
    done: list[int] = []
    replay(
        topics,
        log,
        speed="60x",
        clock=AdvancedClock(),
        on_progress=lambda sent, _: done.append(sent),
        on_time=times.append,
    )
    assert times == sorted(times)
    assert done == sorted(done)
    assert len(done) == len(times) > 10
    assert done[-1] == 600
    assert times[-1] == pc.max(read_log(log)["event_time"].cast(pa.int64())).as_py()


def told_of_replay(settings: Settings, log: Path) -> str:
    told = CliRunner(env=environment(settings)).invoke(
        create_app(), ["replay", str(log)], catch_exceptions=False
    )
    assert told.exit_code == 0
    return told.stderr


def test_old_events_beside_newer_ones_are_warned_of_and_sent(topics: Settings, tmp_path: Path) -> None:
    log = tmp_path / "log.parquet"
    table = random_log(60, 1, customers=1)
    write_log(log, table)
    first = pc.min(table["event_time"].cast(pa.int64())).as_py()
    assert told_of_replay(topics, log) == "", "the topic is empty"
    for ahead_ms, warned in ((0, False), (1, True)):
        event = {
            "event_id": "e",
            "type": "search",
            "customer_id": "ada",
            "event_time": first + 900_000 + ahead_ms,
        }
        with EventEmitter(topics) as shop:
            shop.emit(**event)
            shop.erase("ada")
        said = told_of_replay(topics, log)
        assert bool(said) == warned
    assert said.startswith(
        f"warning: the log begins at {moment(first)}, but {topics.events_topic} has events up to "
    )
    assert "more than 15m older" in said
    assert len(said.splitlines()) == 1
    assert len(held(topics, topics.events_topic)) == 3 * 60 + 4


def test_an_event_that_claims_to_come_from_the_future_is_no_reason_to_warn(
    topics: Settings, tmp_path: Path
) -> None:
    log = tmp_path / "log.parquet"
    write_log(log, random_log(10, 1))
    with EventEmitter(topics) as shop:
        shop.emit(event_id="e", type="search", customer_id="ada", event_time=4_102_444_800_000)
    assert overtaken(topics, log) is None


def test_an_archive_holds_what_was_committed_and_ends_before_an_open_transaction(
    topics: Settings, tmp_path: Path
) -> None:
    def value(number: int) -> bytes:
        return b'{"event_id":"e%d","type":"search","customer_id":"ada","event_time":%d}' % (
            number,
            START + number,
        )

    async def run() -> list[str]:
        producer = AIOKafkaProducer(bootstrap_servers=topics.kafka, transactional_id=topics.group)
        async with producer:
            for number, commit in ((1, True), (2, False), (3, True)):
                await producer.begin_transaction()
                await producer.send_and_wait(topics.events_topic, value(number), key=b"ada")
                await (producer.commit_transaction() if commit else producer.abort_transaction())
            await producer.begin_transaction()
            await producer.send_and_wait(topics.events_topic, value(4), key=b"ada")
            report = await asyncio.to_thread(archive, topics, tmp_path / "log.parquet")
            await producer.abort_transaction()
            assert report.events == 2
            await asyncio.to_thread(archive, topics, tmp_path / "log.parquet")
        return read_log(tmp_path / "log.parquet")["event_id"].to_pylist()

    assert asyncio.run(run()) == ["e1", "e3"]


def test_an_archive_leaves_out_what_is_no_event_and_counts_it(topics: Settings, tmp_path: Path) -> None:
    good = b'{"event_id":"e","type":"search","customer_id":"ada","event_time":1772366400000}'
    late_year = good.replace(b"1772366400000", b'"9999-12-31T23:59:59-12:00"')
    wrong = [Record(b"ada", good, partition) for partition in range(3)]
    bad = [Record(b"ada", b"{"), Record(None, good), Record(b"eve", good), Record(b"ada", late_year)]
    write(topics, topics.events_topic, [*wrong, *bad])
    told = CliRunner(env=environment(topics)).invoke(
        create_app(), ["archive", "-o", str(tmp_path / "log.parquet"), "--json"], catch_exceptions=False
    )
    report = json.loads(told.stdout)
    assert report["events"] == 1
    counts = report["refused"]
    assert counts["wrong_partition"] >= 2
    assert (
        counts["missing_key"] == counts["key_mismatch"] == counts["not_json"] == counts["invalid_field"] == 1
    )
    assert sum(counts.values()) == 6
    assert read_log(tmp_path / "log.parquet")["event_id"].to_pylist() == ["e"]


def test_events_since_a_moment_are_those_that_arrived_then_or_later(topics: Settings, tmp_path: Path) -> None:
    table = random_log(300, 6).sort_by("arrived_at")
    replay(topics, table)
    since = table["arrived_at"][200].as_py()
    told = CliRunner(env=environment(topics)).invoke(
        create_app(),
        ["archive", "-o", str(tmp_path / "log.parquet"), "--since", since.isoformat(), "--json"],
        catch_exceptions=False,
    )
    wanted = table.filter(pc.greater_equal(table["arrived_at"], table["arrived_at"][200]))
    assert json.loads(told.stdout)["events"] == len(wanted)
    assert by_id(read_log(tmp_path / "log.parquet")).equals(by_id(wanted))


def test_an_empty_topic_is_an_empty_log_and_a_missing_one_leaves_the_old_log(
    topics: Settings, log: Path, tmp_path: Path
) -> None:
    assert archive(topics, tmp_path / "empty.parquet").events == 0
    assert len(read_log(tmp_path / "empty.parquet")) == 0
    with pytest.raises(TopicMismatch, match=r"no topic nowhere\.events"):
        archive(topics.model_copy(update={"topic_prefix": "nowhere."}), log)
    assert len(read_log(log)) == 600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.parquet", "log.parquet"]


def test_the_command_replays_a_log(topics: Settings, log: Path) -> None:
    told = CliRunner(env=environment(topics)).invoke(
        create_app(), ["replay", str(log), "--json"], catch_exceptions=False
    )
    assert told.exit_code == 0
    report = json.loads(told.stdout)
    assert report["events"] == 600 == len(held(topics, topics.events_topic))
    assert report["events_per_second"] > 0
