"""Links to the traces that records carry: malformed headers are passed over, whatever their bytes are."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from stream.tracing.links import MOST_LINKS, links_of, parent_of

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GOOD = f"00-{TRACE}-{SPAN}-01"

HEX = st.text("0123456789abcdefABCg", min_size=1, max_size=34)
NEARLY = st.one_of(
    st.builds("-".join, st.lists(HEX, min_size=1, max_size=5)),
    st.builds(lambda at, sign: GOOD[:at] + sign + GOOD[at + 1 :], st.integers(0, 54), st.characters()),
    st.builds(lambda start, end: start + GOOD + end, st.text(max_size=2), st.text(max_size=2)),
    st.builds(
        "{}-{}-{}-{}".format,
        st.sampled_from(["00", "01", "cc", "ff", "0"]),
        st.sampled_from([TRACE, "0" * 32]),
        st.sampled_from([SPAN, "0" * 16]),
        st.sampled_from(["00", "01", "03", "ff", "1"]),
    ),
)


def record(*headers: tuple[str, bytes | None]) -> Any:
    return SimpleNamespace(headers=headers)


def carrying(number: int, flags: str = "01") -> Any:
    return record(("traceparent", f"00-{TRACE}-{number:016x}-{flags}".encode()))


def test_a_header_names_a_span() -> None:
    context = parent_of(GOOD.encode())
    assert context is not None
    assert (f"{context.trace_id:032x}", f"{context.span_id:016x}") == (TRACE, SPAN)
    assert context.is_remote
    assert context.trace_flags.sampled


@pytest.mark.parametrize(
    "malformed",
    [
        b"", b"\xff\x00", GOOD.upper().encode(), GOOD.encode() + b"\n", b" " + GOOD.encode(), b"0" * 1_000_000,
        GOOD.replace("00-", "ff-", 1).encode(), f"{GOOD}-more".encode(), f"00-{'0' * 32}-{SPAN}-01".encode(),
        f"00-{TRACE}-{'0' * 16}-01".encode(), f"01-{TRACE}-{SPAN}-01-{'x' * 500}".encode(),
    ],
    ids=lambda header: repr(header[:20]),
)  # fmt: skip
def test_a_malformed_header_is_passed_over(malformed: bytes) -> None:
    assert parent_of(malformed) is None
    assert len(links_of([record(("traceparent", malformed)), record(("traceparent", GOOD.encode()))])) == 1


def test_a_header_of_a_later_version_may_say_more() -> None:
    assert parent_of(f"01-{TRACE}-{SPAN}-01-what later versions say".encode()) == parent_of(GOOD.encode())


@given(st.binary(max_size=600))
def test_whatever_bytes_a_header_has_nothing_is_raised(header: bytes) -> None:
    context = parent_of(header)
    assert context is None or context.is_valid
    assert len(links_of([record(("traceparent", header))])) <= 1


@given(NEARLY)
@example(GOOD)
def test_a_header_is_taken_as_opentelemetry_takes_it(header: str) -> None:
    """Its own reader also takes blanks around the header, which HTTP allows, and any text behind a later version."""
    found = parent_of(header.encode(errors="surrogatepass"))
    context = TraceContextTextMapPropagator().extract({"traceparent": header})
    theirs = get_current_span(context).get_span_context()
    if found is not None:
        assert (found.trace_id, found.span_id, found.trace_flags) == (
            theirs.trace_id,
            theirs.span_id,
            theirs.trace_flags,
        )
    elif header.isascii() and header.isprintable() and header == header.strip():
        assert not theirs.is_valid


def test_the_first_spans_are_linked_each_once() -> None:
    records = [carrying(number // 2 + 1) for number in range(4 * MOST_LINKS)]
    assert [link.context.span_id for link in links_of(records)] == list(range(1, MOST_LINKS + 1))


def test_spans_that_are_not_sampled_take_no_place() -> None:
    records = [*(carrying(number + 1, "00") for number in range(100)), carrying(1000), carrying(1001, "03")]
    assert [link.context.span_id for link in links_of(records)] == [1000, 1001]


def test_the_last_header_of_a_record_counts() -> None:
    first = b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01"
    sent_on = record(("traceparent", first), ("traceparent", None), ("traceparent", GOOD.encode()))
    [link] = links_of([record(), sent_on])
    assert f"{link.context.trace_id:032x}" == TRACE


def test_headers_of_other_names_are_nothing() -> None:
    assert not links_of([record(("Traceparent", GOOD.encode()), ("arrived_at", GOOD.encode()))])
