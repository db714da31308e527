"""The audit chain's arithmetic: how rows are hashed, how checkpoints are signed, what verification finds. No IO.

A row's hash is SHA-256 over everything else in it and the hash before it, so that nothing can be changed, removed or
reordered without all later hashes changing. A checkpoint signs the newest hash with Ed25519 (RFC 8032); a copy of it in a
second place shows when the end of the chain was cut off, or the whole chain was made anew. Retention removes the chain's
beginning up to a checkpoint, which it signs once more to say so.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from sidecar.ports import AuditEntry, AuditRow

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed statement: at this moment the chain of ``tenant`` had ``number`` rows that end in ``hash``."""

    tenant: str
    number: int
    hash: str
    at: float
    key: str
    signature: str


@dataclass(frozen=True, slots=True)
class Fault:
    """Something a verification found. ``number``: the first row concerned."""

    tenant: str
    number: int
    what: str


def row_hash(number: int, entry: AuditEntry, previous: str) -> str:
    """Return the hash of a row."""
    content = [
        entry.tenant, number, entry.at, entry.kind, entry.actor, entry.subject, details_text(entry), previous,
    ]  # fmt: skip
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()


def details_text(entry: AuditEntry) -> str:
    """Return details as they are stored and hashed."""
    return msgspec.json.encode(entry.details, order="sorted").decode()


def signed(tenant: str, number: int, digest: str, at: float, key: Ed25519PrivateKey) -> Checkpoint:
    """Sign the newest row of a chain."""
    signature = key.sign(_statement(tenant, number, digest, at))
    return Checkpoint(tenant, number, digest, at, key_name(key.public_key()), signature.hex())


def signed_beginning(point: Checkpoint, key: Ed25519PrivateKey) -> Checkpoint:
    """Sign that everything up to a checkpoint was removed on purpose, so that the chain may begin after it."""
    return replace(point, signature=key.sign(_beginning(point)).hex(), key=key_name(key.public_key()))


def key_name(key: Ed25519PublicKey) -> str:
    """Return the name of a public key: its first 16 hex digits of SHA-256."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def verify(
    tenant: str,
    rows: Iterable[AuditRow],
    checkpoints: Sequence[Checkpoint],
    key: Ed25519PublicKey,
    witnessed: Sequence[Checkpoint] = (),
) -> list[Fault]:
    """Return what is wrong with a chain. ``rows`` in order of number; ``witnessed``: the second place's checkpoints."""
    beginnings = [point for point in checkpoints if _begins(point, tenant, key)]
    faults = [
        Fault(tenant, point.number, "the signature of a checkpoint does not hold")
        for point in (*checkpoints, *witnessed)
        if not holds(point, tenant, key)
    ]
    broken, end, hashes = _walk(tenant, rows, beginnings, {point.number for point in (*checkpoints, *witnessed)})
    if end == 0 and beginnings:  # everything was pruned: the beginning is the end, too
        end = beginnings[-1].number
        hashes[end] = beginnings[-1].hash
    for point in checkpoints:
        if point.number > end:
            faults.append(Fault(tenant, end + 1, f"rows up to {point.number} were signed and are gone"))
        elif point.number >= min(hashes, default=0) and hashes.get(point.number) != point.hash:
            faults.append(Fault(tenant, point.number, "the row is not the one that was signed"))
    for point in witnessed:
        if point.number > end:
            faults.append(Fault(tenant, end + 1, f"the end is cut off: the second place knows {point.number} rows"))
        elif hashes.get(point.number, point.hash) != point.hash:
            faults.append(Fault(tenant, point.number, "the row is not the one that the second place knows"))
    return broken + faults


def _walk(
    tenant: str, rows: Iterable[AuditRow], beginnings: Sequence[Checkpoint], wanted: set[int]
) -> tuple[list[Fault], int, dict[int, str]]:
    """Follow a chain; return what is wrong in it, the number of its last row, and the hashes of the ``wanted`` rows."""
    faults: list[Fault] = []
    hashes: dict[int, str] = {}
    anchors = {(point.number, point.hash) for point in beginnings}
    number, digest, first = 0, GENESIS, True
    for row in rows:
        if first and (row.number - 1, row.previous) in anchors:
            number, digest = row.number - 1, row.previous  # what came before was pruned up to a checkpoint
            hashes[number] = digest
        first = False
        if row.number != number + 1:
            faults.append(Fault(tenant, number + 1, f"rows {number + 1} to {row.number - 1} are gone"))
        elif row.previous != digest:
            faults.append(Fault(tenant, row.number, "the row does not follow the one before it"))
        if row_hash(row.number, row.entry, row.previous) != row.hash:
            faults.append(Fault(tenant, row.number, "the row was changed"))
        number, digest = row.number, row.hash
        if number in wanted:
            hashes[number] = digest
    return faults, number, hashes


def holds(point: Checkpoint, tenant: str, key: Ed25519PublicKey) -> bool:
    """Tell whether a checkpoint was signed with this key, as what it is or as a beginning."""
    statement = _statement(point.tenant, point.number, point.hash, point.at)
    return point.tenant == tenant and (_is_signed(point, statement, key) or _begins(point, tenant, key))


def _begins(point: Checkpoint, tenant: str, key: Ed25519PublicKey) -> bool:
    return point.tenant == tenant and _is_signed(point, _beginning(point), key)


def _is_signed(point: Checkpoint, statement: bytes, key: Ed25519PublicKey) -> bool:
    try:
        key.verify(bytes.fromhex(point.signature), statement)
    except (InvalidSignature, ValueError):
        return False
    return point.key == key_name(key)


def _statement(tenant: str, number: int, digest: str, at: float) -> bytes:
    return b"gaitkeeper audit checkpoint 1\n" + msgspec.json.encode([tenant, number, digest, at])


def _beginning(point: Checkpoint) -> bytes:
    return b"gaitkeeper audit beginning 1\n" + msgspec.json.encode([point.tenant, point.number, point.hash, point.at])
