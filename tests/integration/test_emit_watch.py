from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from queue import SimpleQueue

import msgspec
import pytest
from kafka import KafkaAdminClient, KafkaProducer
from msgspec import structs
from typer.testing import CliRunner

from features.events import Event, Item, RejectedEvent, decode, encode
from features.partition import partitions_of
from stream.cli import create_app
from stream.clients.actions import ActionWatcher
from stream.clients.emit import DeliveryError, EventEmitter
from stream.clients.watch import ScoreWatcher
from stream.exceptions import BrokerError, SettingsError, TopicMismatch
from stream.kafka.newest import NewestRecords
from stream.messages.action import Action
from stream.messages.score import Score
from stream.settings import Settings
from tests.integration.test_bad_records import RawName
from tests.integration.topics import Record, configure, environment, held, stored_bytes, write
from tests.integration.workers import until
from tests.stream.clients.test_actions import HOUR, action
from tests.stream.clients.test_watch import score

NOON = 1_772_366_400_000
# Who starts the tests in the background ignores Ctrl-C, and children inherit that.
_COMMAND = """\
import signal
from stream.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""


def event(number: int, customer: str = "ada") -> Event:
    return Event(event_id=f"e{number}", type="search", customer_id=customer, event_time=NOON + number)


def encoded(messages: Sequence[Score] | Sequence[Action]) -> list[bytes]:
    return list(map(msgspec.json.encode, messages))


def write_scores(settings: Settings, scores: Sequence[Score]) -> None:
    records = [Record(s.customer_id.encode(), msgspec.json.encode(s), partition=0) for s in scores]
    write(settings, settings.scores_topic, records)


def test_events_go_to_their_customers_partition_in_order(topics: Settings) -> None:
    customers = [f"Kundin {number} ä" for number in range(20)]
    sent = [event(number, customers[number % 20]) for number in range(200)]
    with EventEmitter(topics) as shop:
        for one in sent:
            shop.emit(one)
    records = held(topics, topics.events_topic)
    assert sorted(record.value for record in records) == sorted(map(encode, sent))
    keys = [record.key for record in records]
    assert keys == [decode(record.value).customer_id.encode() for record in records]
    assert [record.partition for record in records] == partitions_of(keys, topics.partitions).tolist()
    for customer in customers:
        own = [decode(record.value).event_id for record in records if record.key == customer.encode()]
        assert own == [one.event_id for one in sent if one.customer_id == customer]


def test_an_event_given_by_fields_gets_an_id_and_the_present_time(topics: Settings) -> None:
    with EventEmitter(topics, clock=lambda: NOON) as shop:
        made = shop.emit(
            type="purchase", customer_id="ada", value=9.5, items=[{"item_id": "i", "quantity": 2}]
        )
        with pytest.raises(TypeError, match="no field 'itemid'"):
            shop.emit(type="search", customer_id="ada", itemid="i")
        with pytest.raises(RejectedEvent, match="price"):
            shop.emit(type="view_item", customer_id="ada", price=-1)
        with pytest.raises(RejectedEvent, match="price"):
            shop.emit(msgspec.structs.replace(event(1), price=-1.0))
    assert made.event_time == NOON
    assert made.items == [Item("i", quantity=2)]
    assert [decode(record.value) for record in held(topics, topics.events_topic)] == [made]


def test_a_request_to_erase_is_a_null_value_in_the_customers_partition(topics: Settings) -> None:
    with EventEmitter(topics) as shop:
        shop.emit(event(1))
        partition, offset = shop.erase("ada")
    last = held(topics, topics.events_topic)[-1]
    assert (last.key, last.value, last.partition, last.offset) == (b"ada", None, partition, offset)


def test_events_that_kafka_does_not_take_are_named(topics: Settings) -> None:
    configure(topics, topics.events_topic, {"max.message.bytes": "500"})
    shop = EventEmitter(topics)
    shop.emit(event(1))
    shop.flush()
    shop.emit(msgspec.structs.replace(event(2), device="x" * 250, country="x" * 250))
    with pytest.raises(DeliveryError, match="did not accept 1 event .e2.") as failed:
        shop.close()
    assert failed.value.event_ids == ["e2"]
    assert [decode(record.value).event_id for record in held(topics, topics.events_topic)] == ["e1"]


@pytest.mark.parametrize("compression", ["gzip", "lz4", "snappy", "zstd"])
def test_topics_are_read_whoever_has_compressed_them(topics: Settings, compression: str) -> None:
    settings = Settings(_env_file=None, **(topics.model_dump() | {"compression": compression}))
    answers = (settings.scores_topic, settings.actions_topic, settings.dead_letters_topic)
    for name in answers:
        configure(settings, name, {"compression.type": compression})

    sent = [event(number) for number in range(300)]  # compressed by us
    with EventEmitter(settings) as shop:
        for one in sent:
            shop.emit(one)
    assert [record.value for record in held(settings, settings.events_topic)] == list(map(encode, sent))
    assert stored_bytes(settings, settings.events_topic) < sum(map(len, map(encode, sent)))

    scores = [score("ada", number / 300) for number in range(300)]  # by the broker
    actions = [action(number) for number in range(300)]
    write(settings, settings.actions_topic, [Record(b"ada", value, 0) for value in encoded(actions)])
    write_scores(settings, scores)
    letters = [b"letter " * 8 + b"%d" % number for number in range(300)]
    write(settings, settings.dead_letters_topic, [Record(b"ada", letter, 0) for letter in letters])
    for topic, values in zip(answers, (encoded(scores), encoded(actions), letters), strict=True):
        assert stored_bytes(settings, topic) < sum(map(len, values))
    with ScoreWatcher(settings, from_beginning=True, limit=300) as watcher:
        assert [one.purchase_intent for one in watcher] == [one.purchase_intent for one in scores]
    with ActionWatcher(settings, from_beginning=True, limit=300) as actions_watcher:
        assert list(actions_watcher) == actions
    with NewestRecords(settings, settings.scores_topic, records=300) as newest:
        assert newest.read() == encoded(scores)
    assert [record.value for record in held(settings, settings.dead_letters_topic)] == letters


def test_a_compression_whose_library_is_missing_is_named(
    topics: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(_env_file=None, **(topics.model_dump() | {"compression": "zstd"}))
    with EventEmitter(settings) as shop:
        shop.emit(event(1))
    with closing(KafkaProducer(bootstrap_servers=topics.kafka, compression_type="zstd")) as producer:
        producer.send(topics.scores_topic, value=msgspec.json.encode(score("ada", 0.1)), key=b"ada")
    monkeypatch.setattr("kafka.codec.zstd", None)
    with pytest.raises(
        SettingsError, match=r"^INTENT_COMPRESSION is zstd, whose library is not installed: pip "
    ):
        EventEmitter(settings)
    with (
        ScoreWatcher(topics, from_beginning=True, limit=1) as watcher,
        pytest.raises(
            BrokerError, match=r"scores is compressed in a way that cannot be read here \(.*zstd.*pip "
        ),
    ):
        next(iter(watcher))


def test_what_is_on_its_way_is_sent_before_the_program_ends(topics: Settings) -> None:
    program = (
        "from stream.clients.emit import EventEmitter\n"
        "shop = EventEmitter()\n"
        "for n in range(50): shop.emit(event_id=f'e{n}', type='search', customer_id='ada')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | environment(topics),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(held(topics, topics.events_topic)) == 50


def test_a_missing_topic_is_one_clear_error(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.clients.emit._CONNECT_MS", 3000)
    with pytest.raises(TopicMismatch, match=f"no topic {settings.events_topic}: .*intent topics create"):
        EventEmitter(settings)
    with pytest.raises(TopicMismatch, match=f"no topic {settings.scores_topic}: .*intent topics create"):
        ScoreWatcher(settings)


def test_the_command_sends_good_lines_and_refuses_bad_ones(topics: Settings) -> None:
    lines = b"\n".join([encode(event(1)), b"{", encode(event(2))])
    told = CliRunner(env=environment(topics)).invoke(
        create_app(), ["emit", "-", "--skip-invalid", "--json"], input=lines, catch_exceptions=False
    )
    assert told.exit_code == 1
    assert json.loads(told.stdout) == {"emitted": 2, "refused": 1}
    assert told.stderr.startswith("line 2: not_json: ")
    assert [decode(record.value) for record in held(topics, topics.events_topic)] == [event(1), event(2)]


def test_a_watcher_filters_by_band_and_segment(topics: Settings) -> None:
    write_scores(topics, [score("ada", band="high"), score("bob", band="low"), score("eve", band="medium")])
    for bands, segment, customers in (
        ((), None, ["ada", "bob", "eve"]),
        (("high", "medium"), None, ["ada", "eve"]),
        (("high",), "loyal [b]", ["ada"]),
        (("high",), "LOYAL", ["ada"]),
        (("high",), 1, ["ada"]),
        ((), "visitors", []),
    ):
        found = []
        with ScoreWatcher(
            topics, bands=bands, segment=segment, from_beginning=True, limit=len(customers)
        ) as watcher:
            if customers:
                found = [one.customer_id for one in watcher]
        assert found == customers


@pytest.mark.parametrize(
    ("segment", "hint"), [("visitors", "; their segments are 1 loyal [b]"), ("loyal", ""), (None, "")]
)
def test_a_watcher_of_a_segment_that_nobody_is_in_names_those_that_came(
    topics: Settings, segment: str | None, hint: str
) -> None:
    with ScoreWatcher(topics, segment=segment, from_beginning=True) as watcher, ThreadPoolExecutor(1) as pool:
        seen = pool.submit(list, watcher)
        assert watcher.hint() == ""
        write_scores(topics, [score("ada"), score("bob")])
        until(lambda: watcher.messages == 2, "both scores came")
        assert watcher.hint() == hint
        watcher.stop()
        seen.result(10)


def test_a_watcher_shows_bots_and_staff_only_if_it_is_asked(topics: Settings) -> None:
    apart = [
        msgspec.structs.replace(score("bot"), traffic="bot"),
        msgspec.structs.replace(score("own"), traffic="staff"),
    ]
    write_scores(topics, [*apart, score("ada")])
    for all_traffic, customers in ((False, ["ada"]), (True, ["bot", "own", "ada"])):
        with ScoreWatcher(
            topics, all_traffic=all_traffic, from_beginning=True, limit=len(customers)
        ) as watcher:
            assert [one.customer_id for one in watcher] == customers


def test_a_watcher_sees_what_comes_after_its_start_and_nothing_before(topics: Settings) -> None:
    write_scores(topics, [score("before")])
    with (
        ScoreWatcher(topics, limit=1) as first,
        ScoreWatcher(topics, limit=1, group=f"{topics.group}-w") as second,
    ):
        write_scores(topics, [score("after")])
        assert [one.customer_id for one in first] == ["after"]
        assert [one.customer_id for one in second] == ["after"]


def test_a_member_rejoins_however_short_its_polls_are(
    topics: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Partitions that are added make the member join again; a poll ends while it waits for the broker's answers."""
    monkeypatch.setattr("stream.clients.topic_watcher._POLL_MS", 3)
    with ScoreWatcher(topics, group=f"{topics.group}-w", from_beginning=True, limit=1) as watcher:
        with KafkaAdminClient(bootstrap_servers=topics.kafka) as admin:
            admin.create_partitions({topics.scores_topic: topics.partitions + 1})
            until(
                lambda: (
                    len(admin.describe_topics([topics.scores_topic])[0]["partitions"]) > topics.partitions
                ),
                "the new partition takes records",
            )
        write(
            topics,
            topics.scores_topic,
            [Record(b"new", msgspec.json.encode(score("new")), topics.partitions)],
        )
        watcher._consumer._client.cluster.request_update()
        assert [one.customer_id for one in watcher] == ["new"]


def test_what_a_member_has_passed_is_committed_before_another_takes_its_partitions(
    topics: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.clients.topic_watcher._COMMIT_SECONDS", 3600.0)
    group = f"{topics.group}-w"
    write_scores(topics, [score(f"c{number}") for number in range(3)])
    with (
        ThreadPoolExecutor() as pool,
        ScoreWatcher(topics, group=group, from_beginning=True) as first,
    ):
        seen: SimpleQueue[str] = SimpleQueue()
        looking = pool.submit(lambda: [seen.put(one.customer_id) for one in first])
        assert [seen.get(timeout=30) for _ in range(3)] == ["c0", "c1", "c2"]
        with ScoreWatcher(topics, group=group, from_beginning=True, limit=1) as second:
            first.stop()
            looking.result(30)
            first.close()
            write_scores(topics, [score("new")])
            assert [one.customer_id for one in second] == ["new"]


def test_a_group_remembers_its_start_before_its_first_score(topics: Settings) -> None:
    with ScoreWatcher(topics, group=f"{topics.group}-w"):
        pass
    write_scores(topics, [score("between")])
    with ScoreWatcher(topics, group=f"{topics.group}-w", limit=1) as watcher:
        assert [one.customer_id for one in watcher] == ["between"]


def test_a_group_goes_on_where_it_stopped(topics: Settings) -> None:
    write_scores(topics, [score(f"c{number}") for number in range(5)])
    found = []
    for limit in (2, 1, 2):
        with ScoreWatcher(topics, group=f"{topics.group}-w", from_beginning=True, limit=limit) as watcher:
            found.append([one.customer_id for one in watcher])
    assert found == [["c0", "c1"], ["c2"], ["c3", "c4"]]


def test_what_was_being_looked_at_when_a_group_broke_off_comes_again(topics: Settings) -> None:
    write_scores(topics, [score(f"c{number}") for number in range(3)])
    with ScoreWatcher(topics, group=f"{topics.group}-w", from_beginning=True) as watcher:
        for one in watcher:
            if one.customer_id == "c1":
                break
    with ScoreWatcher(topics, group=f"{topics.group}-w", from_beginning=True, limit=2) as watcher:
        assert [one.customer_id for one in watcher] == ["c1", "c2"]


def test_tombstones_and_records_that_are_no_scores_are_passed_over(topics: Settings) -> None:
    write_scores(topics, [score("ada")])
    write(topics, topics.scores_topic, [Record(b"ada", None, 0), Record(b"bob", b"?", 0)])
    write_scores(topics, [score("eve")])
    erased: list[str] = []
    with ScoreWatcher(topics, from_beginning=True, limit=2, on_erased=erased.append) as watcher:
        assert [one.customer_id for one in watcher] == ["ada", "eve"]
        assert watcher.unreadable == 1
    assert erased == ["ada"]


def test_whatever_bytes_the_scores_topic_holds_are_counted_and_said_once(
    topics: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    whole = msgspec.json.encode(score("ada"))
    bad = [whole.replace(b"ada", b"a\xff"), b"[" * 20_000, b"\xff\xfe", whole[:-9], b""]
    write(topics, topics.scores_topic, [Record(b"ada", value, 0) for value in bad])
    write_scores(topics, [score("eve")])
    with ScoreWatcher(topics, from_beginning=True, limit=1) as watcher:
        assert [one.customer_id for one in watcher] == ["eve"]
        assert watcher.unreadable == len(bad)
    assert caplog.text.count("is no score and is passed over: byte ") == 1
    assert f"{len(bad)} records of {topics.scores_topic} were no scores" in caplog.text


def test_a_header_name_that_is_no_text_does_not_stop_a_watcher(topics: Settings) -> None:
    write_scores(topics, [score("ada")])
    with closing(KafkaProducer(bootstrap_servers=topics.kafka, linger_ms=200)) as producer:
        for headers in ([], [(RawName(b"caf\xe9"), b"")], []):
            producer.send(topics.scores_topic, key=b"bob", value=b"?", headers=headers, partition=0)
        producer.flush()
    write_scores(topics, [score("eve")])
    for group in (None, f"{topics.group}-w"):
        with ScoreWatcher(topics, group=group, from_beginning=True, limit=2) as watcher:
            assert [one.customer_id for one in watcher] == ["ada", "eve"]
            assert watcher.unreadable == 3


def watched(settings: Settings, *options: str) -> list[dict[str, object]]:
    told = CliRunner(env=environment(settings)).invoke(
        create_app(), ["watch", "--from-beginning", *options], catch_exceptions=False
    )
    assert told.exit_code == 0
    return [json.loads(line) for line in told.stdout.splitlines()]


def test_the_command_prints_json_lines_where_there_is_no_terminal(topics: Settings) -> None:
    write_scores(topics, [score("ada", band="high"), score("bob")])
    write(topics, topics.scores_topic, [Record(b"bob", None, 0)])
    write_scores(topics, [score("eve", band="high")])
    lines = watched(topics, "--limit", "3")
    assert [line["customer_id"] for line in lines] == ["ada", "bob", "bob", "eve"]
    assert lines[2] == {"customer_id": "bob", "erased": True}
    assert lines[0]["segment"] == {"id": 1, "name": "loyal [b]"}


def test_json_lines_tell_who_leaves_and_why(topics: Settings) -> None:
    """The time is the log's: its scores are of a day long past, on two partitions that are read one by one."""

    def at(minutes: int, customer: str, band: str = "high", *, purchase: bool = False) -> Score:
        moment = NOON + minutes * 60_000
        return structs.replace(
            score(customer, band=band), event_time=moment, as_of=moment, scored_at=0, purchase=purchase
        )

    own = [at(0, "ada"), at(1, "bob"), at(2, "bob", "low"), at(3, "eve"), at(4, "eve", "low", purchase=True)]
    write_scores(topics, [*own, at(5, "fay"), at(6, "gus")])
    write(topics, topics.scores_topic, [Record(b"gus", None, 0), Record(b"hal", None, 0)])
    lines: list[dict[str, object]] = []
    with subprocess.Popen(
        [sys.executable, "-c", _COMMAND, "watch", "--from-beginning", "--band", "high"],
        env=os.environ | environment(topics),
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        lines += (json.loads(running.stdout.readline()) for _ in range(8))
        later = at(30, "ida", "low")
        write(topics, topics.scores_topic, [Record(b"ida", msgspec.json.encode(later), partition=1)])
        lines.append(json.loads(running.stdout.readline()))
        running.send_signal(signal.SIGINT)
        rest = running.stdout.read()
    told = [line.get("left") or ("erased" if line.get("erased") else "score") for line in lines]
    assert list(zip([line["customer_id"] for line in lines], told, strict=True)) == [
        ("ada", "score"), ("bob", "score"), ("bob", "filter"), ("eve", "score"), ("eve", "purchase"),
        ("fay", "score"), ("gus", "score"), ("gus", "erased"), ("ada", "horizon"),
    ]  # fmt: skip
    assert lines[-1] == {"customer_id": "ada", "left": "horizon", "as_of": NOON}
    assert rest == ""


@pytest.mark.parametrize("options", [["--band", "high"], ["--segment", "1", "--band", "high"]])
def test_a_filter_leaves_out_the_lines_of_erased_customers(topics: Settings, options: list[str]) -> None:
    write_scores(topics, [score("ada", band="high"), score("bob")])
    write(topics, topics.scores_topic, [Record(b"bob", None, 0)])
    write_scores(topics, [score("eve", band="high")])
    lines = watched(topics, "--limit", "2", *options)
    assert [line["customer_id"] for line in lines] == ["ada", "eve"]


def write_actions(settings: Settings, actions: Sequence[Action | None]) -> None:
    """Write actions, and for each None that Ada was erased."""
    records = [
        Record(b"ada", None, 0)
        if one is None
        else Record(one.customer_id.encode(), msgspec.json.encode(one), partition=0)
        for one in actions
    ]
    write(settings, settings.actions_topic, records)


def test_actions_come_once_and_a_group_goes_on_where_it_stopped(topics: Settings) -> None:
    now = time.time_ns() // 1_000_000
    late, held, first, second, third = (
        action(number, decided_at=now - 3 * HOUR, expires_at=now + hours * HOUR, arm=arm)
        for number, hours, arm in (
            (1, -1, "treatment"), (2, 1, "holdout"), (3, 1, "treatment"), (4, 1, "treatment"), (5, 1, "treatment"),
        )
    )  # fmt: skip
    write_actions(topics, [late, held, first, second, first, None, third])
    found: list[list[Action]] = []
    erased: list[str] = []
    for limit in (2, 1):
        with ActionWatcher(
            topics, group=f"{topics.group}-a", from_beginning=True, limit=limit, on_erased=erased.append
        ) as watcher:
            found.append(list(watcher))
            if limit == 2:
                assert (watcher.late, watcher.repeated, watcher.messages) == (1, 0, 4)
    # The second member has not seen the first action, so its repetition comes to it.
    assert found == [[first, second], [first]]
    with ActionWatcher(topics, from_beginning=True, limit=3, on_erased=erased.append) as watcher:
        assert list(watcher) == [first, second, third]
        assert watcher.repeated == 1
    assert erased == ["ada"]

    shown = watched(topics, "--actions", "--limit", "3")
    assert shown[:2] == [json.loads(msgspec.json.encode(one)) for one in (first, second)]
    assert shown[2:] == [{"customer_id": "ada", "erased": True}, json.loads(msgspec.json.encode(third))]
    options = ("--actions", "--arm", "holdout", "--arm", "treatment", "--expired", "--customer", "ada")
    both = watched(topics, *options, "--limit", "2")
    assert [line["action_id"] for line in both] == ["a1", "a2"]


@pytest.mark.parametrize("end", ["interrupt", "closed pipe"])
def test_the_command_ends_cleanly(topics: Settings, end: str) -> None:
    write_scores(topics, [score("ada")])
    with subprocess.Popen(
        [sys.executable, "-c", _COMMAND, "watch", "--from-beginning"],
        env=os.environ | environment(topics),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert json.loads(running.stdout.readline())["customer_id"] == "ada"
        if end == "interrupt":
            running.send_signal(signal.SIGINT)
        else:
            running.stdout.close()
            write_scores(topics, [score("bob")])
        remarks = running.stderr.read()
        assert (running.wait(timeout=20), remarks) == (0, "")
