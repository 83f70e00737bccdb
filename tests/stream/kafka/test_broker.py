"""What a command says where no broker answers: one line, and nothing of the Kafka client's."""

from __future__ import annotations

import json
import os
import subprocess
import sys

# Those that ask by aiokafka; the others are tested in tests/stream/clients.
COMMANDS = (
    "archive -o events.parquet",
    "dead-letters list",
    "partition show",
    "partition skip 1 --to 4 --reason x",
)


def test_a_command_without_a_broker_says_so_in_one_line() -> None:
    program = (
        "import contextlib, io, json, sys\n"
        "from stream.cli import main\n"
        "told = {}\n"
        f"for line in {COMMANDS}:\n"
        "    sys.argv = ['intent', *line.split()]\n"
        "    with contextlib.redirect_stderr(io.StringIO()) as errors:\n"
        "        try:\n"
        "            main()\n"
        "        except SystemExit as end:\n"
        "            told[line] = [end.code, errors.getvalue()]\n"
        "print(json.dumps(told))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"INTENT_KAFKA": "127.0.0.1:1", "INTENT_REDIS": "redis://127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    line = (
        "intent: no Kafka broker answers at 127.0.0.1:1: start one (`intent services`), or set INTENT_KAFKA\n"
    )
    assert json.loads(ended.stdout) == {command: [1, line] for command in COMMANDS}
    assert not ended.stderr
