"""``gaitkeeper audit verify | key | show``."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sidecar.administration.opened import run
from sidecar.config import Settings
from sidecar.errors import ConfigInvalid
from sidecar.main import Sidecar
from sidecar.storage.chain import Fault
from sidecar.storage.witness import parse


def verify(settings: Settings, witness: Path | None, key: str | None) -> tuple[list[Fault], dict[str, int]]:
    """Verify every chain; return what is wrong and how long each chain is. Raises BadRequest, ConfigInvalid.

    ``witness``: the second place's text, to see what was cut off. ``key``: the public key from elsewhere, in hex, for when
    the key store itself is in doubt.
    """
    witnessed = parse(_read(witness)) if witness else []
    public = _public(key) if key else None

    async def job(sidecar: Sidecar) -> tuple[list[Fault], dict[str, int]]:
        kept_since = sidecar.assessor.clock() - settings.retention.audit_days * 86_400
        return await sidecar.audit.verify(witnessed, public, kept_since), await sidecar.audit.lengths()

    return run(settings, job)


def public_key(settings: Settings) -> str:
    """Return the public key that signs checkpoints, in hex."""

    async def job(sidecar: Sidecar) -> str:
        await asyncio.sleep(0)
        return sidecar.audit.public_key.public_bytes_raw().hex()

    return run(settings, job)


def newest(settings: Settings, tenant: str, count: int) -> list[dict[str, Any]]:
    """Return the newest rows of a chain, newest first."""

    async def job(sidecar: Sidecar) -> list[dict[str, Any]]:
        return [msgspec.to_builtins(row) for row in await sidecar.audit.newest(tenant, count)]

    return run(settings, job)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"{path} cannot be read ({type(error).__name__})") from None


def _public(text: str) -> Ed25519PublicKey:
    try:
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(text))
    except ValueError:
        raise ConfigInvalid("--key takes 64 hex digits, as gaitkeeper audit key prints them") from None
