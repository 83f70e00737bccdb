"""Marketing's view of the scored topic: scores as they come, filtered by band and segment.

::

    with ScoreWatcher(bands=["high"]) as watcher:
        for score in watcher:
            ...
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import msgspec

from features.decoding import Undecodable, decoded
from features.exceptions import BundleError
from features.shelf import bundle_folder
from stream.clients.standing import Departure, Standing
from stream.clients.topic_watcher import TopicWatcher
from stream.messages.score import Score, SegmentRef, decode_score, is_segment, segment_names
from stream.settings import Settings, load_settings


class ScoreWatcher(TopicWatcher[Score]):
    """Iterates over the scores in the scored topic, those of a customer in order; waits for more at the end.

    It starts from now, unless ``from_beginning`` is set or its group has been somewhere before.

    Parameters
    ----------
    settings
        Where Kafka is and what the topics are called; from the environment where none are given.
    bands
        Only scores in one of these bands (``low``, ``medium``, ``high``).
    segment
        Only scores of customers in this segment: part of its name (in any case), or its id.
    all_traffic
        Also scores of machines and of the shop's own people (`Score.traffic`).
    group
        Consumer group: its members share the partitions, and go on where the group stopped. Without one,
        every watcher sees all scores and nothing is remembered.
    from_beginning
        Begin with the oldest score instead of the next one, where the group has not been anywhere yet.
    limit
        End after so many scores.
    on_erased
        Called with every customer that was erased (a tombstone), whatever the filters.
    on_left
        Called with every customer whose last score passed the filters and holds no longer: a purchase, the end of
        the horizon, a newer score that the filters keep out (`stream.clients.standing`). Erased customers are left
        to ``on_erased``.

    Attributes
    ----------
    messages
        Scores that came, whether they were wanted or not.
    unreadable
        Records that were no scores, and were passed over.
    now_ms
        The time at which the log stands, epoch ms: its own where it is replayed, the wall clock where it is live.

    Raises
    ------
    BrokerUnavailable
        No broker answers.
    TopicMismatch
        There is no scored topic.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        bands: Collection[str] = (),
        segment: str | int | None = None,
        all_traffic: bool = False,
        group: str | None = None,
        from_beginning: bool = False,
        limit: int | None = None,
        on_erased: Callable[[str], None] | None = None,
        on_left: Callable[[Departure], None] | None = None,
    ) -> None:
        settings = settings or load_settings()
        self._bands = frozenset(bands)
        self._segment = None if segment is None else str(segment)
        self._all_traffic = all_traffic
        self._on_left = on_left
        self._standing = Standing()
        self._segments: set[SegmentRef] = set()
        super().__init__(
            settings,
            topic=settings.scores_topic,
            kind="score",
            decode=decode_score,
            group=group,
            from_beginning=from_beginning,
            limit=limit,
            on_erased=on_erased,
        )

    def _wants(self, score: Score, partition: int) -> bool:
        if self._segment is not None:
            self._segments.add(score.segment)
        if score.traffic is not None and not self._all_traffic:
            return False
        if self._bands and score.band not in self._bands:
            return False
        return self._segment is None or is_segment(score.segment, self._segment)

    def hint(self) -> str:
        """Return the segments that came, where the one that is asked for is not among them."""
        came = tuple(self._segments)  # a copy: another thread asks
        if self._segment is None or not came or any(is_segment(one, self._segment) for one in came):
            return ""
        return f"; their segments are {segment_names(came)}"

    def lists(self, customer: str) -> bool:
        """Whether a customer's last score passed the filters, and still holds."""
        return customer in self._standing

    def _tell(self, left: Departure | None) -> None:
        if left is not None and self._on_left is not None:
            self._on_left(left)

    def _reach(self, score: Score, record: Any) -> None:
        self._log_time.take(record.partition, score)

    def _leave(self, score: Score, *, wanted: bool) -> None:
        self._tell(self._standing.take(score, wanted=wanted))

    def _erase(self, customer: str) -> None:
        self._standing.erase(customer)

    def _move_to(self, now_ms: int) -> None:
        for left in self._standing.expire(now_ms):
            self._tell(left)


class _Segmenter(msgspec.Struct):
    """What of ``segmenter.json`` a shop can read that has none of what scoring needs."""

    segments: list[SegmentRef]


def segments_in(bundle: Path) -> list[SegmentRef]:
    """Return the segments of a bundle or of the live one of a shelf, none where there is no bundle."""
    try:
        raw = (bundle_folder(bundle) / "segmenter.json").read_bytes()
        return decoded(msgspec.json.Decoder(_Segmenter).decode, raw).segments
    except (OSError, BundleError, Undecodable):
        return []
