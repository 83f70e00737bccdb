"""Commands on damaged files: what they said, how they ended, what they left."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from features.log import iterate_log
from stream.cli import main
from tests.damage.files import write_good
from tests.damage.ways import damage

COLUMNS = (
    "customer_id=client,event_time=when,order_id=order,item_id=sku,price=price,quantity=quantity,currency=currency,"
    "type=event"
)
#: By file: commands that read it, the quick ones first. IN and OUT stand for the paths.
QUICK = {
    "orders.csv": ["convert csv IN -o OUT/log.parquet --json --columns " + COLUMNS],
    "orders.csv.gz": ["convert csv IN -o OUT/log.parquet --json --columns " + COLUMNS],
    "orders.parquet": ["convert csv IN -o OUT/log.parquet --json --columns " + COLUMNS],
    "retail.csv": ["convert online-retail IN -o OUT/log.parquet --json"],
    "retailrocket.csv": ["convert retailrocket IN -o OUT/log.parquet --json"],
    "rees46.csv": ["convert rees46 IN -o OUT/log.parquet --json"],
    "table.csv": ["report IN -o OUT --quick --only input --json"],
    "table.parquet": ["report IN -o OUT --quick --only input --json"],
    "log.parquet": ["score IN --bundle BUNDLE -o OUT/scores.parquet --json", "replay"],
    "events.jsonl": ["emit IN --skip-invalid --json"],
}
SLOW = {
    "table.csv": [
        f"{name} IN -o OUT --quick --json" for name in ("prepare", "explore", "segment", "select", "insight")
    ]
    + [
        "compare IN -o OUT --quick --json --model lightgbm --model rule",
        "report IN -o OUT --quick --only input",
    ],
    "log.parquet": [
        f"{name} IN -o OUT --quick --json"
        for name in ("explore", "forecast", "segment", "recommend", "insight")
    ]
    + [
        "convert csv IN -o OUT/log.parquet --json --columns customer_id=customer_id,event_time=event_time,type=type",
        "examples IN -o OUT --workers 1 --memory 600MB --json",
    ],
}
SLOW["table.parquet"] = SLOW["table.csv"]


class Ended(NamedTuple):
    """How a command ended: exit code (None: by an exception), standard output, and error or traceback."""

    code: int | None
    output: str
    error: str


class Fault(NamedTuple):
    """What is wrong with how a command took a damaged file."""

    file: str
    seed: int
    way: str
    command: str
    what: str

    def __str__(self) -> str:
        return f"{self.file}, seed {self.seed} ({self.way}): intent {self.command}\n    {self.what}"


class _NoKafka:
    """Takes events and sends them nowhere."""

    topic = "nowhere"

    def __init__(self, settings: object) -> None:
        pass

    def __enter__(self) -> _NoKafka:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def emit(self, event: object) -> None:
        pass

    def flush(self) -> None:
        pass


def intent(arguments: Sequence[str]) -> Ended:
    """Run a command in this process."""
    output, error = io.StringIO(), io.StringIO()
    code: int | None = 0
    with (
        mock.patch.object(sys, "argv", ["intent", *arguments]),
        mock.patch("stream.clients.emit.EventEmitter", _NoKafka),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(error),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        except BaseException:  # noqa: BLE001  (what a user would see as a traceback)
            return Ended(None, output.getvalue(), traceback.format_exc())
    return Ended(code, output.getvalue(), error.getvalue())


def faults_of(good: Path, seed: int, folder: Path, bundle: Path, *, slow: bool = False) -> list[Fault]:
    """Damage a file, run the commands that read it, and return what is wrong with how they took it."""
    place = folder / f"{good.name}-{seed}"
    place.mkdir(parents=True)
    damaged = place / good.name
    way = damage(good, damaged, seed) if seed >= 0 else shutil.copy(good, damaged) and "none"
    found = []
    for command in QUICK[good.name] + (SLOW.get(good.name, []) if slow else []):
        what = (
            _replayed(damaged)
            if command == "replay"
            else _fault(command, damaged, place / "out", bundle, way)
        )
        if what is not None:
            found.append(Fault(good.name, seed, way, command, what))
        shutil.rmtree(place / "out", ignore_errors=True)
    shutil.rmtree(place, ignore_errors=True)
    return found


def _fault(command: str, damaged: Path, out: Path, bundle: Path, way: str) -> str | None:  # noqa: PLR0911
    paths = {"IN": str(damaged), "OUT": str(out), "BUNDLE": str(bundle)}
    arguments = []
    for word in command.split():
        head, slash, tail = word.partition("/")
        arguments.append(paths.get(head, head) + slash + tail)
    before = damaged.read_bytes()
    ended = intent(arguments)
    if ended.code not in (0, 1, 2):
        return (
            f"ended in {'a traceback' if ended.code is None else ended.code}: {ended.error.strip()[-1500:]}"
        )
    if damaged.read_bytes() != before:
        return "changed its input"
    if ended.code and way == "none":
        return f"refused a good file: {ended.error}"
    if ended.code:
        lines = [line for line in ended.error.splitlines() if line.strip()]
        if not lines:
            return "failed without a word"
        if "emit" not in command and any(path.is_file() for path in out.rglob("*")):
            return f"failed ({lines[-1]}) and left {[path.name for path in out.rglob('*')]}"
        if any(ord(letter) < 32 for letter in "".join(lines)):  # noqa: PLR2004
            return f"wrote a control character: {lines[-1]!r}"
        return None
    return _account_fault(command, ended.output)


def _account_fault(command: str, output: str) -> str | None:
    if not command.startswith("convert"):
        return None
    account: dict[str, Any] = json.loads(output)
    dropped = sum(count["rows"] for count in account["dropped"])
    if account["rows"] != account["events"] + account["merged"] + dropped:
        return f"the account does not add up: {account}"
    bare = [count["reason"] for count in account["dropped"] if count["example"] is None]
    return f"dropped without an example: {bare}" if bare else None


def _replayed(damaged: Path) -> str | None:
    from features.exceptions import IntentError

    try:
        for _ in iterate_log(damaged):
            pass
    except IntentError:
        return None
    except Exception:  # noqa: BLE001
        return f"reading for a replay ended in a traceback: {traceback.format_exc()[-1500:]}"
    return None


def run(folder: Path, bundle: Path, seeds: Sequence[int], *, slow: bool = False) -> list[Fault]:
    """Damage each good file once for every seed, and return all faults."""
    good = write_good(folder / "good")
    return [
        fault
        for seed in seeds
        for path in good.values()
        for fault in faults_of(path, seed, folder / "damaged", bundle, slow=slow)
    ]
