"""Profiles as logins see them, and how they grow."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sidecar.domain.biometrics import Floats, Probe, ProfileState, Provenance, Sample
from sidecar.domain.decisions import Action, Evidence
from sidecar.domain.entries import Entry
from sidecar.errors import StorageFailed
from sidecar.ports import (
    Assertion,
    AuditEntry,
    Enrollment,
    Keys,
    Lesson,
    Opener,
    Profile,
    ProfileKey,
    Remembered,
    StoredDecision,
)
from sidecar.risk.standing import Person
from sidecar.storage import checkpoints, entries, evidence
from sidecar.storage.arrays import pack_probe, unpack_probe
from sidecar.storage.assertions import use_assertion
from sidecar.storage.database import Connection, Database
from sidecar.storage.decisions import claim, keep_person
from sidecar.storage.evidence import (
    CHECKPOINT_EVERY,
    KEPT_SAMPLES,
    KEY,
    SAMPLE,
    STANDING,
    Derived,
    Models,
    Row,
    parts,
    sample_place,
    template_place,
)
from sidecar.storage.policies import note_fare
from sidecar.storage.subjects import confirm_consent, keep_consent, read_consent
from sidecar.storage.surroundings import fail_of, keep_failure, keep_login, read_past
from sidecar.usecases.running import SESSION_CHECK

USUAL_LOGINS = 5
COMPARED_LOGINS = 5  # confirmed logins that a new model is watched for before it may serve
FITTING = 0.8  # share of them in which it must not have asked for more than the old one


class SqlProfiles:
    """Implements ``ports.Profiles`` and ``ports.Learning``. The store itself knows no arithmetic; ``models`` does."""

    def __init__(self, database: Database, keys: Keys, models: Models, logins_days: int = 180) -> None:
        self._db = database
        self._keys = keys
        self._models = models
        self._logins_days = logins_days

    async def remembered(self, tenant: str, subject: str, now: float) -> Remembered:
        """Return what a login needs to know. Raises StorageFailed when something does not open."""

        def job() -> Remembered:
            mine = self._keys.opener(tenant, subject)
            running = self._db.read("SELECT name FROM recordings WHERE tenant = ? AND ends > ?", (tenant, now))
            return Remembered(
                self._find(mine, tenant, subject),
                self._usual(tenant, subject),
                read_consent(self._db, mine, tenant, subject),
                tuple(row[0] for row in running),
                read_past(self._db, mine, tenant, subject),
                entries.read(self._db, mine, tenant, subject),
            )

        return await self._db.reading(job)

    async def find(self, tenant: str, subject: str) -> list[Profile]:
        """Return every template of a subject, those in the shadow too. Raises StorageFailed when one does not open."""
        return await self._db.reading(lambda: self._find(self._keys.opener(tenant, subject), tenant, subject))

    async def latest(self, tenant: str, limit: int) -> list[str]:
        """Return those who logged in last."""
        sql = "SELECT subject, max(newest_at) FROM entries WHERE tenant = ? GROUP BY subject ORDER BY 2 DESC LIMIT ?"
        return [subject for subject, _ in await self._db.reading(lambda: self._db.read(sql, (tenant, limit)))]

    async def known_after(self, tenant: str, last: str, limit: int) -> list[str]:
        """Return people with earlier entries after a pseudonym, in the order of their pseudonyms."""
        sql = "SELECT DISTINCT subject FROM entries WHERE tenant = ? AND subject > ? ORDER BY subject LIMIT ?"
        return [row[0] for row in await self._db.reading(lambda: self._db.read(sql, (tenant, last, limit)))]

    async def person(self, tenant: str, subject: str) -> list[Person]:
        """Return the serving profiles of one person with their entries; none where they do not open."""
        return await self._db.reading(lambda: self._person(tenant, subject))

    async def members(self, tenant: str, field: str, context: str, fewest: int) -> list[str]:
        """Return those with so many samples who agreed and did not pause, in the order of their pseudonyms."""
        sql = (
            "SELECT t.subject FROM templates t WHERE t.tenant = ? AND t.field = ? AND t.context = ? AND t.serving = 1"
            " AND t.samples >= ? AND EXISTS (SELECT 1 FROM subjects s WHERE s.tenant = t.tenant"
            " AND s.subject = t.subject AND s.paused_at IS NULL AND s.consent = 'given')"
            " ORDER BY t.subject"
        )
        return [row[0] for row in await self._db.reading(lambda: self._db.read(sql, (tenant, field, context, fewest)))]

    async def rows(
        self, tenant: str, subject: str, field: str, context: str
    ) -> tuple[NDArray[np.uint8], Floats] | None:
        """Return a profile's kinds, (d,), and samples of that shape, (n, d) in ms, oldest first; None without."""
        try:
            consent = await self._db.reading(
                lambda: read_consent(self._db, self._keys.opener(tenant, subject), tenant, subject)
            )
            found = [] if consent.bars() else await self.find(tenant, subject)
            wanted = [item for item in found if item.serving and (item.key.field, item.key.context) == (field, context)]
            if not wanted or wanted[0].template.layout != "positions":
                return None
            kinds = wanted[0].template.kinds
            kept = [item.values for item in await self.samples(wanted[0].key) if item.values.shape == kinds.shape]
        except StorageFailed:
            return None
        return kinds, np.array(kept[-evidence.WINDOW :], dtype=np.float64).reshape(-1, kinds.size)

    def _person(self, tenant: str, subject: str) -> list[Person]:
        try:
            mine = self._keys.opener(tenant, subject)
            known = entries.read(self._db, mine, tenant, subject)
            found = [item for item in self._find(mine, tenant, subject) if item.serving]
        except StorageFailed:
            return []
        places = [((item.key.field, item.key.context), item) for item in found]
        return [
            Person(subject, field, item.template, known[field, context], context)
            for (field, context), item in places
            if (field, context) in known
        ]

    async def usual(self, tenant: str, subject: str) -> list[Provenance | None]:
        """Return the password provenance of the newest completed logins, newest first, five at most."""
        return await self._db.reading(lambda: self._usual(tenant, subject))

    async def samples(self, key: ProfileKey) -> list[Sample]:
        """Return the samples that count for a profile, oldest first."""

        def job() -> list[Sample]:
            rows = self._db.read(
                f"SELECT {SAMPLE} FROM samples WHERE {KEY} AND unlearned IS NULL ORDER BY number",
                parts(key),
            )
            return [Sample(kept.probe.values, kept.at) for kept in evidence.opened(self._keys, key, rows)]

        return await self._db.reading(job)

    async def waiting(self, tenant: str, decision_id: str) -> list[Probe]:
        """Return the probes that wait for a decision's completion."""

        def job() -> list[Probe]:
            rows = self._db.read(
                "SELECT field, subject, sealed FROM waiting_probes WHERE tenant = ? AND decision = ?",
                (tenant, decision_id),
            )
            found = []
            for field, subject, sealed in rows:
                place = ("waiting_probes", "sealed", decision_id, field)
                found.append(unpack_probe(self._keys.seal(tenant, subject).open(bytes(sealed), *place)))
            return found

        return await self._db.reading(job)

    async def taught_since(self, tenant: str, subject: str, since: float) -> Mapping[tuple[str, Evidence], int]:
        """Return how many samples each field got since a moment (epoch seconds), by evidence."""
        sql = (
            "SELECT field, evidence, count(*) FROM samples WHERE tenant = ? AND subject = ? AND at >= ?"
            " GROUP BY field, evidence"
        )
        rows = await self._db.reading(lambda: self._db.read(sql, (tenant, subject, since)))
        return {(field, Evidence(how)): count for field, how, count in rows}

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
                "UPDATE decisions SET completion = ? WHERE tenant = ? AND id = ? AND completion IS NULL",
                (msgspec.json.encode(completion).decode(), decision.tenant, decision.id),
            ).rowcount
            if not changed:
                return False
            waiting = connection.execute(
                "DELETE FROM waiting_probes WHERE decision = ? RETURNING field", (decision.id,)
            )
            fields = {row[0] for row in waiting.fetchall()}
            entries.note_ended(connection, self._keys, decision, completion)
            taught = []
            if completion["outcome"] == "succeeded":
                if completion["second_factor"]:
                    who = (decision.tenant, decision.subject)
                    confirm_consent(connection, self._keys, *who, decision.issuer, completion["at"])
                _note_fare(connection, decision, completion)
                if remember:
                    if decision.body["action"] != SESSION_CHECK:
                        _remember_provenance(connection, decision)
                    keep_login(connection, self._keys, decision, self._logins_days)
                # A password change since the decision took the waiting probes away: there is nothing to learn then.
                for lesson in lessons:
                    if lesson.key.field in fields:
                        self._learn(connection, decision.id, lesson)
                        taught.append(lesson.key.field)
            elif completion["outcome"] == "failed" and (failure := fail_of(decision, completion["at"])):
                keep_failure(connection, self._keys, decision.tenant, decision.subject, failure)
            details = {
                "decision": decision.id,
                "outcome": completion["outcome"],
                "second_factor": completion["second_factor"],
                "taught": taught,
            }
            entry = AuditEntry(
                decision.tenant, "decision.completed", decision.issuer, decision.subject, details, completion["at"]
            )
            connection.notes.append(entry)
            return True

        return await self._db.write(job)

    async def begin(self, enrollment: Enrollment, lessons: Sequence[Lesson]) -> list[str]:
        """Learn first samples outside a login; return the fields that were begun. Raises TokenReplayed, CaptureUsed."""
        who = (enrollment.tenant, enrollment.subject)
        seal = await self._db.reading(lambda: self._keys.seal(*who))

        def job(connection: Connection) -> list[str]:
            use_assertion(connection, enrollment.assertion)
            claim(connection, enrollment)
            keep_person(connection, seal, *who, enrollment.directory)
            if enrollment.consent:
                keep_consent(connection, seal, *who, enrollment.consent, enrollment.entry.actor, enrollment.at)
            begun = []
            for lesson in lessons:
                connection.lock("profile", *parts(lesson.key))
                if not connection.execute(f"SELECT 1 FROM samples WHERE {KEY} LIMIT 1", parts(lesson.key)).fetchall():
                    self._learn(connection, enrollment.id, lesson)
                    begun.append(lesson.key.field)
            if begun:
                connection.notes.append(
                    replace(enrollment.entry, details={**enrollment.entry.details, "taught": begun})
                )
            return begun

        return await self._db.write(job)

    async def import_samples(self, lessons: Sequence[Lesson], origin: str) -> None:
        """Learn samples that did not come from a login (seeding, rehearsal); ``origin`` stands for the decision id."""
        batch = secrets.token_urlsafe(6)

        def job(connection: Connection) -> None:
            for number, lesson in enumerate(lessons):
                self._learn(connection, f"{origin} {batch} {number}", lesson)
            for who in {(lesson.key.tenant, lesson.key.subject) for lesson in lessons}:
                details = {"origin": origin, "samples": len(lessons)}
                connection.notes.append(
                    AuditEntry(who[0], "samples.imported", "administration", who[1], details, lessons[-1].at)
                )

        await self._db.write(job)

    def _find(self, mine: Opener, tenant: str, subject: str) -> list[Profile]:
        rows = self._db.read(
            f"SELECT modality, field, context, {STANDING}, sealed FROM templates WHERE tenant = ? AND subject = ?"
            " ORDER BY modality, field, context, model",
            (tenant, subject),
        )
        found = []
        for modality, field, context, *standing, sealed in rows:
            key = ProfileKey(tenant, subject, modality, field, context)
            plain = mine(bytes(sealed), *template_place(key, *standing))
            if plain is not None:
                model, serving, samples, confirmed, last_at, _, _, compared, fitted = standing
                template = evidence.template_for(plain, model)
                found.append(Profile(key, template, samples, bool(confirmed), last_at, bool(serving), compared, fitted))
        return found

    def _usual(self, tenant: str, subject: str) -> list[Provenance | None]:
        rows = self._db.read(
            "SELECT password FROM provenance WHERE tenant = ? AND subject = ? ORDER BY number DESC LIMIT ?",
            (tenant, subject, USUAL_LOGINS),
        )
        return [Provenance(row[0]) if row[0] else None for row in rows]

    def _learn(self, connection: Connection, decision_id: str, lesson: Lesson) -> None:
        key = lesson.key
        connection.lock("profile", *parts(key))
        seal = self._keys.seal(key.tenant, key.subject)
        said = (str(lesson.evidence), lesson.at, lesson.confirmed, lesson.model or self._models.current)
        sealed = seal.close(pack_probe(lesson.probe), *sample_place(key, decision_id, *said))
        kind, at, confirmed, model = said
        connection.execute(
            "INSERT INTO samples (tenant, subject, modality, field, context, decision, evidence, at, sealed, model,"
            " confirmed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*parts(key), decision_id, kind, at, sealed, model, int(confirmed)),
        )
        entry = Entry(key.field, key.context, lesson.probe, lesson.at, None, "")
        entries.note_learned(connection, self._keys, key, entry)
        dropped = _trim(connection, key)
        kept = evidence.window(connection, self._keys, key)
        standing = evidence.held(connection, self._keys, key)
        before = [row for row, _ in standing]
        if before and before[0].checkpoint and len(kept) < self._models.ready_samples:
            # What the serving template was made of is gone; it stays until enough new samples are there.
            serving, old = standing[0]
            evidence.put(connection, self._keys, key, serving, replace(old, last_at=lesson.at))
            return
        after = self._after(before, lesson, dropped)
        for gone in {row.model for row in before} - {row.model for row in after}:
            evidence.drop(connection, key, gone)
        for row in after:
            derived = evidence.derive(self._models, row.model, kept)
            if derived is not None:
                evidence.put(connection, self._keys, key, row, derived)
                if row.serving:
                    self._checkpointed(connection, key, derived)

    def _after(self, before: Sequence[Row], lesson: Lesson, dropped: float | None) -> list[Row]:
        """Say which templates a profile has after a lesson: the serving model's and, during an upgrade, the new one's."""
        current = self._models.current
        serving = next((row for row in before if row.serving and row.model in self._models.names), None)
        gone = dropped or next((row.dropped for row in before if row.dropped), None)
        if serving is None or serving.model == current:
            return [Row(current, True, None, gone, 0, 0)]
        shadow = next((row for row in before if row.model == current), Row(current, False, None, gone, 0, 0))
        if lesson.fits is not None:
            shadow = replace(shadow, compared=shadow.compared + 1, fitted=shadow.fitted + int(lesson.fits))
        if shadow.compared >= COMPARED_LOGINS and shadow.fitted >= FITTING * shadow.compared:
            return [replace(shadow, serving=True, dropped=gone)]
        return [replace(serving, checkpoint=None, dropped=gone), replace(shadow, dropped=gone)]

    def _checkpointed(self, connection: Connection, key: ProfileKey, derived: Derived) -> None:
        last = checkpoints.last_at(connection, key)
        since = connection.execute(
            f"SELECT count(*) FROM samples WHERE {KEY} AND unlearned IS NULL AND at > ?", (*parts(key), last or 0.0)
        ).fetchone()[0]
        if since >= CHECKPOINT_EVERY:
            checkpoints.add(connection, self._keys, key, derived, derived.last_at)


def _trim(connection: Connection, key: ProfileKey) -> float | None:
    """Drop what the log holds beyond its number; return the time of the newest sample dropped."""
    gone = connection.execute(
        f"DELETE FROM samples WHERE {KEY} AND unlearned IS NULL AND number NOT IN"
        f" (SELECT number FROM samples WHERE {KEY} AND unlearned IS NULL ORDER BY number DESC LIMIT ?) RETURNING at",
        (*parts(key), *parts(key), KEPT_SAMPLES),
    ).fetchall()
    return max((row[0] for row in gone), default=None)


def _note_fare(connection: Connection, decision: StoredDecision, completion: Mapping[str, Any]) -> None:
    """Note how a person with a ready profile fared under the version that decided; others are asked under any."""
    fare = decision.body.get("fare")
    if fare and decision.body["facts"].get("profile.state") == ProfileState.READY:
        asked = decision.body["answer"]["action"] == Action.STEP_UP
        passed = bool(fare["newly"] and asked and completion["second_factor"])
        who = (decision.tenant, decision.subject)
        note_fare(connection, fare["number"], fare["since"], *who, passed, completion["at"])


def _remember_provenance(connection: Connection, decision: StoredDecision) -> None:
    how = decision.body["facts"].get("provenance.password")
    who = (decision.tenant, decision.subject)
    connection.execute(
        "INSERT INTO provenance (tenant, subject, password) VALUES (?, ?, ?)",
        (*who, None if how == "unknown" else how),
    )
    connection.execute(
        "DELETE FROM provenance WHERE tenant = ? AND subject = ? AND number NOT IN (SELECT number FROM provenance"
        " WHERE tenant = ? AND subject = ? ORDER BY number DESC LIMIT ?)",
        (*who, *who, USUAL_LOGINS),
    )
