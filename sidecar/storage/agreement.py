"""Whether rows agree with each other and with what the audit chains tell of them.

A sealed value vouches for itself, but an older one of the same row opens as well, and a row that is gone says nothing. The
chain tells where a person stood last, which decisions there are and how they ended, what taught last and what was taken back;
and a template is what its samples make of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from sidecar.config import RetentionSettings
from sidecar.domain.consent import ConsentState
from sidecar.errors import StorageFailed
from sidecar.ports import AuditEntry, Keys, ProfileKey
from sidecar.storage import checkpoints, evidence
from sidecar.storage.arrays import pack_template
from sidecar.storage.audit import PAGE, SqlAudit
from sidecar.storage.database import Connection, Database
from sidecar.storage.evidence import Derived, Models, Row, parts
from sidecar.storage.subjects import standing

LAST_TAUGHT = 20  # logins of which each field's samples must be there; the log holds many more

_DAY = 86_400.0
_ERASING = (ConsentState.WITHDRAWN, ConsentState.REFUSED)

Ending = tuple[str, bool] | None


@dataclass(slots=True)
class _Told:
    """What a chain tells, by pseudonym. ``end``: the number of its last row that was read."""

    stands: dict[str, Mapping[str, Any] | None] = field(default_factory=dict)
    decisions: dict[str, dict[str, Ending]] = field(default_factory=dict)
    taught: dict[str, dict[str, list[tuple[str, float]]]] = field(default_factory=dict)
    unlearned: list[tuple[str, float, float]] = field(default_factory=list)
    end: int = 0

    def take(self, entry: AuditEntry, since: float) -> None:
        """Take in one entry. Decisions from before ``since`` may be gone already."""
        subject, details = entry.subject, entry.details
        if entry.kind == "subject.stands":
            self.stands[subject] = details
            if details["state"] in _ERASING:
                self.taught.pop(subject, None)
        elif entry.kind == "subject.forgotten":
            self.stands[subject] = None
            self.decisions.pop(subject, None)
            self.taught.pop(subject, None)
        elif entry.kind == "decision" and entry.at >= since:
            self.decisions.setdefault(subject, {})[details["decision"]] = None
        elif entry.kind in ("decision.completed", "profile.begun"):
            known = self.decisions.get(subject, {})
            if details["decision"] in known:
                known[details["decision"]] = (details["outcome"], details["second_factor"])
            for name in details["taught"]:
                last = self.taught.setdefault(subject, {}).setdefault(name, [])
                last.append((details["decision"], entry.at))
                del last[:-LAST_TAUGHT]
        elif entry.kind == "profile.reset":
            self.taught.get(subject, {}).pop(details["field"], None)
        elif entry.kind == "profile.unlearned":
            self.unlearned.append((subject, details["since"], entry.at))
            for last in self.taught.get(subject, {}).values():
                last[:] = [(decision, at) for decision, at in last if at < details["since"]]


def faults(
    database: Database, keys: Keys, audit: SqlAudit, models: Models, rules: RetentionSettings, now: float
) -> list[str]:
    """Return a line for each row that does not agree. What changed while this ran is left to the next time."""
    found = []
    for (tenant,) in database.read("SELECT DISTINCT tenant FROM audit ORDER BY tenant"):
        told = _Told()
        since = now - (rules.decisions_days - 1) * _DAY
        while page := audit.page(tenant, told.end, PAGE):
            for row in page:
                if "unreadable" not in row.entry.details:
                    told.take(row.entry, since)
            told.end = page[-1].number
        wrong = [
            *_consents(database, tenant, told),
            *_decisions(database, tenant, told, since),
            *_samples(database, tenant, told, now - (rules.samples_days - 1) * _DAY),
        ]
        newer = "SELECT DISTINCT subject FROM audit WHERE tenant = ? AND number > ?"
        busy = {subject for (subject,) in database.read(newer, (tenant, told.end))} if wrong else set()
        found += [text for subject, text in wrong if subject not in busy]
    return found + _templates(database, keys, models)


def _consents(database: Database, tenant: str, told: _Told) -> list[tuple[str, str]]:
    sql = "SELECT subject, consent, version, consent_at, confirmed, recording, paused_at FROM subjects WHERE tenant = ?"
    rows = {subject: standing(said) for subject, *said in database.read(sql, (tenant,))}
    return [
        (subject, f"subjects {subject}: stands otherwise than the audit chain says")
        for subject, stands in told.stands.items()
        if rows.get(subject) != stands
    ]


def _decisions(database: Database, tenant: str, told: _Told, since: float) -> list[tuple[str, str]]:
    sql = "SELECT id, completion FROM decisions WHERE tenant = ? AND at >= ?"
    rows = dict(database.read(sql, (tenant, since)))
    found = []
    for subject, known in told.decisions.items():
        for name, ending in known.items():
            if name not in rows:
                found.append((subject, f"decisions {name}: is gone, and the audit chain knows it"))
            elif _ending(rows[name]) != ending:
                found.append((subject, f"decisions {name}: ended otherwise than the audit chain says"))
    return found


def _ending(completion: str | None) -> Ending:
    if completion is None:
        return None
    try:
        found = msgspec.json.decode(completion)
        return (found["outcome"], found["second_factor"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return ("unreadable", False)


def _samples(database: Database, tenant: str, told: _Told, since: float) -> list[tuple[str, str]]:
    found = []
    kept = "SELECT 1 FROM samples WHERE tenant = ? AND subject = ? AND field = ? AND decision = ?"
    for subject, fields in told.taught.items():
        for name, (decision, at) in ((name, one) for name, last in fields.items() for one in last):
            if at >= since and not database.read(kept, (tenant, subject, name, decision)):
                found.append((subject, f"samples {name} {decision}: is gone, and the audit chain knows it"))
    counted = (
        "SELECT count(*) FROM samples WHERE tenant = ? AND subject = ? AND at >= ? AND at <= ? AND unlearned IS NULL"
    )
    for subject, begin, end in told.unlearned:
        if database.read(counted, (tenant, subject, begin, end))[0][0]:
            found.append((subject, f"samples {subject}: count again, after they were taken back"))
    return found


def _templates(database: Database, keys: Keys, models: Models) -> list[str]:
    """Make every template again beside the one that is stored. Those that do not open are not this check's."""
    found = []
    columns = "tenant, subject, modality, field, context"
    connection = database.driver.reader()
    try:
        for names in database.read(f"SELECT DISTINCT {columns} FROM templates ORDER BY {columns}"):
            key = ProfileKey(*names)
            try:
                wrong = _unlike(connection, keys, models, key)
                # One that learned between two readings is like its samples the second time.
                wrong = wrong and _unlike(connection, keys, models, key)
            except StorageFailed:
                continue
            found += [f"templates {' '.join(parts(key)[2:])}: {text}" for text in wrong]
    finally:
        connection.close()
    return found


def _unlike(connection: Connection, keys: Keys, models: Models, key: ProfileKey) -> list[str]:
    stored = evidence.held(connection, keys, key)
    kept = evidence.window(connection, keys, key)
    found = [] if not stored or sum(row.serving for row, _ in stored) == 1 else ["not one of its templates serves"]
    for row, derived in stored:
        if row.model not in models.names or (not row.serving and stored[0][0].checkpoint):
            continue  # the samples of one in the shadow may be gone with those of the serving one
        if not _same(derived, _again(connection, keys, models, key, row, kept), timed=row.checkpoint is None):
            found.append("is not what its samples make of it")
    return found


def _again(
    connection: Connection, keys: Keys, models: Models, key: ProfileKey, row: Row, kept: list[evidence.Kept]
) -> Derived | None:
    if row.checkpoint is None:
        return evidence.derive(models, row.model, kept)
    copy = checkpoints.newest(connection, keys, key, identity=row.checkpoint)
    return copy[1] if copy else None


def _same(stored: Derived, made: Derived | None, *, timed: bool) -> bool:
    if made is None or pack_template(stored.template) != pack_template(made.template):
        return False
    counted = (stored.samples, stored.confirmed) == (made.samples, made.confirmed)
    return counted and (not timed or stored.last_at == made.last_at)
