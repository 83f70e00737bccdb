"""Signed bundles: what was changed, added or left out is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from features.bundle import Bundle
from features.exceptions import BundleError
from features.signing import SIGNATURE, sign, verify
from features.whole_files import whole_file
from tests.bundles import save_bundle


def keys(folder: Path, name: str = "key") -> tuple[Path, Path]:
    """Write a new pair of keys; return the paths of the private and of the public one."""
    private, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    key = Ed25519PrivateKey.generate()
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


@pytest.fixture
def signed(tmp_path: Path) -> tuple[Path, Path]:
    """Return a signed bundle with a card, and the public key."""
    folder = save_bundle(tmp_path / "bundle")
    (folder / "card.html").write_text("a card")
    private, public = keys(tmp_path)
    sign(folder, private)
    return folder, public


def test_a_bundle_is_loaded_as_it_was_signed(signed: tuple[Path, Path]) -> None:
    folder, public = signed
    assert Bundle.load(folder, key=public).manifest.version == "random-6"
    assert "card.html" in verify(folder, public).files


def test_what_a_killed_writer_left_is_not_signed(signed: tuple[Path, Path]) -> None:
    folder, public = signed
    private = public.with_name("key.pem")
    before = set(verify(folder, public).files)
    with whole_file(folder / "card.html") as partial:
        partial.write_text("half of a ca")
        assert set(sign(folder, private).files) == before


def changed(folder: Path) -> None:
    path = folder / "calibration.json"
    path.write_bytes(path.read_bytes() + b"\n")


def added(folder: Path) -> None:
    (folder / "reference.json").write_text('{"columns": {}}')


def removed(folder: Path) -> None:
    (folder / "reasons.onnx").unlink()


def card_changed(folder: Path) -> None:
    (folder / "card.html").write_text("another card")


def unsigned(folder: Path) -> None:
    (folder / SIGNATURE).unlink()


def damaged(folder: Path) -> None:
    (folder / SIGNATURE).write_text("{}")


def signed_by_another(folder: Path) -> None:
    private, _ = keys(folder.parent, "other")
    sign(folder, private)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (changed, "calibration.json has changed since"),
        (added, "reference.json was not there when"),
        (removed, "reasons.onnx is missing"),
        (card_changed, "card.html has changed since"),
        (unsigned, "is not signed: run"),
        (damaged, "is damaged"),
        (signed_by_another, "was not signed with the key"),
    ],
)
def test_what_differs_from_what_was_signed_is_refused(
    signed: tuple[Path, Path], harm: Callable[[Path], None], said: str
) -> None:
    folder, public = signed
    harm(folder)
    with pytest.raises(BundleError, match=said):
        Bundle.load(folder, key=public)
    if harm is not removed:
        assert Bundle.load(folder).manifest.version, "without a key nobody asks"


def test_a_signed_list_cannot_name_files_elsewhere(signed: tuple[Path, Path], tmp_path: Path) -> None:
    folder, _ = signed
    (tmp_path / "outside.txt").write_text("x")
    (folder / "link.txt").symlink_to(tmp_path / "outside.txt")
    private, public = keys(tmp_path, "new")
    sign(folder, private)
    with pytest.raises(BundleError, match="link.txt is missing"):
        verify(folder, public)


def test_keys_that_cannot_be_used_are_refused_in_words(signed: tuple[Path, Path], tmp_path: Path) -> None:
    folder, public = signed
    other = tmp_path / "ec.pem"
    key = generate_private_key(SECP256R1())
    other.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(BundleError, match="another kind than Ed25519"):
        sign(folder, other)
    with pytest.raises(BundleError, match="is no private key"):
        sign(folder, public)
    with pytest.raises(BundleError, match="is no public key"):
        verify(folder, other)
    with pytest.raises(BundleError, match="cannot be read"):
        verify(folder, tmp_path / "missing.pem")
