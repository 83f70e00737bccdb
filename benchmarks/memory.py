"""Training data of a log several times larger than the memory allowed, against the same built in memory.

``python -m benchmarks.memory`` (``make bench-memory``) writes a log of simulated customers, some of them under many
ids, with several partitions, late events and repetitions; builds its examples bucket by bucket, by one local Dask
worker under a memory limit (`offline.examples.buckets`); builds them in memory in another process
(`offline.examples.examples`); and compares both bucket by bucket, by a hash over rows, vectors, moments and labels.

What is limited: Dask ends a worker that takes more resident memory than ``--memory``. And the kernel refuses any
process of the build more than ``--data`` of private writable memory (``RLIMIT_DATA``; it counts what is reserved for
stacks and heaps too, touched or not). What is measured: the resident memory of all processes of the build together and
of the largest of them, 20 times a second (pages that processes share count in each).

Then each part of both builds in one process, without Dask and what starting costs: processor time per event, the best
of some runs. And the fold alone, `features.fold.fold` in one thread: events per second of processor time.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash
from rich.console import Console
from rich.table import Table

from features.calendar import zone
from features.columns import EventColumns, from_table
from features.fold import fold
from features.log import read_log, write_log
from features.partition import partitions_of
from features.sorted_log import rows_in_order
from features.state import empty
from offline.examples.buckets import BuildSettings, build_folder, read_manifest
from offline.examples.buckets.folding import FoldTask, fold_bucket
from offline.examples.buckets.reading import vectors_of
from offline.examples.buckets.scan import Scan, scan
from offline.examples.buckets.sizes import parse_size, rows_at_once
from offline.examples.buckets.spill import Spilled, SpillTask, bucket_of, spill_piece
from offline.examples.examples import Asked, Context, build_examples, example_types_of
from offline.simulator.shop import ShopParameters
from offline.simulator.simulation import simulate

Result = TypeVar("Result")

CONTEXT: Final = Context(30 * 60_000, "0")
DRIVER_BYTES: Final = 300 * 10**6  # of the process that starts the build; no limit of its own but --data

_IN_MEMORY: Final = ("read a log in memory", "build in memory")
_PARTITIONS: Final = 8
_BASE_CUSTOMERS: Final = 20_000
_DAYS: Final = 14
_MINUTE: Final = 60_000
_FOLD_CHUNK: Final = 10_000
_PART_BYTES: Final = 2 * 10**9  # of the work on one part, where each part is measured by itself
_SAMPLE_SECONDS: Final = 0.05


def write(path: str, bytes_wanted: int) -> dict[str, int]:
    """Write a log of about that size in memory; each event stands in it once for every id of its customer."""
    base = _as_it_arrives(simulate(ShopParameters.default(), _BASE_CUSTOMERS, _DAYS, seed=9))
    times = max(1, round(bytes_wanted / base.nbytes))
    sizes: list[int] = []

    def pieces() -> Iterator[pa.Table]:
        rows = max(250_000 // times, 1)
        for start in range(0, len(base), rows):
            piece = _under_ids(base.slice(start, rows), times)
            sizes.append(piece.nbytes)
            yield piece

    events = write_log(path, pieces(), metadata={"source": "benchmark"})
    customers = pc.count_distinct(base["customer_id"]).as_py() * times
    return {
        "events": events,
        "customers": customers,
        "arrow_bytes": sum(sizes),
        "file_bytes": Path(path).stat().st_size,
    }


def _as_it_arrives(log: pa.Table) -> pa.Table:
    """Return the log with late events and repetitions, in order of arrival."""
    rng = np.random.default_rng(1)
    log = log.take(np.concatenate([np.arange(len(log)), rng.integers(0, len(log), len(log) // 100)]))
    delay = rng.exponential(_MINUTE, len(log)) + np.where(rng.random(len(log)) < 0.01, 60 * _MINUTE, 0)
    arrived = log["event_time"].cast(pa.int64()).to_numpy() + delay.astype(np.int64)
    at = log.schema.get_field_index("arrived_at")
    field = log.schema.field(at)
    log = log.set_column(at, field, pa.array(arrived).cast(field.type))
    return log.take(np.argsort(arrived, kind="stable")).combine_chunks()


def _under_ids(piece: pa.Table, times: int) -> pa.Table:
    """Return each event ``times`` times in a row, under as many ids of customer, event, session and order."""
    suffix = pa.array([f"-{number}" for number in range(times)])
    suffix = suffix.take(np.tile(np.arange(times), len(piece)))
    columns = {}
    repeated = piece.take(np.repeat(np.arange(len(piece)), times))
    for name in repeated.column_names:
        column = repeated[name]
        if name in ("customer_id", "event_id", "session_id", "order_id"):
            column = pc.binary_join_element_wise(column, suffix, "")
        columns[name] = column
    # Ids of events are random in most shops, and make up most of the file.
    ids = [xxhash.xxh3_128_hexdigest(name.encode()) for name in columns["event_id"].to_pylist()]
    columns["event_id"] = pa.array(ids)
    keys = [customer.encode() for customer in columns["customer_id"].to_pylist()]
    columns["partition"] = pa.array(partitions_of(keys, _PARTITIONS))
    return pa.table(columns, schema=piece.schema)


def bounded(log: str, folder: str, memory: int, data: int, workers: int) -> dict[str, Any]:
    """Build bucket by bucket under the limits."""
    resource.setrlimit(resource.RLIMIT_DATA, (data, data))
    passes: dict[str, float] = {}

    @contextmanager
    def timed(description: str) -> Iterator[Callable[[int, int], None]]:
        begun = time.perf_counter()
        yield lambda done, total: None
        passes[description] = round(time.perf_counter() - begun, 2)

    begun = time.perf_counter()
    asked = Asked(CONTEXT.horizon_ms, CONTEXT.label_start)
    build_folder(log, folder, BuildSettings(asked, workers=workers, memory=memory), progress=timed)
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "seconds": time.perf_counter() - begun,
        "processor_seconds": sum(usage.ru_utime + usage.ru_stime for usage in usages),
        "passes": passes,
    }


def whole(log: str, buckets: int) -> dict[str, Any]:
    """Build in memory, and hash what belongs to each bucket."""
    begun, processor = time.perf_counter(), time.process_time()
    table = read_log(log)
    found = build_examples(table, CONTEXT)
    seconds, processor = time.perf_counter() - begun, time.process_time() - processor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    encoded = table["customer_id"].combine_chunks().dictionary_encode()
    del table
    own = np.array([bucket_of(name, buckets) for name in encoded.dictionary.to_pylist()])
    bucket = own[encoded.indices.to_numpy()[found.rows]]
    hashes = {}
    for number in range(buckets):
        at = np.flatnonzero(bucket == number)
        hashes[number] = _hash(found.rows[at], found.as_of[at], found.labels[at], found.vectors[at])
    return {"seconds": seconds, "processor_seconds": processor, "peak_bytes": peak, "hashes": hashes}


def hashes_of(folder: str) -> dict[int, str]:
    """Return the hash of every shard of a folder, its rows in the order of those in memory."""
    found = {}
    for shard in read_manifest(folder).shards:
        table = pq.read_table(Path(folder) / shard.file)
        order = np.lexsort((table["row"].to_numpy(), table["partition"].to_numpy()))
        vectors = vectors_of(table)[order]
        labels = pc.fill_null(table["label"], -1).to_numpy()[order]
        as_of = table["as_of"].cast(pa.int64()).to_numpy()[order]
        found[int(shard.file[7:12])] = _hash(table["row"].to_numpy()[order], as_of, labels, vectors)
    return found


def _hash(*arrays: np.ndarray) -> str:
    digest = xxhash.xxh3_128()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def parts_of_builds(log: str, folder: str, buckets: int, rounds: int = 3) -> dict[str, float]:
    """Return the microseconds of processor time per event that each part of both builds takes."""
    times: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[[], Result]) -> Result:
        begun = time.process_time()
        done = work()
        times.setdefault(name, []).append(time.process_time() - begun)
        return done

    for _ in range(rounds):
        table = timed("read a log in memory", lambda: read_log(log))
        timed("build in memory", partial(build_examples, table, CONTEXT))
        del table
        timed("look at the order", lambda: rows_in_order(log))
        scanned = timed("read times", lambda: scan(log, CONTEXT.lateness_ms, currencies=True))
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            task = SpillTask(
                log, scratch, buckets, scanned.one_partition, CONTEXT.lateness_ms, CONTEXT.currency, events=False,
                usual=scanned.usual, families=scanned.families, at_once=rows_at_once(_PART_BYTES),
            )  # fmt: skip
            spilled = timed("deal out", partial(_spilled, task, scanned))
            folding = FoldTask(
                tuple(part.file for part in spilled), scratch, buckets, CONTEXT,
                example_types_of(frozenset().union(*(part.types for part in spilled))), scanned.watermarks,
                events=False, simulation=None,
            )  # fmt: skip
            timed("fold, label and write", partial(_folded, folding))
    return {name: 1e6 * min(found) / scanned.rows for name, found in times.items()}


def _spilled(task: SpillTask, scanned: Scan) -> list[Spilled]:
    return [spill_piece(task, number, piece) for number, piece in enumerate(scanned.pieces)]


def _folded(task: FoldTask) -> None:
    for bucket in range(task.buckets):
        fold_bucket(task, bucket)


def fold_rates(rounds: int = 7) -> dict[str, float]:
    """Return events per second of processor time: in order of arrival and customer by customer, states alone too."""
    log = simulate(ShopParameters.default(), customers=30_000, days=_DAYS, seed=3)
    columns = from_table(log, "EUR")
    slots = log["customer_id"].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    names = [field.name for field in fields(EventColumns) if field.name not in ("customers", "event_ids")]
    berlin, count = zone("Europe/Berlin"), int(slots.max()) + 1
    rates = {}
    for order_name, order in (
        ("by_arrival", np.arange(len(slots))),
        ("by_customer", np.argsort(slots, kind="stable")),
    ):
        parts = [order[start : start + _FOLD_CHUNK] for start in range(0, len(order), _FOLD_CHUNK)]
        chunks = [
            (slots[part], EventColumns((), (), *(getattr(columns, name)[part] for name in names)))
            for part in parts
        ]
        for what, with_vectors in (("states", False), ("states_and_vectors", True)):
            best = float("inf")
            for _ in range(rounds):
                states = empty(count)
                states["events"] = 0  # touches every page: memory for new states is not the fold's work
                begun = time.thread_time()
                for own, chunk in chunks:
                    fold(states, own, chunk, zone=berlin, with_vectors=with_vectors)
                best = min(best, time.thread_time() - begun)
            rates[f"{what}_{order_name}"] = len(slots) / best
    return rates


_PARTS: Final = {
    "write": write,
    "bounded": bounded,
    "whole": whole,
    "hashes": hashes_of,
    "parts": parts_of_builds,
    "fold": fold_rates,
}


def in_process(part: str, **arguments: Any) -> tuple[Any, int, int]:
    """Run a part in a process of its own; return its result, the peak of all its processes, and of the largest."""
    command = [sys.executable, "-m", "benchmarks.memory", "--part", part, json.dumps(arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        peaks = [0, 0]
        stopped = threading.Event()
        sampler = threading.Thread(target=_sample, args=(process.pid, peaks, stopped))
        sampler.start()
        printed, _ = process.communicate()
        stopped.set()
        sampler.join()
    if process.returncode:
        sys.exit(f"the part {part!r} failed")
    return json.loads(printed), peaks[0], peaks[1]


def _sample(pid: int, peaks: list[int], stopped: threading.Event) -> None:
    own: dict[int, psutil.Process] = {}
    while not stopped.wait(_SAMPLE_SECONDS):
        total = 0
        try:
            root = own.setdefault(pid, psutil.Process(pid))
            for process in (root, *root.children(recursive=True)):
                size = process.memory_info().rss
                total, peaks[1] = total + size, max(peaks[1], size)
        except psutil.NoSuchProcess:
            continue  # it ended between the two questions
        peaks[0] = max(peaks[0], total)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Run all parts and return the figures."""
    memory, data = parse_size(options.memory), parse_size(options.data)
    allowed = DRIVER_BYTES + options.workers * memory
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        log, folder = f"{scratch}/log.parquet", f"{scratch}/examples"
        _say("writing the log")
        written, _, _ = in_process("write", path=log, bytes_wanted=int(options.times * allowed))
        _say(f"bucket by bucket: {written['events']:,} events")
        limits = {"memory": memory, "data": data, "workers": options.workers}
        built, built_peak, built_largest = in_process("bounded", log=log, folder=folder, **limits)
        manifest = read_manifest(folder)
        _say(f"in memory, to compare with {manifest.buckets} buckets")
        inside, inside_peak, _ = in_process("whole", log=log, buckets=manifest.buckets)
        hashes, _, _ = in_process("hashes", folder=folder)
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
        _say("each part of the builds")
        parts, _, _ = in_process("parts", log=log, folder=scratch, buckets=manifest.buckets)
    _say("the fold alone")
    rates, _, _ = in_process("fold")
    same = sum(inside["hashes"].get(number) == found for number, found in hashes.items())
    events = written["events"]
    return {
        "log": written,
        "limits": limits | {"allowed": allowed},
        "buckets": manifest.buckets,
        "refused": manifest.refused,
        "repeated": manifest.repeated,
        "examples_bytes": size,
        "bounded": built
        | {"peak_bytes": built_peak, "largest_process_bytes": built_largest}
        | _rates(built, events),
        "in_memory": {name: inside[name] for name in ("seconds", "processor_seconds", "peak_bytes")}
        | {"sampled_peak_bytes": inside_peak}
        | _rates(inside, events),
        "equal_buckets": same,
        "equal": same == len(hashes) == len(manifest.shards),
        "microseconds_per_event": parts,
        "fold_events_per_second_and_core": rates,
    }


def _rates(part: dict[str, Any], events: int) -> dict[str, float]:
    return {
        "events_per_second": events / part["seconds"],
        "events_per_processor_second": events / part["processor_seconds"],
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def show(found: dict[str, Any]) -> None:
    """Print the figures for people."""
    log, limits, console = found["log"], found["limits"], Console()
    console.print(
        f"Log: {log['events']:,} events of {log['customers']:,} customers, {log['arrow_bytes'] / 1e9:.2f} GB in "
        f"memory, {log['file_bytes'] / 1e9:.2f} GB as a file; {found['refused']:,} events too late, "
        f"{found['repeated']:,} repetitions.\nLimits: {limits['memory'] / 1e6:.0f} MB for each of {limits['workers']} "
        f"worker(s), "
        f"{limits['data'] / 1e6:.0f} MB of private memory for any process; {found['buckets']} buckets."
    )
    table = Table("", "peak of all processes", "largest process", "seconds", "events/s", "events/s and core")
    bounded_part, inside = found["bounded"], found["in_memory"]
    for name, part, largest in (
        ("bucket by bucket", bounded_part, bounded_part["largest_process_bytes"]),
        ("in memory", inside, inside["peak_bytes"]),
    ):
        table.add_row(
            name,
            f"{part['peak_bytes'] / 1e9:.2f} GB",
            f"{largest / 1e9:.2f} GB",
            f"{part['seconds']:.1f}",
            f"{part['events_per_second']:,.0f}",
            f"{part['events_per_processor_second']:,.0f}",
        )
    console.print(table)
    console.print(", ".join(f"{name}: {seconds} s" for name, seconds in bounded_part["passes"].items()))
    verdict = "equal to the bit" if found["equal"] else "DIFFERENT"
    console.print(f"{found['equal_buckets']} of {found['buckets']} buckets are the same: {verdict}.")
    parts = found["microseconds_per_event"]
    for name, own in (
        ("in memory", _IN_MEMORY),
        ("bucket by bucket", [one for one in parts if one not in _IN_MEMORY]),
    ):
        total = sum(parts[one] for one in own)
        console.print(
            f"{name}, without starting: {1 / total:.2f} million events/s and core; microseconds per event: "
            + ", ".join(f"{one} {parts[one]:.2f}" for one in own)
        )
    for name, rate in found["fold_events_per_second_and_core"].items():
        console.print(f"fold, {name.replace('_', ' ')}: {rate / 1e6:.1f} million events/s and core")


def main() -> None:
    """Run the benchmark, or one part of it in this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--memory", default="500MB", help="of a worker (default: %(default)s)")
    parser.add_argument(
        "--data", default="800MB", help="private memory of any process, RLIMIT_DATA (default: %(default)s)"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes that build (default: %(default)s)")
    parser.add_argument(
        "--times", type=float, default=2.3,
        help="size of the log in memory, by what the build is allowed: 300 MB and its workers (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--folder", help="for the log and the examples (default: the system's for temporary files)"
    )
    parser.add_argument("--part", nargs=2, metavar=("NAME", "JSON"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        print(json.dumps(_PARTS[options.part[0]](**json.loads(options.part[1]))))
        return
    found = run(options)
    if options.json:
        print(json.dumps(found))
    else:
        show(found)
    sys.exit(not found["equal"])


if __name__ == "__main__":
    main()
