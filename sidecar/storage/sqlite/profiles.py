"""Samples and templates in SQLite. Samples are appended; a template is always what the kept samples of its profile make."""

import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sidecar.domain.biometrics import Layout, Probe, Provenance, Sample, Template
from sidecar.ports import Assertion, Keys, Lesson, Profile, ProfileKey, StoredDecision
from sidecar.storage.arrays import pack_probe, pack_template, unpack_probe, unpack_template
from sidecar.storage.sqlite.database import Connection, Database
from sidecar.storage.sqlite.decisions import use_assertion

KEPT_SAMPLES = 200
USUAL_LOGINS = 5
SHAPE_VOTES = 9

Enroll = Callable[[Sequence[Sample], NDArray[np.uint8], Layout], Template]

_KEY = "tenant = ? AND subject = ? AND modality = ? AND field = ? AND context = ?"


class SqliteProfiles:
    """Implements ``ports.Profiles`` and ``ports.Learning``. ``enroll`` is the detector's; the store itself knows no arithmetic."""

    def __init__(self, database: Database, keys: Keys, enroll: Enroll) -> None:
        self._db = database
        self._keys = keys
        self._enroll = enroll

    def find(self, tenant: str, subject: str) -> list[Profile]:
        """Return every profile of a subject. Raises StorageFailed when one does not open."""
        rows = self._db.read(
            "SELECT tenant, subject, modality, field, context, samples, confirmed, last_at, sealed FROM templates"
            " WHERE tenant = ? AND subject = ?",
            (tenant, subject),
        )
        found = []
        for *parts, samples, confirmed, last_at, sealed in rows:
            plain = self._keys.open_mine(tenant, subject, bytes(sealed), "templates", "sealed", *parts)
            if plain is not None:
                found.append(Profile(ProfileKey(*parts), unpack_template(plain), samples, bool(confirmed), last_at))
        return found

    def usual(self, tenant: str, subject: str) -> list[Provenance | None]:
        """Return the password provenance of the newest completed logins, newest first, five at most."""
        rows = self._db.read(
            "SELECT password FROM provenance WHERE tenant = ? AND subject = ? ORDER BY number DESC LIMIT ?",
            (tenant, subject, USUAL_LOGINS),
        )
        return [Provenance(row[0]) if row[0] else None for row in rows]

    def waiting(self, decision_id: str) -> list[Probe]:
        """Return the probes that wait for a decision's completion."""
        rows = self._db.read(
            "SELECT field, tenant, subject, sealed FROM waiting_probes WHERE decision = ?", (decision_id,)
        )
        return [
            unpack_probe(
                self._keys.seal(tenant, subject).open(bytes(sealed), "waiting_probes", "sealed", decision_id, field)
            )
            for field, tenant, subject, sealed in rows
        ]

    def taught_since(self, tenant: str, subject: str, since: float) -> Mapping[str, int]:
        """Return how many samples each field got since a moment (epoch seconds)."""
        rows = self._db.read(
            "SELECT field, count(*) FROM samples WHERE tenant = ? AND subject = ? AND at >= ? GROUP BY field",
            (tenant, subject, since),
        )
        return dict(rows)

    async def complete(
        self,
        decision: StoredDecision,
        completion: Mapping[str, Any],
        lessons: Sequence[Lesson],
        assertion: Assertion,
        *,
        remember: bool = True,
    ) -> bool:
        """Close a decision and learn its lessons in one transaction; False when it was closed before."""

        def job(connection: Connection) -> bool:
            use_assertion(connection, assertion)
            changed = connection.execute(
                "UPDATE decisions SET completion = ? WHERE id = ? AND completion IS NULL",
                (msgspec.json.encode(completion).decode(), decision.id),
            ).rowcount
            if not changed:
                return False
            waiting = connection.execute(
                "DELETE FROM waiting_probes WHERE decision = ? RETURNING field", (decision.id,)
            )
            fields = {row[0] for row in waiting.fetchall()}
            if completion["outcome"] == "succeeded":
                if remember:
                    self._remember_provenance(connection, decision)
                # A password change since the decision took the waiting probes away: there is nothing to learn then.
                for lesson in lessons:
                    if lesson.key.field in fields:
                        self._learn(connection, decision.id, lesson)
            return True

        return await self._db.write(job)

    async def reset(self, tenant: str, subject: str, field: str | None, assertion: Assertion) -> None:
        """Forget one field's profile, or with None everything about the subject."""

        def job(connection: Connection) -> None:
            use_assertion(connection, assertion)
            for table in ("samples", "templates", "waiting_probes"):
                sql = f"DELETE FROM {table} WHERE tenant = ? AND subject = ?"
                if field is None:
                    connection.execute(sql, (tenant, subject))
                else:
                    connection.execute(f"{sql} AND field = ?", (tenant, subject, field))
            if field is None:
                for table in ("idempotency", "uses"):
                    connection.execute(
                        f"DELETE FROM {table} WHERE decision IN"
                        " (SELECT id FROM decisions WHERE tenant = ? AND subject = ?)",
                        (tenant, subject),
                    )
                for table in ("provenance", "directory", "decisions"):
                    connection.execute(
                        f"DELETE FROM {table} WHERE tenant = ? AND subject = ?",
                        (tenant, subject),
                    )
                connection.execute(
                    "DELETE FROM outbox WHERE tenant = ? AND json_extract(body, '$.subject') = ?", (tenant, subject)
                )

        await self._db.write(job)

    async def import_samples(self, lessons: Sequence[Lesson], origin: str) -> None:
        """Learn samples that did not come from a login (seeding, rehearsal); ``origin`` stands for the decision id."""

        batch = secrets.token_urlsafe(6)

        def job(connection: Connection) -> None:
            for number, lesson in enumerate(lessons):
                self._learn(connection, f"{origin} {batch} {number}", lesson)

        await self._db.write(job)

    def samples(self, key: ProfileKey) -> list[Sample]:
        """Return the kept samples of a profile, oldest first."""
        rows = self._db.read(f"SELECT decision, sealed, at FROM samples WHERE {_KEY} ORDER BY id", _parts(key))
        return [Sample(probe.values, at) for probe, at in self._opened(key, rows)]

    def _remember_provenance(self, connection: Connection, decision: StoredDecision) -> None:
        how = decision.body["facts"].get("provenance.password")
        connection.execute(
            "INSERT INTO provenance (tenant, subject, password) VALUES (?, ?, ?)",
            (decision.tenant, decision.subject, None if how == "unknown" else how),
        )
        connection.execute(
            "DELETE FROM provenance WHERE tenant = ? AND subject = ? AND number NOT IN (SELECT number FROM provenance"
            " WHERE tenant = ? AND subject = ? ORDER BY number DESC LIMIT ?)",
            (decision.tenant, decision.subject, decision.tenant, decision.subject, USUAL_LOGINS),
        )

    def _learn(self, connection: Connection, decision_id: str, lesson: Lesson) -> None:
        parts = _parts(lesson.key)
        seal = self._keys.seal(lesson.key.tenant, lesson.key.subject)
        sealed = seal.close(pack_probe(lesson.probe), "samples", "sealed", *parts, decision_id)
        connection.execute(
            "INSERT INTO samples (tenant, subject, modality, field, context, decision, evidence, at, sealed)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*parts, decision_id, str(lesson.evidence), lesson.at, sealed),
        )
        connection.execute(
            f"DELETE FROM samples WHERE {_KEY} AND id NOT IN"
            f" (SELECT id FROM samples WHERE {_KEY} ORDER BY id DESC LIMIT ?)",
            (*parts, *parts, KEPT_SAMPLES),
        )
        rows = connection.execute(
            f"SELECT decision, sealed, at FROM samples WHERE {_KEY} ORDER BY id",
            parts,
        ).fetchall()
        probes = self._opened(lesson.key, rows)
        shape = _common_shape([probe for probe, _ in probes])
        alike = [(probe, at) for probe, at in probes if _shape(probe) == shape]
        newest = alike[-1][0]
        template = self._enroll([Sample(probe.values, at) for probe, at in alike], newest.kinds, newest.layout)
        connection.execute(
            "INSERT OR REPLACE INTO templates VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *parts,
                len(alike),
                int(lesson.confirmed),
                lesson.at,
                seal.close(pack_template(template), "templates", "sealed", *parts),
            ),
        )

    def _opened(self, key: ProfileKey, rows: Iterable[tuple[str, bytes, float]]) -> list[tuple[Probe, float]]:
        """Open samples; those under a forgotten key (a restored backup) are nobody's any more."""
        opened = []
        for decision, sealed, at in rows:
            place = ("samples", "sealed", *_parts(key), decision)
            plain = self._keys.open_mine(key.tenant, key.subject, bytes(sealed), *place)
            if plain is not None:
                opened.append((unpack_probe(plain), at))
        return opened


def _parts(key: ProfileKey) -> tuple[str, str, str, str, str]:
    return (key.tenant, key.subject, key.modality, key.field, key.context)


def _shape(probe: Probe) -> tuple[str, int]:
    return (probe.layout, len(probe.values))


def _common_shape(probes: Sequence[Probe]) -> tuple[str, int]:
    """Return the shape most of the newest samples have, so that one stray key press does not unseat a profile."""
    votes = Counter(_shape(probe) for probe in probes[-SHAPE_VOTES:])
    return votes.most_common(1)[0][0]
