"""How an id stands to others, and so who is erased with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from stream.settings import Settings


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

    def lines(self, done: str) -> list[str]:
        """Return what people are told after the request; ``done`` is left out where there was nobody to erase.

        Examples
        --------
        >>> AboutErased(True, []).lines("customer c-17 is erased")
        ['customer c-17 is erased', 'no other id is linked to it']
        """
        return [self.sentence()] if self.known is False else [done, self.sentence()]


def about_erased(settings: Settings, customer_id: str) -> AboutErased:
    """Return what is known of an id that is to be erased."""
    from contextlib import closing

    from features.exceptions import IntentError
    from features.store.redis_store import RedisStore
    from stream.ownership.standing import partition_count
    from stream.person.ids import person_of

    try:
        with closing(RedisStore(settings.redis_url, settings.redis_prefix)) as store:
            found = person_of(store, partition_count(settings, store), customer_id)
            return AboutErased(found.known, [*found.ids[1:], *found.shared])
    except IntentError as error:  # the request needs no Redis
        return AboutErased(None, [], str(error))
