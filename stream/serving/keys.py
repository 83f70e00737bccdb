"""Keys of the service: who may ask, for what, and how often. A file has them, hashed; a key is shown once, when made.

A key is ``intent_<id>_<secret>``. The id finds the entry, the hash of the secret is compared in constant time. The
secret has 256 random bits, so one SHA-256 keeps it: there is nothing to guess, and nothing to slow down.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

import msgspec

from features.decoding import Undecodable, decoded
from features.exceptions import IntentError
from features.file_lock import FileLock, Locked
from features.whole_files import whole_file
from stream.decisions.following import FollowedFile
from stream.exceptions import PolicyError, SettingsError
from stream.settings import Settings

Scope = Literal["read", "write", "erase", "admin"]
#: What a key may be allowed: to ask; to send events; to erase customers; to see refused records and metrics.
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)

#: Requests a second of a key that was made without a limit of its own.
DEFAULT_RATE: Final = 1_000.0

#: Addresses of this machine alone.
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})

_KEY: Final = re.compile(r"intent_([0-9a-f]{8})_([A-Za-z0-9_-]{43})")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NOBODY: Final = hashlib.sha256(b"").hexdigest()


class KeysError(IntentError):
    """The file of keys cannot be used, or has no such key."""


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An entry of the file.

    Attributes
    ----------
    id
        The part of the key that is no secret.
    name
        Whose key it is, for people and the log.
    scopes
        What it is good for.
    sha256
        Of the secret, hexadecimal.
    rate
        Requests a second; a batch counts as one for each hundred customers or events.
    created_at
        When it was made, epoch ms.
    """

    id: str
    name: str
    scopes: tuple[Scope, ...]
    sha256: str
    rate: Annotated[float, msgspec.Meta(gt=0, le=1e6)] = DEFAULT_RATE
    created_at: int = 0

    def allows(self, scope: Scope) -> bool:
        """Whether the key is good for something."""
        return scope in self.scopes


#: Who asks where there are no keys: this machine alone can.
ANYBODY: Final = Key("", "anybody", SCOPES, "", 1e6)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keys: list[Key]


_decode: Final = msgspec.json.Decoder(_File).decode


class KeyRing:
    """Knows keys.

    Parameters
    ----------
    keys
        The entries.
    """

    def __init__(self, keys: Sequence[Key]) -> None:
        self.keys = tuple(keys)
        self._by_id = {key.id: key for key in keys}

    def of(self, text: str) -> Key | None:
        """Return the entry of a key, ``None`` for what is none."""
        found = _KEY.fullmatch(text)
        number, secret = ("", text) if found is None else (found[1], found[2])
        entry = self._by_id.get(number)
        expected = _NOBODY if entry is None else entry.sha256
        same = hmac.compare_digest(_hash(secret), expected)  # also for nobody: it takes as long
        return entry if same else None


class FollowedKeys(FollowedFile[KeyRing]):
    """The file of keys; ``current`` knows those that it has now, ``None`` as a path: nobody needs a key."""

    def _read(self) -> KeyRing:
        try:
            return KeyRing(read_keys(self._path))
        except KeysError as error:
            raise PolicyError(str(error)) from None

    def _take(self, found: KeyRing) -> None:
        self.current = found

    def _name(self) -> str:
        return "the former file of keys"


def keys_of(settings: Settings) -> FollowedKeys | None:
    """Return the keys that the settings name; ``None`` where nobody needs one.

    Raises
    ------
    SettingsError
        The file cannot be used.
    """
    if settings.serve_keys is None:
        return None
    try:
        return FollowedKeys(settings.serve_keys)
    except PolicyError as error:
        raise SettingsError(f"INTENT_SERVE_KEYS: {error}") from None


def check_asker(settings: Settings) -> None:
    """Check that nobody but this machine can ask without a key.

    Raises
    ------
    SettingsError
        Others could.
    """
    if settings.serve_keys is None and settings.serve_host not in LOOPBACK:
        raise SettingsError(
            f"INTENT_SERVE_HOST is {settings.serve_host}, and nobody would need a key: set INTENT_SERVE_KEYS to a "
            "file of `intent keys add`, or leave INTENT_SERVE_HOST out"
        )


def read_keys(path: Path) -> list[Key]:
    """Return the keys of a file.

    Raises
    ------
    KeysError
        The file is missing, or none of keys.
    """
    try:
        return decoded(_decode, path.read_bytes()).keys
    except OSError as error:
        raise KeysError(
            f"the file of keys {path} cannot be read ({error.strerror}): make one with `intent keys add`"
        ) from None
    except Undecodable as error:
        raise KeysError(
            f"{path} is no file of keys ({error}): move it away, and make one with `intent keys add`"
        ) from None


def add_key(path: Path, name: str, scopes: Sequence[Scope], rate: float, now_ms: int) -> str:
    """Add a key to a file, which is made where it is missing, and return the key: nobody can see it again.

    Raises
    ------
    KeysError
        The name is taken, or no name; or the file cannot be used.
    """
    if not _NAME.fullmatch(name):
        raise KeysError(f"invalid name {name!r}: use up to 64 letters, digits, dots, hyphens and underscores")
    with _changing(path):
        keys = read_keys(path) if path.exists() else []
        if any(key.name == name for key in keys):
            raise KeysError(f"{path} has a key {name!r} already: remove it, or take another name")
        number = next(
            own for own in iter(lambda: secrets.token_hex(4), "") if own not in {k.id for k in keys}
        )
        secret = secrets.token_urlsafe(32)
        _write(path, [*keys, Key(number, name, tuple(scopes), _hash(secret), rate, now_ms)])
    return f"intent_{number}_{secret}"


def remove_key(path: Path, name: str) -> None:
    """Remove a key from a file; who has it is refused within a second.

    Raises
    ------
    KeysError
        There is no such key, or the file cannot be used.
    """
    with _changing(path):
        keys = read_keys(path)
        left = [key for key in keys if key.name != name]
        if len(left) == len(keys):
            raise KeysError(f"{path} has no key {name!r}: see `intent keys list`")
        _write(path, left)


@contextmanager
def _changing(path: Path):  # type: ignore[no-untyped-def]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(path.with_name(path.name + ".lock"))
    except Locked as error:
        raise KeysError(f"{path} is changed by process {error.holder} at this moment: try again") from None
    try:
        yield
    finally:
        lock.release()


def _write(path: Path, keys: Sequence[Key]) -> None:
    with whole_file(path, private=True) as partial:
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(_File(list(keys))), indent=2) + b"\n")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()
