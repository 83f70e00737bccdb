"""Links from a round to the traces in which its records were emitted.

Whoever may write to the topic writes these headers, so their bytes are taken for hostile: they are matched as a whole
or passed over, and nothing of them is logged. (OpenTelemetry's own propagator logs what it refuses.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from opentelemetry.trace import Link, SpanContext, TraceFlags

from stream.tracing.headers import TRACEPARENT

#: Links of a round, at most: the first ones.
MOST_LINKS: Final = 32

# W3C Trace Context: version, trace, parent, flags. Later versions may add fields behind these; ff is none.
_PARENT: Final = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-[ -~]*)?"
)
_FIRST_VERSION: Final = b"00"
_LONGEST: Final = 512

# What most headers are where a shop samples few of its traces: not taken apart, which is five times quicker.
_PLAIN: Final = 55  # bytes of a header that ends with its flags
_UNSAMPLED: Final = b"-00"


def parent_of(header: bytes) -> SpanContext | None:
    """Return the span that a header names, ``None`` if it is malformed."""
    found = _PARENT.fullmatch(header) if len(header) <= _LONGEST else None
    if found is None:
        return None
    version, trace, span, flags, further = found.groups()
    if version == _FIRST_VERSION and further is not None:
        return None
    return SpanContext(int(trace, 16), int(span, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))


def links_of(records: Iterable[Any], most: int = MOST_LINKS) -> list[Link]:
    """Return links to the spans in which records were emitted, each once, the first ``most``.

    Spans that are not sampled are passed over: a link to one leads nowhere, and would take the place of one that leads
    somewhere. Of several headers the last counts: whoever sends on adds his own behind those of before.
    """
    found: dict[tuple[int, int], Link] = {}
    seen: set[bytes] = set()  # a span that emits many events says the same in each
    for record in records:
        header = None
        for name, value in record.headers:
            if name == TRACEPARENT and value is not None:
                header = value
        if header is None or header in seen or (len(header) == _PLAIN and header.endswith(_UNSAMPLED)):
            continue
        seen.add(header)
        context = parent_of(header)
        if context is not None and context.trace_flags.sampled:
            found.setdefault((context.trace_id, context.span_id), Link(context))
            if len(found) == most:
                break
    return list(found.values())
