"""Detached Ed25519 signatures of policy files: ``mine.yaml`` is signed by ``mine.yaml.sig``.

Where a key is configured, a file without a signature is refused like one with a wrong one: who can write the policy can
also delete the file beside it (GHSA-g2pf-6v5v-qcc8, where stripping the signature was enough).
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from sidecar.errors import ConfigInvalid, PolicyInvalid

# Signed together with the bytes, so that a signature made for anything else with the same key says nothing here.
PURPOSE = b"gaitkeeper policy file, version 1\0"
HEAD = "gaitkeeper-policy-signature 1"
SUFFIX = ".sig"


def sign(raw: bytes, key: Ed25519PrivateKey) -> str:
    """Return the text of the signature file for the bytes of a policy file."""
    signature = base64.b64encode(key.sign(PURPOSE + raw)).decode()
    return f"{HEAD}\nkey {fingerprint(key.public_key())}\n{signature}\n"


def verify(raw: bytes, signature: bytes | None, keys: Sequence[Ed25519PublicKey], name: str) -> str | None:
    """Check a policy file's signature and return the fingerprint of the key that made it.

    Without configured keys nothing is checked and None is returned. With keys, a signature that is missing, of another
    form, by another key or over other bytes raises PolicyInvalid. Several keys are for rotation: any of them will do.
    """
    if not keys:
        return None
    if signature is None:
        raise _refused(name, "not signed, and a key is configured", "sign it: gaitkeeper policy sign")
    lines = signature.decode("ascii", errors="replace").split("\n")
    if len(lines) != 4 or lines[0] != HEAD or not lines[1].startswith("key ") or lines[3]:
        raise _refused(name + SUFFIX, "no signature of a policy", "sign it again: gaitkeeper policy sign")
    try:
        found = base64.b64decode(lines[2], validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if base64.b64encode(found).decode() != lines[2] or not found:  # one signature, one spelling
        raise _refused(name + SUFFIX, "the signature is not base64", "sign it again: gaitkeeper policy sign")
    named = lines[1].removeprefix("key ")
    known = {fingerprint(key): key for key in keys}
    if named not in known:
        raise _refused(
            name + SUFFIX, f"signed by the key {named}, which is not configured", f"configured: {', '.join(known)}"
        )
    try:
        known[named].verify(found, PURPOSE + raw)
    except InvalidSignature:
        raise _refused(name, "the signature is of other bytes", "the file was changed after it was signed") from None
    return named


def fingerprint(key: Ed25519PublicKey) -> str:
    """Return the SHA-256 of a public key's raw bytes, its first 16 hexadecimal digits."""
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:16]


def new_key() -> tuple[bytes, bytes]:
    """Return a new private key (PKCS 8) and its public key, both PEM."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, public_pem(key)


def public_pem(key: Ed25519PrivateKey) -> bytes:
    """Return the public key that belongs to a private one, as PEM."""
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def read_private(pem: bytes, name: str) -> Ed25519PrivateKey:
    """Read a private key. Raises ConfigInvalid on anything but an unencrypted Ed25519 key in PEM."""
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigInvalid(f"{name} is no Ed25519 private key in PEM")
    return key


def read_public(pem: bytes, name: str) -> Ed25519PublicKey:
    """Read a public key. Raises ConfigInvalid on anything but an Ed25519 key in PEM."""
    try:
        key = serialization.load_pem_public_key(pem)
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigInvalid(f"{name} is no Ed25519 public key in PEM")
    return key


def _refused(name: str, message: str, hint: str) -> PolicyInvalid:
    return PolicyInvalid(f"{name}:1:1: {message}; hint: {hint}")
