"""What is kept for a time and no longer. The times are the settings' or, for what serves one login only, constants here."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import structlog

from sidecar.config import RetentionSettings
from sidecar.errors import SealBroken
from sidecar.ports import Keys, ProfileKey
from sidecar.storage import checkpoints, entries, evidence, surroundings
from sidecar.storage.database import Connection, Database
from sidecar.storage.evidence import KEY, Models, parts

log = structlog.get_logger()

DAY = 86_400.0
PROBE_SECONDS = 3600
ASSERTION_SLACK_SECONDS = 60
REQUEST_SECONDS = 86_400
PROFILES_AT_ONCE = 200  # in one transaction, so that none holds the writer for long

# People of whom nothing is left but who they are and how they usually log in.
_UNREFERENCED = (
    "NOT EXISTS (SELECT 1 FROM decisions d WHERE d.tenant = x.tenant AND d.subject = x.subject)"
    " AND NOT EXISTS (SELECT 1 FROM templates t WHERE t.tenant = x.tenant AND t.subject = x.subject)"
)


class SqlRetention:
    """Implements ``ports.Retention``."""

    def __init__(self, database: Database, keys: Keys, models: Models, rules: RetentionSettings) -> None:
        self._db = database
        self._keys = keys
        self._models = models
        self._rules = rules

    async def purge(self, now: float) -> Mapping[str, int]:
        """Drop what serves one login only and has had its time; return how many rows of which table. Cheap."""
        statements: list[tuple[str, str, float]] = [
            ("waiting_batches", "expires < ?", now),
            ("assertions", "expires < ?", now - ASSERTION_SLACK_SECONDS),
            ("waiting_probes", "at < ?", now - PROBE_SECONDS),
            ("idempotency", "at < ?", now - REQUEST_SECONDS),
            ("uses", "at < ?", now - REQUEST_SECONDS),
            ("failed_logins", "last_at < ?", surroundings.expired_failures(now)),
            ("marks", "expires < ?", now),
        ]
        return await self._db.write(lambda connection: _delete(connection, statements))

    async def retire(self, now: float) -> Mapping[str, int]:
        """Drop everything else that has had its time; return how many rows of which table."""
        rules = self._rules
        profile_end = now - rules.profile_days * DAY
        statements: list[tuple[str, str, float]] = [
            ("probe_digests", "at < ?", now - rules.digests_days * DAY),
            ("outbox", "due IS NULL AND created < ?", now - rules.effects_days * DAY),
            ("decisions", "at < ?", now - rules.decisions_days * DAY),
            ("recorded", "at < ?", now - rules.recorded_days * DAY),
            ("policy_fares", "at < ?", now - rules.decisions_days * DAY),
            ("recordings", "ends < ?", now - rules.recorded_days * DAY),
            ("samples", "unlearned < ?", now - rules.unlearned_days * DAY),
            ("templates", "last_at < ?", profile_end),
            ("checkpoints", "last_at < ?", profile_end),
            ("past_logins", "last_at < ?", now - rules.logins_days * DAY),
        ]
        done = dict(await self._db.write(lambda connection: _delete(connection, statements)))
        while aged := await self._db.write(lambda connection: self._aged(connection, now - rules.samples_days * DAY)):
            done["samples"] += aged
        while await self._db.write(lambda c: surroundings.trim(c, self._keys, now - rules.logins_days * DAY)):
            pass
        cutoff = now - rules.samples_days * DAY
        while aged := await self._db.write(
            lambda connection: entries.age(connection, self._keys, cutoff, PROFILES_AT_ONCE)
        ):
            done["entries"] = done.get("entries", 0) + aged
        return done | await self._db.write(_unreferenced)

    def _aged(self, connection: Connection, cutoff: float) -> int:
        """Drop samples older than a moment. A template follows its samples; where too few are left, a copy outlives them."""
        found = connection.execute(
            "SELECT tenant, subject, modality, field, context, max(at) FROM samples WHERE at < ? AND unlearned IS NULL"
            " GROUP BY tenant, subject, modality, field, context LIMIT ?",
            (cutoff, PROFILES_AT_ONCE),
        ).fetchall()
        gone = 0
        for *names, newest in found:
            key = ProfileKey(*names)
            connection.lock("profile", *parts(key))
            left = connection.execute(
                f"SELECT count(*) FROM samples WHERE {KEY} AND unlearned IS NULL AND at >= ?", (*parts(key), cutoff)
            ).fetchone()[0]
            enough = left >= self._models.ready_samples
            try:
                if not enough:
                    self._preserve(connection, key, cutoff)
            except SealBroken:  # one row that was tampered with must not keep everybody's samples longer than promised
                log.error("profile_unreadable", subject=key.subject, field=key.field)
            gone += connection.execute(f"DELETE FROM samples WHERE {KEY} AND at < ?", (*parts(key), cutoff)).rowcount
            try:
                if enough:
                    self._follow(connection, key, newest)
            except SealBroken:
                log.error("profile_unreadable", subject=key.subject, field=key.field)
        return gone

    def _preserve(self, connection: Connection, key: ProfileKey, at: float) -> None:
        """Keep the serving template as a checkpoint, and note that it is one from now on."""
        serving = next((row for row in evidence.rows(connection, self._keys, key) if row.serving), None)
        if serving is None or serving.checkpoint:
            return
        derived = evidence.derive(self._models, serving.model, evidence.window(connection, self._keys, key))
        if derived is not None:
            name = checkpoints.add(connection, self._keys, key, derived, derived.last_at)
            evidence.put(connection, self._keys, key, replace(serving, checkpoint=name, dropped=at), derived)

    def _follow(self, connection: Connection, key: ProfileKey, dropped: float) -> None:
        kept = evidence.window(connection, self._keys, key)
        for row in evidence.rows(connection, self._keys, key):
            derived = evidence.derive(self._models, row.model, kept)
            if derived is not None and row.checkpoint is None:
                evidence.put(connection, self._keys, key, replace(row, dropped=dropped), derived)


def _unreferenced(connection: Connection) -> dict[str, int]:
    return {
        table: connection.execute(f"DELETE FROM {table} AS x WHERE {_UNREFERENCED}").rowcount
        for table in ("provenance", "directory")
    }


def _delete(connection: Connection, statements: list[tuple[str, str, Any]]) -> dict[str, int]:
    return {
        table: connection.execute(f"DELETE FROM {table} WHERE {condition}", (moment,)).rowcount
        for table, condition, moment in statements
    }
