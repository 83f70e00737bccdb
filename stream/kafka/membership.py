"""Static membership: a worker that is known by a name of its own, and keeps its partitions over a restart.

A group knows an ordinary member by an id that it gives it at each join: whoever leaves and comes back is somebody else,
and the partitions of all members are assigned anew, twice. A static member [1]_ brings its name. It does not leave when
it stops, and gets its partitions back if it joins within the session timeout; the others notice nothing.

aiokafka names itself when it joins, but not in its heartbeats. So a member whose name another process has taken would
only hear that it is unknown, and would join again, which takes the name back, and so on. Here heartbeats carry the
name, so that Kafka says who is fenced, and whoever has been a member before asks so before it joins again.

.. [1] KIP-345, *Introduce static membership protocol to reduce consumer rebalances*.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.errors import KafkaError
from aiokafka.protocol.api import Request, RequestStruct
from aiokafka.protocol.group import HeartbeatRequest, HeartbeatResponse_v1, JoinGroupRequest
from aiokafka.protocol.types import Int32, Schema, String

_FENCED_INSTANCE: Final = 82

Send = Callable[..., Awaitable[Any]]


class _Response(HeartbeatResponse_v1):  # type: ignore[misc]
    """What version 3 answers is what version 1 does."""

    API_VERSION = 3


class _StaticHeartbeatStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 12
    API_VERSION = 3
    RESPONSE_TYPE = _Response
    SCHEMA = Schema(
        ("group", String("utf-8")),
        ("generation_id", Int32),
        ("member_id", String("utf-8")),
        ("group_instance_id", String("utf-8")),
    )


class _StaticHeartbeat(Request[_StaticHeartbeatStruct]):  # type: ignore[misc]
    """A heartbeat with the member's name."""

    API_KEY = 12

    def __init__(self, group: str, generation: int, member: str, instance: str) -> None:
        self.fields = group, generation, member, instance

    def build(self, request_struct_class: type[_StaticHeartbeatStruct]) -> _StaticHeartbeatStruct:
        return request_struct_class(*self.fields)


class StaticMember:
    """Watches over one member's name.

    Parameters
    ----------
    group, instance
        The group, and the name within it.
    on_fenced
        Is called once another member has taken the name.

    Attributes
    ----------
    fenced
        Whether one has.
    """

    def __init__(self, group: str, instance: str, on_fenced: Callable[[], None]) -> None:
        self.fenced = False
        self._group = group
        self._instance = instance
        self._on_fenced = on_fenced
        self._last: tuple[int, str] | None = None  # the generation and the id of the last membership

    def watch(self, client: AIOKafkaClient) -> None:
        """Change the heartbeats and joins of a client from now on."""
        send = client.send

        async def watched(
            node: int, request: Any, *, group: ConnectionGroup = ConnectionGroup.DEFAULT
        ) -> Any:
            if isinstance(request, HeartbeatRequest):
                return await self._beat(send, node, (request._generation_id, request._member_id), group)
            if isinstance(request, JoinGroupRequest):
                return await self._join(send, node, request, group)
            return await send(node, request, group=group)

        client.send = watched

    async def _join(self, send: Send, node: int, request: Any, group: ConnectionGroup) -> Any:
        if self._last is not None:
            await self._beat(send, node, self._last, group)
        if self.fenced:
            raise KafkaError(
                "another member has the name of this one"
            )  # aiokafka comes back, until it is stopped
        response = await send(node, request, group=group)
        if not response.error_code:
            self._last = response.generation_id, response.member_id
        return response

    async def _beat(self, send: Send, node: int, member: tuple[int, str], group: ConnectionGroup) -> Any:
        response = await send(node, _StaticHeartbeat(self._group, *member, self._instance), group=group)
        if response.error_code != _FENCED_INSTANCE:
            return response
        if not self.fenced:
            self.fenced = True
            self._on_fenced()
        return _Response(0, 0)  # the worker ends: nothing is to be done about it
