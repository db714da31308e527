"""Seals, and what is derived from the installation's root secret: one key per purpose.

A key for one purpose can never stand in for another: each is HKDF-SHA256 (RFC 5869) of the root with its own label. People's
data is not sealed under any of these but under a key of each person (``ports.Keys``).
"""

import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sidecar.errors import KeyUnknown, NotFound, SealBroken
from sidecar.tokens import SigningKey

VERSION = b"\x01"
KEY_ID_BYTES = 8
_NONCE_BYTES = 12
_HEADER = len(VERSION) + KEY_ID_BYTES

_BUCKETS = (1024, 8192, 65536)
_TABLE_BUCKETS = {
    "templates": (8192, 65536),  # 30 samples of 16 characters need the first
    "decisions": (2048, 8192, 65536),  # most bodies, compressed
    "entries": (4096, 20_480, 49_152, 98_304),  # a hundred of 16 characters need the second
    "waiting_batches": (1024, 4096, 17408),
    "user_keys": (64,),  # all of one size by nature
    "marks": (64,),
    "subjects": (16,),  # empty: only what it vouches for counts
}


def derive(secret: bytes, label: str) -> bytes:
    """Derive a 32-byte key for one purpose."""
    return HKDF(SHA256(), 32, None, label.encode()).derive(secret)


class Seal:
    """AES-256-GCM over padded plaintexts, bound to where they belong.

    Layout: version, key id, nonce, ciphertext. ``place`` names table, column and row and is, with version and key id, the
    associated data: a sealed value moved elsewhere does not open. Columns of the row that stand in clear are part of its place
    (``vouched``), so that they cannot be changed either. Sizes are padded to a few buckets, so that a size does not tell a
    password's length.
    """

    def __init__(self, key: bytes, key_id: bytes = bytes(KEY_ID_BYTES)) -> None:
        self._cipher = AESGCM(key)
        self._header = VERSION + key_id

    def close(self, plain: bytes, *place: str) -> bytes:
        """Seal ``plain`` for ``place``."""
        framed = len(plain).to_bytes(4) + plain
        buckets = _TABLE_BUCKETS.get(place[0], _BUCKETS) if place else _BUCKETS
        size = next((bucket for bucket in buckets if bucket >= len(framed)), len(framed))
        nonce = os.urandom(_NONCE_BYTES)
        padded = framed.ljust(size, b"\0")
        return self._header + nonce + self._cipher.encrypt(nonce, padded, self._header + _framed(place))

    def open(self, sealed: bytes, *place: str) -> bytes:
        """Open what was sealed for ``place``. Raises KeyUnknown (another key's), SealBroken (changed or moved)."""
        if sealed[: len(VERSION)] == VERSION and len(sealed) > _HEADER and sealed[:_HEADER] != self._header:
            raise KeyUnknown("sealed under a key that is no longer this person's")
        nonce, body = sealed[_HEADER : _HEADER + _NONCE_BYTES], sealed[_HEADER + _NONCE_BYTES :]
        try:
            framed = self._cipher.decrypt(nonce, body, sealed[:_HEADER] + _framed(place))
        except (InvalidTag, ValueError):
            raise SealBroken("a sealed value does not open: wrong key, moved or changed") from None
        return framed[4 : 4 + int.from_bytes(framed[:4])]


@dataclass(frozen=True, slots=True)
class Keyring:
    """Everything derived from the root secrets, plus the ES256 key that signs our calls to identity providers."""

    captures: bytes
    devices: bytes
    cookies: str
    signing: SigningKey
    tenants: Mapping[str, "TenantKeys"]

    def pseudonym(self, tenant: str, subject: str) -> str:
        """Return the keyed hash that stands for a user everywhere but in the sealed directory (PRV6). Raises NotFound."""
        return _keyed(self._of(tenant).pseudonyms, tenant, subject)[:32]

    def digest(self, tenant: str, subject: str, probe: bytes) -> str:
        """Return the keyed digest by which the very same timings are recognised a second time. Raises NotFound."""
        return _keyed(self._of(tenant).digests, tenant, subject, probe.hex())

    def _of(self, tenant: str) -> "TenantKeys":
        if tenant not in self.tenants:
            raise NotFound("no such tenant")
        return self.tenants[tenant]


@dataclass(frozen=True, slots=True)
class TenantKeys:
    """What is derived from a tenant's own root secret."""

    pseudonyms: bytes
    digests: bytes


def keyring(root: bytes, roots: Mapping[str, bytes], signing: SigningKey) -> Keyring:
    """Derive an installation's keys from its root secret and those of its tenants (32 bytes each)."""
    return Keyring(
        captures=derive(root, "capture tokens"),
        devices=derive(root, "device cookies"),
        cookies=derive(root, "console cookies").hex(),
        signing=signing,
        tenants={
            tenant: TenantKeys(pseudonyms=derive(secret, "pseudonyms"), digests=derive(secret, "probe digests"))
            for tenant, secret in roots.items()
        },
    )


def vouched(*columns: str | float | None) -> str:
    """Return columns that stand in clear as one part of a place, so that the sealed value beside them vouches for them.

    Numbers are written alike, whether a database returns them whole or not.
    """
    return json.dumps([float(value) if isinstance(value, int | float) else value for value in columns])


def key_id(sealed: bytes) -> bytes:
    """Return the id of the key that a sealed value names."""
    return sealed[len(VERSION) : _HEADER]


def batch_seal(token: str) -> Seal:
    """Return the seal of one capture's waiting batches; only the holder of the token can open them."""
    return Seal(derive(token.encode(), "waiting batches"))


def _framed(parts: tuple[str, ...]) -> bytes:
    return b"".join(len(part.encode()).to_bytes(4) + part.encode() for part in parts)


def _keyed(key: bytes, *parts: str) -> str:
    return hmac.new(key, _framed(parts), hashlib.sha256).hexdigest()
