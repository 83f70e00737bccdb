"""The context of TLS: whom a client trusts, and the certificate that it shows."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

from stream.exceptions import SettingsError

_ENCRYPTED: Final = b"ENCRYPTED"


def tls_context(
    cafile: Path | None = None,
    certfile: Path | None = None,
    keyfile: Path | None = None,
    key_password: str | None = None,
) -> ssl.SSLContext:
    """Return a context that checks the server's certificate and its name.

    Parameters
    ----------
    cafile
        Certificates that are trusted. Default: those of the system.
    certfile, keyfile
        The client's certificate and its key, which may stand in the same file. Default: none is shown.
    key_password
        Opens the key, if that is encrypted.

    Raises
    ------
    SettingsError
        A file cannot be read or used; the message names its setting.
    """
    try:
        context = ssl.create_default_context(cafile=None if cafile is None else str(cafile))
    except OSError as error:
        raise SettingsError(
            f"INTENT_SSL_CAFILE {cafile} cannot be read ({error.strerror or error}): name a PEM file of certificates"
        ) from None
    if certfile is not None:
        key = _key(certfile, keyfile)
        encrypted = _ENCRYPTED in key
        if encrypted and not key_password:
            raise SettingsError(f"the key in {keyfile or certfile} is encrypted: set INTENT_SSL_KEY_PASSWORD")
        try:
            # Without a password given, OpenSSL would ask for one at the terminal.
            context.load_cert_chain(certfile, keyfile, key_password or "")
        except (OSError, ValueError) as error:
            raise _unusable(certfile, keyfile, error, encrypted=encrypted) from None
    return context


def _key(certfile: Path, keyfile: Path | None) -> bytes:
    """Return what the key's file holds, once both files could be read."""
    held = b""
    for name, path in (("INTENT_SSL_CERTFILE", certfile), ("INTENT_SSL_KEYFILE", keyfile)):
        if path is not None:
            try:
                held = path.read_bytes()
            except OSError as error:
                raise SettingsError(
                    f"{name} {path} cannot be read ({error.strerror}): name a PEM file"
                ) from None
    return held


def _unusable(certfile: Path, keyfile: Path | None, error: Exception, *, encrypted: bool) -> SettingsError:
    reason = str(getattr(error, "reason", None) or error)
    if "MISMATCH" in reason:
        return SettingsError(
            f"the key in {keyfile or certfile} is not that of the certificate in {certfile}: set INTENT_SSL_KEYFILE to "
            "the key that belongs to INTENT_SSL_CERTFILE"
        )
    if encrypted:
        return SettingsError(
            f"the key in {keyfile or certfile} does not open ({reason}): check INTENT_SSL_KEY_PASSWORD"
        )
    if keyfile is None:
        return SettingsError(
            f"INTENT_SSL_CERTFILE {certfile} holds no certificate with its key ({reason}): set INTENT_SSL_KEYFILE"
        )
    return SettingsError(
        f"INTENT_SSL_CERTFILE {certfile} and INTENT_SSL_KEYFILE {keyfile} cannot be used ({reason}): name PEM files"
    )
