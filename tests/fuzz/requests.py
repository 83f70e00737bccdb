"""Requests that Schemathesis makes of the contract of ``intent serve``: ``python -m tests.fuzz.requests [CASES]``.

Each operation gets its part of the cases, good and bad ones. Checked is that no answer is an error of the service, and
that each is one that the contract has: status, media type, headers and schema. Two checks are left out: events have
rules that no schema says (one may be late), and a bad optional field of an event is dropped, which the contract allows.
Streams never end, and have tests of their own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from stream.kafka.topics import create_topics
from stream.services.services import EmbeddedServices
from stream.settings import Settings
from tests.bundles import save_bundle
from tests.integration.workers import Fleet, service

# Operations that take as many cases as they are given; the others have only a few different ones.
OPERATIONS: Final = 7
_LEFT_OUT: Final = "positive_data_acceptance,negative_data_rejection"
_ENDLESS: Final = "/v1/(scores|actions)"


def fuzz(url: str, cases: int, folder: Path, seed: int) -> subprocess.CompletedProcess[str]:
    """Make about so many requests of a service; the result's output says what was found."""
    command = [
        sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run", f"{url}/openapi.json",
        "--max-examples", str(max(1, cases // OPERATIONS)), "--seed", str(seed), "--checks", "all",
        "--exclude-checks", _LEFT_OUT, "--exclude-path-regex", _ENDLESS, "--phases", "examples,coverage,fuzzing",
        "--suppress-health-check", "all", "--continue-on-failure", "--request-timeout", "30",
    ]  # fmt: skip
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def main(cases: int = 10_000) -> None:
    """Start what the service needs, and print what Schemathesis says."""
    with EmbeddedServices() as servers, tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            _env_file=None, kafka=servers.kafka, redis=servers.redis, http_port=0, partitions=3,
            bundle=save_bundle(Path(folder) / "bundle"),
        )  # fmt: skip
        create_topics(settings)
        with Fleet(settings, Path(folder)) as fleet:
            fleet.ready()
            answers = service(fleet, settings)
            told = fuzz(f"http://127.0.0.1:{answers.port}", cases, Path(folder), 1)
            print(told.stdout, told.stderr)
            assert answers.running
    sys.exit(told.returncode)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
