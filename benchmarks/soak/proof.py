"""What must hold of an installation's databases after whatever was done to it."""

import asyncio
import json
from dataclasses import dataclass, field

from benchmarks.soak.installation import Installation
from benchmarks.soak.load import Told
from sidecar.main import build, data_driver, key_driver
from sidecar.storage.audit import MAX_LATER
from sidecar.storage.database import Database
from sidecar.storage.sealed import faults as sealed_faults

FLUSH_BOUND = 1.0  # seconds: a quarter between two rounds, and what a round itself may take on a busy machine
SHOWN = 5


@dataclass
class Proof:
    """What was found. ``unrecorded``: decisions without their audit row, which only buffered mode may have."""

    faults: list[str] = field(default_factory=list)
    decisions: int = 0
    samples: int = 0
    audit_rows: int = 0
    unrecorded: set[str] = field(default_factory=set)


@dataclass
class _Rows:
    decisions: dict[str, bool]  # id: whether it is completed
    samples: set[tuple[str, str]]
    waiting: set[str]
    subjects: set[str]


def proven(installation: Installation, told: Told, *, every_seal: bool = False) -> Proof:
    """Hold the databases against what callers were told. ``every_seal``: open every sealed value, too."""
    sidecar = build(installation.settings)
    try:
        database = sidecar.database
        recorded_before = _audited(database)[0]
        rows = _rows(database)
        recorded, taught = _audited(database)
        proof = Proof(decisions=len(rows.decisions), samples=len(rows.samples))
        proof.audit_rows = len(recorded) + len(taught)
        proof.unrecorded = rows.decisions.keys() - recorded
        proof.faults += _damage(installation)
        proof.faults += [
            f"audit {each.tenant}, row {each.number}: {each.what}" for each in asyncio.run(sidecar.audit.verify())
        ]
        proof.faults += _gone(told, rows) + _half(rows, taught)
        proof.faults += _named("an audit row without its decision", recorded_before - rows.decisions.keys())
        proof.faults += _named("a person without a key", rows.subjects - _keys(installation))
        if installation.settings.audit.mode == "strict":
            proof.faults += _named("a decision without its audit row", proof.unrecorded)
        if every_seal:
            proof.faults += [*sidecar.keys.check(), *sealed_faults(sidecar.database, sidecar.keys)]
        return proof
    finally:
        sidecar.close()


def beyond_bound(lost: set[str], told: Told, killed_at: float) -> tuple[list[str], float]:
    """Hold the audit rows that one kill took in buffered mode against the bound; return faults and the oldest's age."""
    oldest = max((killed_at - told.decisions.get(name, killed_at) for name in lost), default=0.0)
    faults = []
    if len(lost) > MAX_LATER:
        faults.append(f"{len(lost)} audit rows lost, more than {MAX_LATER}")
    if oldest > FLUSH_BOUND:
        faults.append(f"an audit row was lost that had waited for {oldest:.2f} s")
    return faults, oldest


def _rows(database: Database) -> _Rows:
    return _Rows(
        decisions={row[0]: row[1] is not None for row in database.read("SELECT id, completion FROM decisions")},
        samples={(row[0], row[1]) for row in database.read("SELECT decision, field FROM samples")},
        waiting={row[0] for row in database.read("SELECT DISTINCT decision FROM waiting_probes")},
        subjects={row[0] for row in database.read("SELECT DISTINCT subject FROM decisions")},
    )


def _audited(database: Database) -> tuple[set[str], dict[str, set[str]]]:
    """Return the decisions that the chains know, and what each completion in them taught."""
    decided: set[str] = set()
    completed: dict[str, set[str]] = {}
    for kind, text in database.read("SELECT kind, details FROM audit WHERE kind IN ('decision', 'decision.completed')"):
        details = json.loads(text)
        if kind == "decision":
            decided.add(details["decision"])
        else:
            completed[details["decision"]] = set(details["taught"])
    return decided, completed


def _damage(installation: Installation) -> list[str]:
    found = []
    for driver in (data_driver(installation.settings), key_driver(installation.settings)):
        connection = driver.reader()
        found += [f"{driver.name}: {text}" for text in driver.faults(connection)]
        connection.close()
        driver.close()
    return found


def _gone(told: Told, rows: _Rows) -> list[str]:
    return [
        *_named("an acknowledged decision is gone", told.decisions.keys() - rows.decisions.keys()),
        *_named("an acknowledged completion is gone", {n for n in told.completions if not rows.decisions.get(n)}),
    ]


def _half(rows: _Rows, taught: dict[str, set[str]]) -> list[str]:
    """Completion, samples and the row that tells of both are there together or not at all."""
    completed = {name for name, done in rows.decisions.items() if done}
    lessons = {(name, field) for name, fields in taught.items() for field in fields}
    return [
        *_named("a completion without its audit row", completed - taught.keys()),
        *_named("an audit row without its completion", taught.keys() - completed),
        *_named("a sample that was learned is gone", {name for name, _ in lessons - rows.samples}),
        *_named("a sample that no completion taught", {name for name, _ in rows.samples - lessons}),
        *_named("probes that wait for nothing", rows.waiting - (rows.decisions.keys() - completed)),
    ]


def _keys(installation: Installation) -> set[str]:
    driver = key_driver(installation.settings)
    connection = driver.reader()
    try:
        return {row[0] for row in connection.execute("SELECT subject FROM user_keys").fetchall()}
    finally:
        connection.close()
        driver.close()


def _named(what: str, names: set[str]) -> list[str]:
    return [f"{what}: {len(names)} ({', '.join(sorted(names)[:SHOWN])})"] if names else []
