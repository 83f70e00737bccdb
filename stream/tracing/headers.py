"""The headers in which a record carries the trace that it was emitted in: W3C Trace Context."""

from __future__ import annotations

import sys
from typing import Final

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"

_API: Final = "opentelemetry.trace"


def active_trace() -> list[tuple[str, bytes]]:
    """Return the headers that name the active span of this thread or task; none where there is no span.

    A program that traces has imported OpenTelemetry long since. It is never imported here.
    """
    find = getattr(sys.modules.get(_API), "get_current_span", None)  # none while it is being imported
    if find is None:
        return []
    context = find().get_span_context()
    if not context.is_valid:
        return []
    parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    headers = [(TRACEPARENT, parent.encode())]
    if state := context.trace_state.to_header():
        headers.append((TRACESTATE, state.encode()))
    return headers
