"""What the parts of a process see of tracing: a trace of each round, which as a rule notes nothing.

It is decided when a round begins whether it is traced, by chance alone. A round that is not traced costs one random
number, and nobody looks at its records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Protocol, Self

from features.extras import MissingExtra
from stream.settings import Settings


class Stretch(Protocol):
    """Consecutive records of one partition, as in `stream.kafka.batches.RecordBatch`."""

    @property
    def partition(self) -> int:
        """The partition."""
        ...

    @property
    def records(self) -> Sequence[Any]:
        """The records; what they carry as headers is looked at."""
        ...

    @property
    def start(self) -> int:
        """The fetch position before the first record."""
        ...

    @property
    def stop(self) -> int:
        """The fetch position after the last record."""
        ...


class Described(Protocol):
    """What came of a round."""

    @property
    def described(self) -> Mapping[str, str | int]:
        """What a trace says of it, by the names of attributes; nothing that identifies a customer."""
        ...


class Trace:
    """What is noted of one round, which ends with the ``with`` block or by `end`. This one notes nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(error)

    def step(self, name: str) -> None:
        """Begin a step; the one before is done."""

    def note(self, result: Described) -> None:
        """Take note of what came of the round."""

    def end(self, error: BaseException | None = None) -> None:
        """End the round, once; ``error`` is why it failed."""


UNTRACED: Final = Trace()

#: Begins the trace of a round of batches.
BeginTrace = Callable[[Sequence[Stretch]], Trace]


def untraced(batches: Sequence[Stretch]) -> Trace:
    """Trace nothing."""
    return UNTRACED


class Tracing:
    """Chooses the rounds that are traced. This one chooses none."""

    def begin(self, name: str, taken: Iterable[tuple[str, Stretch]]) -> Trace:
        """Return the trace of a round that begins.

        Parameters
        ----------
        name
            Of its span.
        taken
            The batches that it has taken, each with the name of its topic; looked at only if the round is traced.
        """
        return UNTRACED

    async def close(self) -> None:
        """Send the last spans; whatever the collector does, it takes a second at most."""


def tracing_of(settings: Settings, service: str) -> Tracing:
    """Return what traces the rounds of this process.

    Parameters
    ----------
    service
        Name of the service, unless ``OTEL_SERVICE_NAME`` says otherwise.

    Raises
    ------
    MissingExtra
        Rounds are to be traced, and OpenTelemetry is not installed.
    SettingsError
        OpenTelemetry cannot use one of its own variables (``OTEL_...``).
    """
    if settings.tracing == "off":
        return Tracing()
    try:
        from stream.tracing.spans import OtlpTracing
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "opentelemetry") from None
    return OtlpTracing(service, settings.tracing_sample)
