"""Certificates for servers of this machine, signed by an authority of the test's own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_DAY: Final = timedelta(days=1)


class Signed(NamedTuple):
    """Files in PEM: a certificate, its key, and the certificate of who signed it."""

    certificate: Path
    key: Path
    authority: Path


def signed(directory: Path, name: str = "localhost") -> Signed:
    """Make an authority, and a certificate for ``name`` on this machine that it has signed."""
    directory.mkdir(parents=True, exist_ok=True)
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority, subject = _named("authority of a test"), _named(name)
    names = x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ip_address("127.0.0.1"))])
    own = _builder(authority, authority, authority_key).add_extension(x509.BasicConstraints(True, 0), True)
    of_server = _builder(subject, authority, key).add_extension(names, False)
    files = Signed(directory / "server.pem", directory / "server.key", directory / "authority.pem")
    files.authority.write_bytes(own.sign(authority_key, hashes.SHA256()).public_bytes(Encoding.PEM))
    files.certificate.write_bytes(of_server.sign(authority_key, hashes.SHA256()).public_bytes(Encoding.PEM))
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


def _named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
    )
