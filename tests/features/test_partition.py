from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2

from features.partition import partitions_of


@given(st.lists(st.binary(max_size=40), max_size=20), st.integers(1, 500))
def test_keys_go_where_kafkas_own_partitioner_sends_them(keys: list[bytes], count: int) -> None:
    assert partitions_of(keys, count).tolist() == [(murmur2(key) & 0x7FFFFFFF) % count for key in keys]
