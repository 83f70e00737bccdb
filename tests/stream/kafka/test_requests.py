from __future__ import annotations

from typing import Any

import pytest
from aiokafka.protocol.produce import ProduceRequest
from hypothesis import given
from hypothesis import strategies as st

from stream.kafka.requests import _joined

TOPICS = st.lists(
    st.tuples(
        st.text(max_size=20),
        st.lists(st.tuples(st.integers(0, 2**31 - 1), st.binary(max_size=50)), max_size=4),
    ),
    max_size=4,
)
VERSIONS = [version for version in ProduceRequest._CLASSES if version.API_VERSION >= 3]


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.__name__)
@given(st.none() | st.text(max_size=20), st.sampled_from([-1, 0, 1]), st.integers(0, 2**31 - 1), TOPICS)
def test_requests_are_those_of_the_schema(
    version: Any, transaction: str | None, acks: int, timeout: int, topics: list[Any]
) -> None:
    request = version(transaction, acks, timeout, topics)
    fields = [request.__dict__[name] for name in version.SCHEMA.names]
    assert _joined(request) == version.SCHEMA.encode(fields)


def test_batches_may_be_views() -> None:
    [version] = VERSIONS[-1:]
    batch = memoryview(b"records")
    assert _joined(version(None, -1, 1, [("t", [(0, batch)])])) == _joined(
        version(None, -1, 1, [("t", [(0, bytes(batch))])])
    )
