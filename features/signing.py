"""Signed bundles: a list of the hashes of all files, signed by Ed25519 [RFC 8032].

::

    signature.json     `Signature`: the SHA-256 of every other file, and the signature of that list

The slots of a shelf are signed likewise, and hold their signature themselves (`features.shelf`). Keys are PEM files, as
``openssl genpkey -algorithm ed25519`` makes them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from features.decoding import Undecodable, decoded
from features.exceptions import BundleError
from features.whole_files import is_partial, whole_file

SIGNATURE: Final = "signature.json"

# In front of what is signed: a signature of something else is none of a bundle, or of slots.
_BUNDLE: Final = b"purchase-intent bundle 1\n"
_SLOTS: Final = b"purchase-intent slots 1\n"
_NEW_KEY: Final = "openssl genpkey -algorithm ed25519 -out private.pem"
_ITS_PUBLIC_KEY: Final = "openssl pkey -in private.pem -pubout -out public.pem"


class Signature(msgspec.Struct, frozen=True):
    """Hashes (SHA-256, hexadecimal) by the file's path in the bundle, and their signature (base64)."""

    files: dict[str, str]
    signature: str


_decode = msgspec.json.Decoder(Signature).decode


def bundle_files(folder: Path) -> list[Path]:
    """Return the files of a bundle, with its signature; what a killed writer left there is not one of them."""
    return [path for path in folder.rglob("*") if path.is_file() and not is_partial(path.name)]


def sign(folder: Path, key: Path) -> Signature:
    """Sign all files of a bundle, and write the signature beside them.

    Raises
    ------
    BundleError
        The private key cannot be used.
    """
    private = _private_key(key)
    paths = sorted(path for path in bundle_files(folder) if path != folder / SIGNATURE)
    files = {path.relative_to(folder).as_posix(): _hash(path.read_bytes()) for path in paths}
    signed = Signature(files, _signature(private, _message(files)))
    with whole_file(folder / SIGNATURE) as partial:
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(signed), indent=2) + b"\n")
    return signed


def verify(folder: Path, key: Path, read: Mapping[str, bytes] | None = None) -> Signature:
    """Return the signature of a bundle whose files are those that were signed.

    Parameters
    ----------
    key
        The public key.
    read
        Files that were read already, by name: they are compared instead of those in the folder, and each of them must
        be signed.

    Raises
    ------
    BundleError
        It has no signature, or another key's, or a file differs; the message says which.
    """
    public = _public_key(key)
    path = folder / SIGNATURE
    try:
        found = decoded(_decode, path.read_bytes())
        good = _is_good(public, found.signature, _message(found.files))
    except OSError:
        raise BundleError(
            f"the bundle in {folder} is not signed: run `intent bundle sign {folder} --key KEY`"
        ) from None
    except (Undecodable, binascii.Error) as error:
        raise BundleError(f"{path} is damaged: {error}; sign the bundle again") from None
    if not good:
        raise BundleError(f"the bundle in {folder} was not signed with the key of {key}: do not use it")
    read = read or {}
    for name in sorted(found.files.keys() | read.keys()):
        _compare(folder, name, found.files.get(name), read.get(name))
    return found


def sign_slots(content: bytes, key: Path) -> str:
    """Return the signature of what the slots of a shelf say.

    Raises
    ------
    BundleError
        The private key cannot be used.
    """
    return _signature(_private_key(key), _SLOTS + content)


def verify_slots(content: bytes, signature: str, key: Path) -> bool:
    """Return whether a public key's owner has signed what the slots of a shelf say.

    Raises
    ------
    BundleError
        The key cannot be used.
    """
    try:
        return _is_good(_public_key(key), signature, _SLOTS + content)
    except binascii.Error:
        return False


def _signature(private: Ed25519PrivateKey, message: bytes) -> str:
    return base64.b64encode(private.sign(message)).decode()


def _is_good(public: Ed25519PublicKey, signature: str, message: bytes) -> bool:
    """Return whether a signature is the key's; raise `binascii.Error` where it is no base64."""
    try:
        public.verify(base64.b64decode(signature, validate=True), message)
    except InvalidSignature:
        return False
    return True


def _compare(folder: Path, name: str, signed: str | None, content: bytes | None) -> None:
    """Refuse a file that is not the one that was signed."""
    if signed is None:
        raise BundleError(f"{folder / name} was not there when the bundle was signed: do not use it")
    path = folder / name
    if content is None:
        if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
            raise BundleError(f"{path} is missing, but was signed: copy the bundle again")
        content = path.read_bytes()
    if _hash(content) != signed:
        raise BundleError(f"{path} has changed since the bundle was signed: do not use it")


def _message(files: Mapping[str, str]) -> bytes:
    return _BUNDLE + msgspec.json.encode(files, order="deterministic")


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _private_key(path: Path) -> Ed25519PrivateKey:
    try:
        found = load_pem_private_key(_bytes(path), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BundleError(
            f"{path} is no private key (PEM, without a password): make one with `{_NEW_KEY}`"
        ) from None
    if not isinstance(found, Ed25519PrivateKey):
        raise BundleError(f"{path} is a key of another kind than Ed25519: make one with `{_NEW_KEY}`")
    return found


def _public_key(path: Path) -> Ed25519PublicKey:
    try:
        found = load_pem_public_key(_bytes(path))
    except (ValueError, UnsupportedAlgorithm):
        raise BundleError(f"{path} is no public key (PEM): get it with `{_ITS_PUBLIC_KEY}`") from None
    if not isinstance(found, Ed25519PublicKey):
        raise BundleError(f"{path} is a key of another kind than Ed25519: get it with `{_ITS_PUBLIC_KEY}`")
    return found


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"the key {path} cannot be read: {error.strerror}") from None
