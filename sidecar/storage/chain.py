"""The audit chain's arithmetic: how rows are hashed, how checkpoints are signed, what verification finds. No IO.

A row's hash is SHA-256 over everything else in it and the hash before it, so that nothing can be changed, removed or
reordered without all later hashes changing. A checkpoint signs the newest hash with Ed25519 (RFC 8032); a copy of it in a
second place shows when the end of the chain was cut off, or the whole chain was made anew. Retention removes the chain's
beginning up to a checkpoint, which it signs once more to say so.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
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
    head: Callable[[], Checkpoint | None] | None = None,
) -> list[Fault]:
    """Return what is wrong with a chain. ``rows`` in order of number; ``witnessed``: the second place's checkpoints.

    ``head``: the signed newest row, asked for when ``rows`` has ended.
    """
    beginnings = [point for point in checkpoints if _begins(point, tenant, key)]
    faults = [
        Fault(tenant, point.number, "the signature of a checkpoint does not hold")
        for point in (*checkpoints, *witnessed)
        if not holds(point, tenant, key)
    ]
    walked = _walk(tenant, rows, beginnings, {point.number for point in (*checkpoints, *witnessed)})
    broken, start, end, hashes = walked.faults, walked.start, walked.end, walked.hashes
    if end == 0 and beginnings:  # everything was pruned: the beginning is the end, too
        start = end = beginnings[-1].number
        hashes[end] = walked.digest = beginnings[-1].hash
    if head is not None:
        faults += _ends(tenant, end, walked.digest, head(), key)
    for point in checkpoints:
        if point.number > end:
            faults.append(Fault(tenant, end + 1, f"rows up to {point.number} were signed and are gone"))
        elif point.number >= min(hashes, default=0) and hashes.get(point.number) != point.hash:
            faults.append(Fault(tenant, point.number, "the row is not the one that was signed"))
    numbers = {point.number for point in checkpoints}
    for point in witnessed:
        if point.number > end:
            faults.append(Fault(tenant, end + 1, f"the end is cut off: the second place knows {point.number} rows"))
        elif hashes.get(point.number, point.hash) != point.hash:
            faults.append(Fault(tenant, point.number, "the row is not the one that the second place knows"))
        elif point.number >= start and point.number not in numbers:
            faults.append(Fault(tenant, point.number, "a checkpoint that the second place knows is gone"))
    return broken + faults


@dataclass(slots=True)
class _Walked:
    """A chain as it was followed. ``start``: the number before its first row, 0 unless rows were pruned; ``digest``: the hash of
    its last row; ``hashes``: of the rows that were wanted.
    """

    faults: list[Fault]
    hashes: dict[int, str]
    start: int = 0
    end: int = 0
    digest: str = GENESIS


def _walk(tenant: str, rows: Iterable[AuditRow], beginnings: Sequence[Checkpoint], wanted: set[int]) -> _Walked:
    """Follow a chain."""
    found = _Walked([], {})
    anchors = {(point.number, point.hash) for point in beginnings}
    first = True
    for row in rows:
        if first and (row.number - 1, row.previous) in anchors:
            # What came before was pruned up to a checkpoint.
            found.start = found.end = row.number - 1
            found.hashes[found.end] = found.digest = row.previous
        first = False
        if row.number != found.end + 1:
            found.faults.append(Fault(tenant, found.end + 1, f"rows {found.end + 1} to {row.number - 1} are gone"))
        elif row.previous != found.digest:
            found.faults.append(Fault(tenant, row.number, "the row does not follow the one before it"))
        if row_hash(row.number, row.entry, row.previous) != row.hash:
            found.faults.append(Fault(tenant, row.number, "the row was changed"))
        found.end, found.digest = row.number, row.hash
        if found.end in wanted:
            found.hashes[found.end] = found.digest
    return found


def _ends(tenant: str, end: int, digest: str, head: Checkpoint | None, key: Ed25519PublicKey) -> list[Fault]:
    """Return what is wrong with the end of a chain: every sidecar signs it with what it appends."""
    if head is None:
        return [Fault(tenant, end, "the newest row is not signed")] if end else []
    if not holds(head, tenant, key):
        return [Fault(tenant, head.number, "the signature of the newest row does not hold")]
    if head.number > end:
        return [Fault(tenant, end + 1, f"the end is cut off: rows up to {head.number} were signed")]
    if head.number < end:
        return [Fault(tenant, head.number + 1, f"rows {head.number + 1} to {end} were written by no sidecar")]
    return [] if head.hash == digest else [Fault(tenant, end, "the newest row is not the one that was signed")]


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
