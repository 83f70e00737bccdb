from __future__ import annotations

import gc
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from kafka import KafkaAdminClient
from kafka import TopicPartition as KafkaPartition
from kafka.structs import OffsetAndMetadata as KafkaOffset
from typer.testing import CliRunner

from features.events import Reason
from features.partition import partitions_of
from stream.cli import create_app
from stream.exceptions import BrokerError
from stream.logs.resend import ResendReport, resend
from stream.messages.dead_letter import Erasure
from stream.settings import Settings
from tests.integration.letters import NOON, write_letter
from tests.integration.topics import Record, environment, held, write
from tests.integration.workers import until


def values(settings: Settings) -> list[bytes]:
    return sorted(record.value for record in held(settings, settings.events_topic))


def command(settings: Settings, *arguments: str) -> str:
    told = CliRunner(env=environment(settings)).invoke(
        create_app(), ["dead-letters", *arguments], catch_exceptions=False
    )
    assert told.exit_code == 0
    return told.stdout


def test_letters_are_listed_with_reason_coordinates_and_bytes(topics: Settings) -> None:
    for number, reason in enumerate((Reason.LATE, Reason.NOT_JSON, Reason.LATE, Reason.FUTURE)):
        write_letter(topics, number, reason)
    write(topics, topics.dead_letters_topic, [Record(b"x", b"no letter", 0)])
    lines = [json.loads(line) for line in command(topics, "list", "--json").splitlines()]
    assert sorted(line["offset"] for line in lines) == [0, 1, 2, 3]
    late = [json.loads(line) for line in command(topics, "list", "--json", "--reason", "late").splitlines()]
    assert {line["detail"] for line in late} == {"detail 0", "detail 2"}
    assert len(command(topics, "list", "--json", "--limit", "2").splitlines()) == 2
    one = next(line for line in lines if line["reason"] == "not_json")
    assert one["topic"] == topics.events_topic
    assert (one["partition"], one["key"], one["value"]) == (1, "ada", "value 1 \\xff")
    table = command(topics, "list")
    assert "late: 2" in table


def test_the_original_record_is_sent_to_its_keys_partition_and_arrives_now(topics: Settings) -> None:
    own = (("trace", b"\x01"), ("arrived_at", b"5"))
    value = write_letter(topics, 1, Reason.WRONG_PARTITION, b"bob", own)
    assert resend(topics).sent == {"wrong_partition": 1}
    (record,) = held(topics, topics.events_topic)
    assert (record.key, record.value, record.headers) == (b"bob", value, (("trace", b"\x01"),))
    assert record.partition == partitions_of([b"bob"], topics.partitions)[0]


def test_a_letter_is_sent_again_once_however_often_it_is_asked_for(topics: Settings) -> None:
    reasons = (Reason.LATE, Reason.FUTURE, Reason.LATE, Reason.NOT_JSON, Reason.FUTURE)
    written = [write_letter(topics, number, reason) for number, reason in enumerate(reasons)]
    assert resend(topics, reason="late").sent == {"late": 2}
    assert values(topics) == sorted([written[0], written[2]])
    assert resend(topics, reason="late").sent == {}
    rest = resend(topics)
    assert (rest.sent, rest.already) == ({"future": 2, "not_json": 1}, 2)
    assert values(topics) == sorted(written)
    assert resend(topics).sent == {}
    written.append(write_letter(topics, 7, Reason.LATE))
    assert json.loads(command(topics, "replay", "--json"))["sent"] == {"late": 1}
    assert values(topics) == sorted(written)


@pytest.mark.parametrize("fails_at", [0, 1, 2, 3])
def test_a_run_that_breaks_off_repeats_and_loses_nothing(
    topics: Settings, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    written = [write_letter(topics, number, Reason.LATE) for number in range(6)]
    looked = 0

    def broken(keys: list[bytes], partitions: int) -> object:
        nonlocal looked
        looked += 1
        if looked > fails_at:
            raise RuntimeError("killed")
        return partitions_of(keys, partitions)

    with monkeypatch.context() as patched:
        patched.setattr("stream.logs.resend.partitions_of", broken)
        with pytest.raises(RuntimeError, match="killed"):
            resend(topics)
    before = len(values(topics))
    assert before <= fails_at
    assert resend(topics).sent == {"late": 6 - before}
    assert values(topics) == sorted(written)


def test_letters_from_before_an_erasure_are_neither_listed_nor_sent_again(topics: Settings) -> None:
    written = [
        write_letter(topics, 1, Reason.LATE),
        write_letter(topics, 2, Reason.WRONG_PARTITION, b"bob"),
        write_letter(topics, 3, Reason.LATE, arrived_at=NOON + 2),
    ]
    erasure = Erasure(b"ada", NOON + 1)
    write(topics, topics.dead_letters_topic, [Record(erasure.key, None, 0, erasure.headers)])
    assert {json.loads(line)["offset"] for line in command(topics, "list", "--json").splitlines()} == {2, 3}
    told = CliRunner(env=environment(topics)).invoke(create_app(), ["dead-letters", "list"])
    assert "1 dead letter of erased customers left out (late: 1)" in told.stderr
    write(topics, topics.dead_letters_topic, [Record(b"x", b"no letter", 0)])
    assert command(topics, "replay").splitlines() == [
        "2 dead letters sent again, 0 had been sent or left out before",
        "late: 1",
        "wrong_partition: 1",
        "1 dead letter of erased customers not sent (late: 1)",
        f"1 record of {topics.dead_letters_topic} left out: no dead letters",
    ]
    assert values(topics) == sorted(written[1:])


def test_a_record_without_a_key_is_sent_again_without_one(topics: Settings) -> None:
    write_letter(topics, 1, Reason.MISSING_KEY, None)
    write(topics, topics.dead_letters_topic, [Record(b"x", b"no letter", 0)])
    report = resend(topics)
    assert (report.sent, report.foreign) == ({"missing_key": 1}, 1)
    (record,) = held(topics, topics.events_topic)
    assert record.key is None


def test_of_two_runs_at_a_time_the_first_ends_with_one_line_and_no_letter_is_sent_twice(
    topics: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    written = [write_letter(topics, number, Reason.LATE) for number in range(6)]
    second: list[ResendReport] = []

    def overtaken(keys: list[bytes], partitions: int) -> object:
        monkeypatch.undo()
        with ThreadPoolExecutor(1) as pool:  # an event loop of its own
            second.append(pool.submit(resend, topics).result())
        return partitions_of(keys, partitions)

    monkeypatch.setattr("stream.logs.resend.partitions_of", overtaken)
    with pytest.raises(BrokerError, match="another run sends dead letters again"):
        resend(topics)
    gc.collect()  # futures complain when they are collected
    assert capfd.readouterr().err == ""
    assert second[0].sent == {"late": 6}
    assert values(topics) == sorted(written)


def test_letters_of_a_topic_that_was_created_again_are_not_passed_over(topics: Settings) -> None:
    written = write_letter(topics, 0, Reason.LATE)
    assert resend(topics).sent == {"late": 1}
    group, place = f"{topics.dead_letters_topic}-resend", KafkaPartition(topics.dead_letters_topic, 0)
    with KafkaAdminClient(bootstrap_servers=topics.kafka) as admin:
        committed: dict[int, KafkaOffset] = {}

        def told() -> bool:
            found = admin.list_group_offsets({group: None})[group]
            committed.update({tp.partition: offset for tp, offset in found.items() if offset.offset == 1})
            return bool(committed)

        until(told, "the transaction that holds the offset has ended")
        [(partition, last)] = committed.items()
        known = json.loads(last.metadata)["topic"]
        former = json.dumps({"topic": known[::-1]})  # as if the offset were that of the former topic
        admin.alter_group_offsets(group, {place._replace(partition=partition): KafkaOffset(1, former, -1)})
    assert resend(topics).sent == {"late": 1}
    assert values(topics) == [written, written]
    assert resend(topics).sent == {}


def test_offsets_of_another_program_are_refused(topics: Settings) -> None:
    write_letter(topics, 0, Reason.LATE)
    group = f"{topics.dead_letters_topic}-resend"
    with KafkaAdminClient(bootstrap_servers=topics.kafka) as admin:
        offset = KafkaOffset(1, "not ours", -1)
        admin.alter_group_offsets(group, {KafkaPartition(topics.dead_letters_topic, 0): offset})
    with pytest.raises(BrokerError, match=f"delete the group|{group}"):
        resend(topics)
    assert values(topics) == []
