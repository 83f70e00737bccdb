"""Redis as people run it: by a socket, with a user of few rights, over TLS, watched by sentinels, and as a cluster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

import pytest
import redis
from pydantic import SecretStr

from features import state
from features.exceptions import StoreConflict, StoreUnavailable
from features.store.customer_store import LoadRequest, Save
from features.store.offer_store import OfferStore
from features.store.partition_record import PartitionRecord
from features.store.redis_store import RedisStore
from features.store.state_reader import Read, StateReader
from stream.checkup.finding import Level
from stream.checkup.redis_checks import redis_checks
from stream.learning.snapshot_store import LeaseLost, Saved, SnapshotStore
from stream.logs.replay import replay
from stream.settings import Settings
from tests.bundles import save_bundle
from tests.features.store.contract import StoreContract, WriteItems, claimed, states
from tests.features.store.price_contract import PriceContract
from tests.features.store.timer_contract import TimerContract
from tests.integration.outcome import (
    assert_repeats_agree,
    assert_same_actions,
    assert_same_states,
    expected,
    read_topic,
    scores_by_event,
    with_policy,
)
from tests.integration.shop_logs import simulated
from tests.integration.workers import PATIENCE, Fleet, until
from tests.redis_servers import Cluster, ConfiguredRedis, TlsEnd, Watched, in_the_end

PASSWORD: Final = "p@ss:w/rd"
ESCAPED: Final = "p%40ss:w%2Frd"


def by_socket(folder: Path, servers: ExitStack) -> str:
    path = folder / "redis.sock"
    servers.enter_context(ConfiguredRedis(folder, unixsocket=str(path)))
    return f"unix://{path}?db=3"


def with_a_user(folder: Path, servers: ExitStack) -> str:
    """Return the URL of a user who may do what docs/operations.md says, and nothing else."""
    server = servers.enter_context(ConfiguredRedis(folder))
    with redis.Redis.from_url(server.url) as client:
        client.execute_command(
            "ACL",
            "SETUSER",
            "intent",
            "on",
            f">{PASSWORD}",
            "~{*[[]t*",
            "~{t*",
            "+@all",
            "-@dangerous",
            "-@admin",
        )
        client.execute_command("ACL", "SETUSER", "default", "off")
    return f"redis://intent:{ESCAPED}@127.0.0.1:{server.port}/0"


def encrypted(folder: Path, servers: ExitStack) -> str:
    server = servers.enter_context(ConfiguredRedis(folder / "redis"))
    return servers.enter_context(TlsEnd(folder / "tls", server)).url


def watched(folder: Path, servers: ExitStack) -> str:
    return servers.enter_context(Watched(folder)).url


def cluster(folder: Path, servers: ExitStack) -> str:
    return servers.enter_context(Cluster(folder)).url


@pytest.fixture(
    scope="module",
    params=[by_socket, with_a_user, encrypted, watched, cluster],
    ids=lambda kind: kind.__name__,
)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with ExitStack() as servers:
        kind: Callable[[Path, ExitStack], str] = request.param
        yield kind(tmp_path_factory.mktemp("redis"), servers)


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    return f"t{abs(hash(request.node.nodeid))}"


class TestEveryKindOfRedis(StoreContract, TimerContract, PriceContract):
    @pytest.fixture
    def store(self, url: str, prefix: str) -> Iterator[RedisStore]:
        with closing(RedisStore(url, prefix)) as store:
            yield store

    @pytest.fixture
    def write_items(self, url: str, prefix: str) -> Iterator[WriteItems]:
        with closing(OfferStore(url, prefix)) as store:
            yield store.write_items

    def test_several_partitions_are_saved_at_once_and_those_of_others_are_not(
        self, store: RedisStore
    ) -> None:
        mine = {partition: claimed(store, partition) for partition in range(12)}
        theirs = PartitionRecord.beginning(9, 12)
        store.claim(4, mine[4], theirs)
        saves = [
            Save(partition, record, record._replace(next_offset=7), ["ada"], states(partition + 1))
            for partition, record in mine.items()
        ]
        found = store.save_many(saves)
        assert [type(one) for one in found] == [StoreConflict if n == 4 else type(None) for n in mine]
        assert store.record(4) == theirs
        asked = [LoadRequest(partition, ["ada"]) for partition in mine if partition != 4]
        assert [int(one.states["events"][0]) for one in store.load_many(asked)] == [
            partition + 1 for partition in mine if partition != 4
        ]

    def test_a_learner_s_snapshot_is_kept_under_its_lease(self, url: str, prefix: str) -> None:
        with closing(SnapshotStore(url, prefix)) as store:
            lease = store.acquire(30.0)
            assert lease is not None
            assert store.acquire(30.0) is None
            store.save(lease, Saved(b"all", b"some", "1", b"{}"), 30.0)
            assert (store.snapshot(), store.for_scorers(), store.quality()) == (b"all", ("1", b"some"), b"{}")
            store.release(lease)
            with pytest.raises(LeaseLost):
                store.renew(lease._replace(epoch=7), 30.0)

    def test_its_faults_of_keeping_are_told(self, url: str, caplog: pytest.LogCaptureFixture) -> None:
        with closing(RedisStore(url)) as store:
            store.check_keeping()
        [told] = {record.getMessage() for record in caplog.records}
        assert "writes nothing to disk" in told or "does not tell its configuration" in told

    def test_redis_checks_find_nothing_wrong(self, url: str) -> None:
        found = list(redis_checks(Settings(_env_file=None, redis=url)))
        assert [one.level for one in found if one.subject in {"redis", "redis' clock"}] == [Level.GOOD] * 2

    def test_who_only_looks_reads_what_was_saved(self, store: RedisStore, url: str, prefix: str) -> None:
        mine = {partition: claimed(store, partition) for partition in (3, 4)}
        for partition, record in mine.items():
            store.save(partition, record, record, ["ada", "bob"], states(partition, 9))

        async def looked() -> tuple[list[PartitionRecord | None], dict[int, Read], object]:
            async with StateReader(url, prefix) as reader:
                return (
                    await reader.records([3, 4, 5]),
                    await reader.read({3: ["ada"], 4: ["bob", "ada"], 5: ["eve"]}),
                    await reader.promised([3, 5]),
                )

        store.save(3, mine[3], mine[3], (), state.empty(0), outbox=b"promised")
        records, read, promised = asyncio.run(looked())
        assert promised == [(mine[3], b"promised"), (None, b"")]
        assert records == [mine[3], mine[4], None]
        assert [read[partition].states["events"].tolist() for partition in (3, 4, 5)] == [[3], [9, 4], [0]]
        assert (read[4].record, read[5].record) == (mine[4], None)


def test_a_store_goes_on_with_the_server_that_the_sentinels_choose(tmp_path: Path) -> None:
    with Watched(tmp_path) as servers, closing(RedisStore(servers.url)) as store:
        mine = claimed(store)
        store.save(3, mine, mine._replace(next_offset=9), ["ada"], states(5))
        with redis.Redis.from_url(servers.primary.url) as client:
            assert client.wait(1, 10_000) == 1
        servers.primary.kill()
        assert in_the_end(lambda: store.load(3, ["ada"]))["events"].tolist() == [5]
        kept = store.record(3)
        assert kept == mine._replace(next_offset=9)
        in_the_end(lambda: store.save(3, kept, kept._replace(next_offset=10), ["ada"], states(6)))
        assert store.load(3, ["ada"])["events"].tolist() == [6]


def test_a_store_follows_a_slot_that_moves_and_a_primary_that_dies(tmp_path: Path) -> None:
    with Cluster(tmp_path, replicas=True) as servers, closing(RedisStore(servers.url)) as store:
        mine = {partition: claimed(store, partition) for partition in range(6)}
        homes = {partition: servers.home(f"{{intent.{partition}}}") for partition in mine}
        for partition, record in mine.items():
            store.save(partition, record, record._replace(next_offset=9), ["ada"], states(partition + 1))
        moved, (source, slot) = 2, homes[2]
        servers.move(slot, source, (source + 1) % 3)
        kept = mine[moved]._replace(next_offset=9)
        new = kept._replace(next_offset=10)
        in_the_end(lambda: store.save(moved, kept, new, ["ada"], states(70)))
        assert store.load(moved, ["ada"])["events"].tolist() == [70]
        servers.nodes[0].kill()
        for partition in mine:
            expected = 70 if partition == moved else partition + 1
            assert in_the_end(lambda p=partition: store.load(p, ["ada"])["events"].tolist()) == [expected]
            record = store.record(partition)
            assert record is not None
            in_the_end(
                lambda p=partition, r=record: store.save(
                    p, r, r._replace(next_offset=11), ["ada"], states(80)
                )
            )


def test_a_worker_on_a_cluster_loses_nothing_when_a_primary_dies(
    topics: Settings, tmp_path: Path, seed: int
) -> None:
    save_bundle(topics.bundle)
    log = simulated(1_500, 1, seed)
    with Cluster(tmp_path / "redis", replicas=True) as servers:
        settings = with_policy(topics.model_copy(update={"redis": SecretStr(servers.url)}))
        with Fleet(settings, tmp_path / "logs") as fleet:
            worker = fleet.ready()
            half = len(log) // 2
            replay(settings, log.slice(0, half))
            until(lambda: fleet.saved() > half // 4, "some are saved")
            servers.nodes[0].kill()
            replay(settings, log.slice(half))
            fleet.finish(worker)
            truth = expected(settings, log)
            in_the_end(
                lambda: assert_same_states(settings, truth)
            )  # not all nodes know of the new primary yet
            assert worker.stop()[0] == 0
            assert_same_actions(settings, log)
            assert_repeats_agree(scores_by_event(read_topic(settings, settings.scores_topic)))


def test_who_only_looks_finds_a_cluster_again_when_a_primary_has_died(tmp_path: Path) -> None:
    with Cluster(tmp_path, replicas=True) as servers, closing(RedisStore(servers.url)) as store:
        mine = {partition: claimed(store, partition) for partition in range(6)}

        async def looked() -> None:
            async with StateReader(servers.url) as reader:
                assert len(await reader.promised(list(mine))) == 6
                servers.nodes[0].kill()
                deadline = time.monotonic() + PATIENCE
                while True:
                    try:
                        found = await reader.promised(list(mine))
                        break
                    except StoreUnavailable:
                        assert time.monotonic() < deadline
                        await asyncio.sleep(0.1)
                assert [record for record, _ in found] == list(mine.values())

        asyncio.run(looked())
