"""``python -m benchmarks.scale.workers N``: so many workers of one group as one program."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import Final

from benchmarks.contenders import WORKER

COMMAND: Final = (sys.executable, "-m", "benchmarks.scale.workers")
_LOOK_SECONDS: Final = 0.2


def main(number: int) -> int:
    """Run the workers until SIGTERM comes, or until one of them ends."""
    workers = [subprocess.Popen(WORKER) for _ in range(number)]
    signal.signal(signal.SIGTERM, lambda *_: [worker.terminate() for worker in workers])
    while all(worker.poll() is None for worker in workers):
        time.sleep(_LOOK_SECONDS)
    for worker in workers:
        worker.terminate()
    return max(abs(worker.wait()) for worker in workers)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
