"""A shelf: a folder of bundles by version, and a small file that says which of them does what.

::

    slots.json     `Slots`: which bundle is live, which one is its shadow, which one its canary
    .lock          held by whoever changes the shelf (`changing`)
    <version>/     a bundle

Whoever names a shelf where a bundle is asked for means its live one. Workers and the learner follow ``slots.json``.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from features.decoding import Undecodable, decoded
from features.exceptions import BundleError
from features.whole_files import file_mark, whole_file

SLOTS: Final = "slots.json"
# By this file a folder is known as a bundle (`features.bundle.MANIFEST`, which imports this module).
_OF_BUNDLES: Final = "manifest.json"
#: What a bundle on a shelf can do.
Slot = Literal["live", "shadow", "canary"]
#: Former live bundles that are remembered.
MOST_FORMER: Final = 20

_SCHEMA: Final = 1
# Others change a shelf within a second or two: they load a bundle, and may ask Redis.
_WAIT_SECONDS: Final = 10.0
_TRY_SECONDS: Final = 0.1
_LOCK: Final = ".lock"
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
_SALT_BYTES: Final = 6


class Canary(msgspec.Struct, frozen=True):
    """A bundle whose scores a share of the customers gets; ``salt`` decides which."""

    version: str
    share: Annotated[float, msgspec.Meta(gt=0, lt=1)]
    salt: str


class Former(msgspec.Struct, frozen=True):
    """A bundle that was live; ``until`` is when another one took its place (RFC 3339)."""

    version: str
    until: str


class Slots(msgspec.Struct, frozen=True, kw_only=True):
    """Which bundle does what.

    Attributes
    ----------
    live
        Its scores are published.
    shadow
        It scores the same events; only the learner sees what it says.
    canary
        A share of the customers gets its scores.
    former
        What was live before, the last one at the end.
    changed_at
        When they were signed (epoch ms); a later change has a later one. 0 where they are not signed.
    signature
        Of all the rest, by Ed25519 (base64); ``None`` where they are not signed.
    """

    live: str
    shadow: str | None = None
    canary: Canary | None = None
    former: list[Former] = []
    changed_at: int = 0
    signature: str | None = None
    schema: int = _SCHEMA

    @property
    def used(self) -> dict[str, Slot]:
        """The bundles that do something, and what."""
        found: dict[str, Slot] = {self.live: "live"}
        if self.shadow is not None:
            found[self.shadow] = "shadow"
        if self.canary is not None:
            found[self.canary.version] = "canary"
        return found

    @property
    def beside(self) -> tuple[str, ...]:
        """The bundles that score beside the live one."""
        return tuple(version for version, slot in self.used.items() if slot != "live")

    def promoted(self, version: str, now: str) -> Slots:
        """Return the slots with another live bundle, which leaves the slot that it had."""
        former = [*self.former, Former(self.live, now)][-MOST_FORMER:]
        return msgspec.structs.replace(self.without(version), live=version, former=former)

    def rolled_back(self) -> Slots:
        """Return the slots with the bundle that was live before.

        Raises
        ------
        BundleError
            There was none.
        """
        if not self.former:
            raise BundleError(f"no bundle was live before {self.live}: promote the one that you want")
        before = self.former[-1].version
        return msgspec.structs.replace(self.without(before), live=before, former=self.former[:-1])

    def shadowed_by(self, version: str) -> Slots:
        """Return the slots with another shadow."""
        return msgspec.structs.replace(self.without(version), shadow=version)

    def with_canary(self, version: str, share: float) -> Slots:
        """Return the slots with a canary; customers stay where they are when only its share changes."""
        same = self.canary is not None and self.canary.version == version
        salt = self.canary.salt if same and self.canary is not None else secrets.token_hex(_SALT_BYTES)
        return msgspec.structs.replace(self.without(version), canary=Canary(version, share, salt))

    def without(self, version: str) -> Slots:
        """Return the slots without a shadow or canary of this version."""
        canary = None if self.canary is not None and self.canary.version == version else self.canary
        shadow = None if self.shadow == version else self.shadow
        return msgspec.structs.replace(self, shadow=shadow, canary=canary)

    def signed(self, key: Path, now: int) -> Slots:
        """Return the same slots, signed with a private key at this moment (epoch ms), or right after the last change.

        Raises
        ------
        BundleError
            The key cannot be used.
        """
        from features.signing import sign_slots  # takes a while to be imported

        later = msgspec.structs.replace(self, changed_at=max(now, self.changed_at + 1))
        return msgspec.structs.replace(later, signature=sign_slots(later._content(), key))

    def verify(self, shelf: Path, key: Path) -> None:
        """Raise `BundleError` unless the owner of a public key has signed these slots."""
        from features.signing import verify_slots

        if self.signature is None:
            raise BundleError(
                f"{shelf / SLOTS} is not signed: run `intent bundle sign {shelf} --key KEY` if it says what you want"
            )
        if not verify_slots(self._content(), self.signature, key):
            raise BundleError(
                f"{shelf / SLOTS} is not as it was signed with the key of {key}: run `intent bundle list {shelf}`, and "
                "sign it again if it says what you want"
            )

    def _content(self) -> bytes:
        return msgspec.json.encode(msgspec.structs.replace(self, signature=None), order="deterministic")


_decode = msgspec.json.Decoder(Slots).decode


def is_shelf(folder: str | Path) -> bool:
    """Whether a folder is a shelf."""
    return (Path(folder) / SLOTS).is_file()


def bundle_folder(folder: str | Path, key: Path | None = None) -> Path:
    """Return the folder of a bundle: of a shelf's live one, or the folder itself; see `read_slots` for the key."""
    folder = Path(folder)
    return on_shelf(folder, read_slots(folder, key).live) if is_shelf(folder) else folder


def on_shelf(shelf: Path, version: str) -> Path:
    """Return the folder of a version on a shelf.

    Raises
    ------
    BundleError
        The version cannot name a folder.
    """
    if not _VERSION.fullmatch(version):
        raise BundleError(f"invalid version {version!r}: a shelf takes letters, digits, and . _ + - within")
    return shelf / version


def read_slots(shelf: Path, key: Path | None = None) -> Slots:
    """Return the slots of a shelf.

    Parameters
    ----------
    key
        A public key: slots that it has not signed are refused.

    Raises
    ------
    BundleError
        They cannot be read, are damaged, or not signed as asked.
    """
    path = shelf / SLOTS
    try:
        found = decoded(_decode, path.read_bytes())
    except FileNotFoundError:
        if (shelf / _OF_BUNDLES).exists():
            raise BundleError(
                f"{shelf} is a bundle, not a shelf: put it on one with `intent bundle add SHELF {shelf}`"
            ) from None
        raise BundleError(
            f"{shelf} is no shelf of bundles: make it one with `intent bundle add {shelf} BUNDLE`"
        ) from None
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error.strerror}): let this user read it") from None
    except Undecodable as error:
        raise BundleError(
            f"{path} is damaged: {error}; write it again with `intent bundle promote`"
        ) from None
    if found.schema != _SCHEMA:
        raise BundleError(f"{path} has schema {found.schema}, this program reads {_SCHEMA}: use its program")
    for version in found.used:
        on_shelf(shelf, version)
    if key is not None:
        found.verify(shelf, key)
    return found


def write_slots(shelf: Path, slots: Slots) -> None:
    """Write the slots of a shelf, whole or not at all."""
    with whole_file(shelf / SLOTS) as partial:
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(slots), indent=2) + b"\n")


@contextmanager
def changing(shelf: Path, seconds: float = _WAIT_SECONDS) -> Iterator[None]:
    """Keep others from changing a shelf meanwhile; who only reads it need not ask.

    Parameters
    ----------
    shelf
        Its folder, which is there.
    seconds
        How long to wait for somebody else.

    Raises
    ------
    BundleError
        Somebody else is changing it for longer, or it cannot be written to.
    """
    from features.file_lock import FileLock, Locked

    until = time.monotonic() + seconds
    while True:
        try:
            lock = FileLock(shelf / _LOCK)
            break
        except Locked as locked:
            if time.monotonic() >= until:
                raise BundleError(
                    f"process {locked.holder} is changing {shelf}: try again when it has ended"
                ) from None
        except OSError as error:
            raise BundleError(f"{shelf} cannot be changed: {error.strerror}") from None
        time.sleep(_TRY_SECONDS)
    try:
        yield
    finally:
        lock.release()


class FollowedSlots:
    """Notices that the slots of a shelf have changed; a look is one stat.

    Parameters
    ----------
    shelf
        Its folder.
    key
        A public key: slots that it has not signed are refused, and so are signed ones from before those in use.

    Attributes
    ----------
    slots
        As they were read last, and could be used.

    Raises
    ------
    BundleError
        The first ones cannot be used.
    """

    def __init__(self, shelf: Path, key: Path | None = None) -> None:
        self.shelf = shelf
        self._key = key
        self._seen = file_mark(shelf / SLOTS)
        self.slots = read_slots(shelf, key)

    @classmethod
    def of(cls, folder: Path, key: Path | None = None) -> FollowedSlots | None:
        """Return the slots of a folder that is a shelf."""
        return cls(folder, key) if is_shelf(folder) else None

    def look(self) -> bool:
        """Return whether the slots have changed, and take them.

        Raises
        ------
        BundleError
            They have, and cannot be used. So does every look until they can be, and `slots` stay as they were.
        """
        mark = file_mark(self.shelf / SLOTS)
        if mark == self._seen:
            return False
        found = read_slots(self.shelf, self._key)
        if self._key is not None and found.changed_at < self.slots.changed_at:
            raise BundleError(
                f"{self.shelf / SLOTS} is an old one that was put back: change the slots again with `intent bundle "
                "promote` or `rollback`"
            )
        self._seen = mark
        before, self.slots = self.slots, found
        return found != before
