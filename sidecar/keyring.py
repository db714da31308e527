"""The sidecar's own secrets: one master key in a file, one derived key per purpose, one signing key.

A key for one purpose can never stand in for another: each is HKDF-SHA256 (RFC 5869) of the master with its own label.
"""

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sidecar.errors import ConfigInvalid, StorageFailed, TokenInvalid
from sidecar.tokens import SigningKey, load_signing_key, new_signing_key

_BUCKETS = (1024, 8192, 65536)
_TABLE_BUCKETS = {
    "templates": (8192, 65536),  # 30 samples of 16 characters need the first
    "decisions": (2048, 8192, 65536),  # most bodies, compressed
}


def derive(secret: bytes, label: str) -> bytes:
    """Derive a 32-byte key for one purpose."""
    return HKDF(SHA256(), 32, None, label.encode()).derive(secret)


class Seal:
    """AES-256-GCM over padded plaintexts, bound to where they belong.

    ``place`` names table, column and row, so a sealed value moved elsewhere does not open; sizes are padded to a few
    buckets, so that a size does not tell a password's length.
    """

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def close(self, plain: bytes, *place: str) -> bytes:
        """Seal ``plain`` for ``place``."""
        framed = len(plain).to_bytes(4) + plain
        buckets = _TABLE_BUCKETS.get(place[0], _BUCKETS) if place else _BUCKETS
        size = next((bucket for bucket in buckets if bucket >= len(framed)), len(framed))
        nonce = os.urandom(12)
        return nonce + self._cipher.encrypt(nonce, framed.ljust(size, b"\0"), "|".join(place).encode())

    def open(self, sealed: bytes, *place: str) -> bytes:
        """Open what was sealed for ``place``. Raises StorageFailed for anything else."""
        try:
            framed = self._cipher.decrypt(sealed[:12], sealed[12:], "|".join(place).encode())
        except (InvalidTag, ValueError):
            raise StorageFailed("a sealed value does not open: wrong key, moved or changed") from None
        return framed[4 : 4 + int.from_bytes(framed[:4])]


@dataclass(frozen=True, slots=True)
class Keyring:
    """Everything derived from the master key, plus the ES256 key that signs our calls to identity providers."""

    captures: bytes
    records: Seal
    pseudonyms: bytes
    digests: bytes
    cookies: str
    signing: SigningKey

    def pseudonym(self, tenant: str, subject: str) -> str:
        """Return the keyed hash that stands for a user everywhere but in the sealed directory (PRV6)."""
        return _keyed(self.pseudonyms, tenant, subject)[:32]

    def digest(self, tenant: str, subject: str, probe: bytes) -> str:
        """Return the keyed digest by which the very same timings are recognised a second time."""
        return _keyed(self.digests, tenant, subject, probe.hex())


def batch_seal(token: str) -> Seal:
    """Return the seal of one capture's waiting batches; only the holder of the token can open them."""
    return Seal(derive(token.encode(), "waiting batches"))


def load_keyring(directory: Path) -> Keyring:
    """Load the keys of a data directory, making them on first use. Raises ConfigInvalid."""
    directory.mkdir(parents=True, exist_ok=True)
    master = _read_or_make(directory / "master.key", secrets.token_hex(32))
    signing = _read_or_make(directory / "signing.pem", new_signing_key().pem)
    try:
        root = bytes.fromhex(master.strip())
    except ValueError:
        root = b""
    if len(root) != 32:
        raise ConfigInvalid(f"{directory / 'master.key'} must hold 32 bytes in hex")
    try:
        key = load_signing_key(signing)
    except TokenInvalid as error:
        raise ConfigInvalid(f"{directory / 'signing.pem'}: {error.message}") from None
    return Keyring(
        captures=derive(root, "capture tokens"),
        records=Seal(derive(root, "records")),
        pseudonyms=derive(root, "pseudonyms"),
        digests=derive(root, "probe digests"),
        cookies=derive(root, "console cookies").hex(),
        signing=key,
    )


def _read_or_make(path: Path, fresh: str) -> str:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
            new.write(fresh)
    except FileExistsError:
        pass
    return path.read_text()


def _keyed(key: bytes, *parts: str) -> str:
    message = b"".join(len(part.encode()).to_bytes(4) + part.encode() for part in parts)
    return hmac.new(key, message, hashlib.sha256).hexdigest()
