"""How an id stands to others, and so who is erased with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from features.links import Link
    from features.store.customer_store import CustomerStore
    from stream.settings import Settings

# Ids that are looked up; a customer remembers 64 that were merged into it.
_MOST = 200


class AboutErased(NamedTuple):
    """What is known of an id just before it is erased.

    Attributes
    ----------
    known
        Whether there is a state or a link under it; ``None`` where Redis does not say.
    linked
        The ids that are erased with it.
    why_unknown
        What is wrong where Redis does not say.
    """

    known: bool | None
    linked: list[str]
    why_unknown: str = ""

    def sentence(self) -> str:
        """Return what people are told.

        Examples
        --------
        >>> AboutErased(True, ["a-1", "a-2"]).sentence()
        'erased with it, because they are linked: a-1, a-2'
        >>> AboutErased(True, []).sentence()
        'no other id is linked to it'
        """
        if self.known is None:
            return f"what is known under this id, and which ids are linked to it, cannot be said: {self.why_unknown}"
        if not self.known:
            return (
                "nothing is known under this id: check it. The request is sent all the same, for events that are "
                "still on their way"
            )
        if self.linked:
            return f"erased with it, because they are linked: {', '.join(self.linked)}"
        return "no other id is linked to it"


def about_erased(settings: Settings, customer_id: str) -> AboutErased:
    """Return what is known of an id that is to be erased."""
    from contextlib import closing

    from features.exceptions import IntentError
    from features.store.redis_store import RedisStore

    try:
        with closing(RedisStore(settings.redis_url, settings.redis_prefix)) as store:
            return about(settings, store, customer_id)
    except IntentError as error:  # the request needs no Redis
        return AboutErased(None, [], str(error))


def about(settings: Settings, store: CustomerStore, customer_id: str) -> AboutErased:
    """Return what is known of an id, and all ids that are linked to it, directly or by others."""
    from stream.ownership.standing import partition_of

    partition = partition_of(settings, store, customer_id)
    known = store.peek(partition, customer_id) is not None
    found, waiting = {customer_id: True}, [customer_id]
    while waiting and len(found) < _MOST:
        one = waiting.pop(0)
        link = links_of(store, partition_of(settings, store, one), one)
        if link is None:
            continue
        known = True
        for other in (link.customer, *link.members):
            if other and other not in found:
                found[other] = True
                waiting.append(other)
    return AboutErased(known, list(found)[1:])


def links_of(store: CustomerStore, partition: int, customer_id: str) -> Link | None:
    """Return how an id stands to others, ``None`` where nobody has linked it."""
    from features.links import Link
    from features.store.customer_store import LoadRequest

    (found,) = store.load_many([LoadRequest(partition, [customer_id], links_of=[customer_id])])
    (raw,) = found.links
    return None if raw is None else Link.from_bytes(raw)
