"""Masked ids: who looks over a shoulder learns nobody's id, and the same person stays the same."""

from __future__ import annotations

import re
from collections import OrderedDict
from hashlib import blake2b
from typing import Final

# Masked ids that are known: more than the page can show.
_KNOWN: Final = 50_000
_SHOWN: Final = 2
# Bytes of the hash: of 50,000 customers two are alike with a probability of .00001.
_HASH: Final = 6
_FORM: Final = re.compile(rf".{{0,{_SHOWN}}}…[0-9a-f]{{{2 * _HASH}}}", re.DOTALL)


class Masks:
    """Masks ids by a keyed hash, and knows whose they are.

    Parameters
    ----------
    key
        Secret; ``None`` masks nothing.

    Examples
    --------
    >>> masks = Masks(b"secret")
    >>> masks.shown("customer-17")
    'cu…bea6e642326c'
    >>> masks.real("cu…bea6e642326c"), Masks(None).shown("customer-17")
    ('customer-17', 'customer-17')
    """

    def __init__(self, key: bytes | None) -> None:
        self._key = key
        self._real: OrderedDict[str, str] = OrderedDict()

    @property
    def on(self) -> bool:
        """Whether ids are masked."""
        return self._key is not None

    def shown(self, customer: str) -> str:
        """Return an id as it is shown."""
        if self._key is None:
            return customer
        digest = blake2b(customer.encode(), digest_size=_HASH, key=self._key).hexdigest()
        # Of a short id two characters would tell all.
        masked = f"{customer[:_SHOWN] if len(customer) > 2 * _SHOWN else ''}…{digest}"
        self._real[masked] = customer
        self._real.move_to_end(masked)
        if len(self._real) > _KNOWN:
            self._real.popitem(last=False)
        return masked

    def masked(self, shown: str) -> bool:
        """Whether an id has the form of a masked one."""
        return self.on and _FORM.fullmatch(shown) is not None

    def real(self, shown: str) -> str:
        """Return whose a shown id is; what is none of ours is an id itself."""
        return self._real.get(shown, shown)

    def forget(self, customer: str) -> None:
        """Let go of a customer."""
        if self._key is not None:
            self._real.pop(self.shown(customer), None)
