"""What all contenders share: the log, the topics that hold it, and the network."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, UnknownTopicOrPartitionError
from numpy.typing import NDArray

from features import bundle
from features.blocks import BlockedGraph
from features.events import Event, encode
from features.explainer import ReferenceCustomer
from features.partition import partitions_of
from features.segments import Segment, Segmenter
from features.vector import COLUMN_NAMES, NEVER_S, WIDTH, schema_hash
from offline.simulator.shop import ShopParameters
from offline.simulator.simulation import simulate
from offline.training.explaining import Member, reasons_graph
from offline.training.scaling import Scaling

PARTITIONS: Final = 12
HIDDEN: Final = (128, 64)

# Of the random weights by layer: log-odds are then spread as those of a trained network (standard deviation 1.3, on
# simulated events), and scores have as many reasons.
_GAINS: Final = (0.4, 1.8, 1.8)

_SEED: Final = 7
_BATCH_BYTES: Final = 1_000_000
_HELD_MS: Final = 900_000  # the longest that a broker allows by default
_START_DAYS: Final = 60
_SESSION_GAP_MS: Final = 30 * 60_000
_CHUNK: Final = 50_000


class Records:
    """The records of a log in order of arrival: keys, JSON values, and the partition of each.

    Parameters
    ----------
    keys, values
        Customer ids, and events as JSON.
    """

    def __init__(self, keys: list[bytes], values: list[bytes]) -> None:
        self.keys = keys
        self.values = values
        self.partitions = partitions_of(keys, PARTITIONS)

    def __len__(self) -> int:
        return len(self.keys)

    def of_partition(self, partition: int) -> list[bytes]:
        """Return a partition's values in order."""
        return [self.values[row] for row in np.flatnonzero(self.partitions == partition).tolist()]

    @property
    def mean_bytes(self) -> float:
        """Mean length of a value."""
        return sum(map(len, self.values)) / len(self.values)


def simulated(events: int, customers: int, *, even: bool = False, among: int | None = None) -> Records:
    """Return the first ``events`` events that ``customers`` simulated customers emit.

    Parameters
    ----------
    even
        Deal the events out to the customers at random. A batch then holds about as many customers as it has
        events, which is the worst for a store; real customers come in sessions.
    among
        Deal the sessions (with ``even``, the events) out to so many customers, at random. What happens is then the
        same whatever their number.
    """
    log = _log(events, customers)
    if even or among is not None:
        of = np.arange(len(log)) if even else _sessions(log)
        dealt = np.random.default_rng(_SEED).integers(0, among or customers, int(of.max()) + 1)[of]
        at = log.schema.get_field_index("customer_id")
        log = log.set_column(at, log.schema.field(at), pa.array([f"c{number}" for number in dealt.tolist()]))
    log = log.drop_columns(["partition", "offset", "arrived_at", "identity"])
    at = log.schema.get_field_index("event_time")
    log = log.set_column(at, "event_time", log["event_time"].cast(pa.int64()))
    names, values = log.column_names, list[bytes]()
    for part in log.to_batches(max_chunksize=_CHUNK):  # as Python's objects a log takes ten times the memory
        rows = zip(*(column.to_pylist() for column in part.columns), strict=True)
        values += [encode(Event(**dict(zip(names, row, strict=True)))) for row in rows]
    return Records([customer.encode() for customer in log["customer_id"].to_pylist()], values)


def _sessions(log: pa.Table) -> NDArray[np.int64]:
    """Return the number of each event's session."""
    customers = log["customer_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    times = log["event_time"].cast(pa.int64()).to_numpy()
    order = np.lexsort((times, customers))
    begins = (np.diff(customers[order]) != 0) | (np.diff(times[order]) > _SESSION_GAP_MS)
    numbers = np.empty(len(log), np.int64)
    numbers[order] = np.concatenate([[0], np.cumsum(begins)])
    return numbers


def _log(events: int, customers: int) -> pa.Table:
    parameters, days = ShopParameters.default(), _START_DAYS
    while True:
        log = simulate(parameters, customers, days, _SEED)
        if len(log) >= events:
            return log.slice(0, events)
        days *= 2


def write_bundle(folder: Path) -> None:
    """Write a bundle whose network has the architecture of a trained one, and random weights."""
    columns = ["events", "purchases", "spend", "since_purchase"]
    levels = {"visitors": -1.0, "browsers": -0.3, "buyers": 0.3, "loyal": 1.0}
    segments = [
        Segment(id=rank, name=name, description="", share=0.25, centroid=[level] * len(columns), profile={})
        for rank, (name, level) in enumerate(levels.items())
    ]
    network = _network()
    customer = _reference_customer(network)
    manifest = bundle.Manifest(
        version="benchmark",
        reference_customer=customer,
        features_version=schema_hash(),
        horizon_seconds=1800,
        label_start="0",
        timezone="UTC",
        currency="EUR",
        example_types=["view_item"],
        band_thresholds={"medium": 0.5, "high": 0.6},
        data=bundle.DataFingerprint(
            source="none", sha256="", events=0, customers=0, first_event="", last_event=""
        ),
        split={},
        metrics={},
        created_at="",
    )
    segmenter = Segmenter(
        columns=columns, center=[2.0, 0.3, 1.0, 14.0], scale=[1.0] * len(columns), segments=segments
    )
    calibration = bundle.Calibration(slope=1, intercept=0, examples=0)
    bundle.save(folder, manifest, segmenter, calibration, network, reasons=_reasons(customer))


def _layers() -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    rng = np.random.default_rng(_SEED)
    return [
        (
            (rng.normal(size=(width, units)) * gain / np.sqrt(width)).astype(np.float32),
            np.zeros(units, np.float32),
        )
        for gain, (width, units) in zip(_GAINS, pairwise((WIDTH, *HIDDEN, 1)), strict=True)
    ]


def _reasons(customer: ReferenceCustomer) -> bytes:
    """Return the graph of the effects of the network's columns."""
    plain = Scaling(np.zeros(WIDTH, np.float32), np.ones(WIDTH, np.float32))
    return reasons_graph(
        [Member(_layers(), "relu")], plain, customer.row, clip=1e30, on_log_scale=np.ones(WIDTH, np.bool_)
    )


def _reference_customer(network: bytes) -> ReferenceCustomer:
    """Return a customer who comes for the first time and has done everything once."""
    vector = {name: NEVER_S if "since" in name or "gap" in name else 1.0 for name in COLUMN_NAMES}
    row = np.array([list(vector.values())], np.float32)
    log_odds = float(BlockedGraph(network, "network", 1).values(row)[0, 0])
    return ReferenceCustomer(description="a first visit", log_odds=log_odds, vector=vector)


def _network() -> bytes:
    """Return ``log(1 + relu(vector))`` and three dense layers, as ONNX."""
    from onnx import TensorProto, helper, numpy_helper

    layers = _layers()
    weights = [numpy_helper.from_array(np.float32(1), "one")]
    nodes = [
        helper.make_node("Relu", ["vector"], ["positive"]),
        helper.make_node("Add", ["positive", "one"], ["shifted"]),
        helper.make_node("Log", ["shifted"], ["layer0"]),
    ]
    for layer, (drawn, bias) in enumerate(layers):
        weights += [
            numpy_helper.from_array(drawn, f"weights{layer}"),
            numpy_helper.from_array(bias, f"bias{layer}"),
        ]
        last = layer == len(layers) - 1
        dense = "logit" if last else f"dense{layer}"
        nodes.append(helper.make_node("Gemm", [f"layer{layer}", f"weights{layer}", f"bias{layer}"], [dense]))
        if not last:
            nodes.append(helper.make_node("Relu", [dense], [f"layer{layer + 1}"]))
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["rows", WIDTH])],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["rows", 1])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


async def make_topics(kafka: str, *names: str, **settings: str) -> None:
    """Create topics of `PARTITIONS` partitions, emptying those that exist; ``settings`` with _ for a dot."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    # The broker's clock in every record: contenders are timed by it. Deleted files go at once: a run writes
    # 300 MB.
    configs = {"message.timestamp.type": "LogAppendTime", "file.delete.delay.ms": "1000"}
    configs |= {name.replace("_", "."): value for name, value in settings.items()}
    try:
        for name in names:
            response = await admin.delete_topics([name])
            code = response.topic_error_codes[0][1]
            if code not in (0, UnknownTopicOrPartitionError.errno):
                raise RuntimeError(f"Kafka does not delete the topic {name}: error {code}")
        waiting = {name: NewTopic(name, PARTITIONS, 1, topic_configs=configs) for name in names}
        while waiting:  # a topic that is being deleted still exists for a moment
            response = await admin.create_topics(list(waiting.values()))
            for name, code, *message in response.topic_errors:
                if code == 0:
                    del waiting[name]
                elif code != TopicAlreadyExistsError.errno:
                    raise RuntimeError(f"Kafka does not create the topic {name}: error {code} {message}")
    finally:
        await admin.close()


async def fill_topic(kafka: str, topic: str, records: Records) -> None:
    """Write the records to their partitions, in order."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka, max_batch_size=_BATCH_BYTES, acks="all")
    await producer.start()
    try:
        await _write(producer, topic, records)
    finally:
        await producer.stop()


@asynccontextmanager
async def held_back(kafka: str, topic: str, records: Records) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Write the records in a transaction; nobody reads them before the function that this yields is called."""
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka, max_batch_size=_BATCH_BYTES, transactional_id=f"filling {topic}",
        transaction_timeout_ms=_HELD_MS,
    )  # fmt: skip
    await producer.start()
    try:
        await producer.begin_transaction()
        await _write(producer, topic, records)
        yield producer.commit_transaction
    finally:
        await producer.stop()


async def _write(producer: AIOKafkaProducer, topic: str, records: Records) -> None:
    for partition in range(PARTITIONS):
        builder = producer.create_batch()
        for row in np.flatnonzero(records.partitions == partition).tolist():
            key, value = records.keys[row], records.values[row]
            if builder.append(timestamp=None, key=key, value=value) is None:
                await producer.send_batch(builder, topic, partition=partition)
                builder = producer.create_batch()
                builder.append(timestamp=None, key=key, value=value)
        await producer.send_batch(builder, topic, partition=partition)
    await producer.flush()
