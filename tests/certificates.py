"""An authority of certificates for a test, and what it signs, as PEM files."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_BEGIN, _END = datetime(2020, 1, 1, tzinfo=UTC), datetime.now(UTC) + timedelta(days=1)


class Authority:
    """Signs certificates for 127.0.0.1.

    Attributes
    ----------
    path
        Its own certificate.
    """

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self.path = folder / f"{name}.pem"
        self._folder = folder
        self._name = _name(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        own = (
            _builder(self._name, self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.path.write_bytes(own.public_bytes(serialization.Encoding.PEM))

    def signed(self, name: str, password: str | None = None, host: str = "127.0.0.1") -> tuple[Path, Path]:
        """Return the files of a certificate and of its key; ``name.both.pem`` has both."""
        key = ec.generate_private_key(ec.SECP256R1())
        address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
        certificate = (
            _builder(_name(name), self._name, key)
            .add_extension(address, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        cipher = (
            serialization.NoEncryption()
            if password is None
            else serialization.BestAvailableEncryption(password.encode())
        )
        shown = certificate.public_bytes(serialization.Encoding.PEM)
        hidden = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, cipher)
        paths = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        paths[0].write_bytes(shown)
        paths[1].write_bytes(hidden)
        (self._folder / f"{name}.both.pem").write_bytes(hidden + shown)
        return paths


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_BEGIN)
        .not_valid_after(_END)
    )
