"""What a compression of scores costs and saves: ``python -m benchmarks.compression``.

CPU time of the producer and bytes a score, by codec and records in a batch. Scores have random ids and intents, one
after the other, as a worker writes them.
"""

from __future__ import annotations

import random
import time
from typing import Final

import msgspec
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from stream.messages.score import Score, SegmentRef

CODECS: Final = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
SIZES: Final = (20, 400, 4000)
NOON: Final = 1_772_366_400_000
REPETITIONS: Final = 5


def scores(count: int) -> list[tuple[bytes, bytes]]:
    """Return keys and values."""
    chance = random.Random(7)
    made = []
    for number in range(count):
        intent = chance.random()
        score = Score(
            event_id=f"{chance.getrandbits(128):032x}",
            customer_id=f"c-{chance.randrange(100_000)}",
            event_time=NOON + number,
            scored_at=NOON + number,
            purchase_intent=intent,
            horizon_seconds=1800,
            as_of=NOON + number,
            network_score=intent,
            online_score=None,
            band="low",
            segment=SegmentRef(1, "loyal"),
            reasons=[],
            action="cross_sell",
            holdout=False,
            model_version="20260301T120000Z-1f3a9c",
            features_version="5c9e1b7a",
        )
        made.append((score.customer_id.encode(), msgspec.json.encode(score)))
    return made


def main() -> None:
    """Print a line for each."""
    records = scores(max(SIZES))
    for size in SIZES:
        for name, codec in CODECS.items():
            best = float("inf")
            for _ in range(REPETITIONS):
                builder = DefaultRecordBatchBuilder(2, codec, 1, -1, -1, -1, 16 << 20)
                for number, (key, value) in enumerate(records[:size]):
                    builder.append(number, NOON + number, key, value, [])
                began = time.process_time()
                batch = builder.build()
                best = min(best, time.process_time() - began)
            print(
                f"{size:5} records, {name:6} {1e6 * best / size:5.2f} us and {len(batch) / size:4.0f} bytes a score"
            )


if __name__ == "__main__":
    main()
