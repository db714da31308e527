"""Every implementation of the ports, opened for a test, and what tests put into it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sidecar.config import RetentionSettings
from sidecar.domain.biometrics import Layout, Probe, Sample, Template
from sidecar.domain.decisions import Evidence
from sidecar.errors import KeyUnknown
from sidecar.evaluation.synthetic import probe_of
from sidecar.keyring import Seal
from sidecar.masters import Masters
from sidecar.ports import (
    Assertion,
    Assertions,
    Captures,
    DecisionRecord,
    Directory,
    Learning,
    Lesson,
    Outbox,
    OutboxItem,
    ProfileKey,
)
from sidecar.scoring import DETECTORS
from sidecar.storage.assertions import SqlAssertions
from sidecar.storage.audit import SqlAudit, appending
from sidecar.storage.captures import SqlCaptures
from sidecar.storage.correction import SqlCorrection
from sidecar.storage.database import Database
from sidecar.storage.decisions import SqlDecisions
from sidecar.storage.evidence import Models
from sidecar.storage.keystore import SqlKeys
from sidecar.storage.outbox import SqlOutbox
from sidecar.storage.postgres import Postgres
from sidecar.storage.profiles import SqlProfiles
from sidecar.storage.recordings import SqlRecordings
from sidecar.storage.retention import SqlRetention
from sidecar.storage.schema import prepare
from sidecar.storage.sessions import SqlSessions
from sidecar.storage.sqlite import Sqlite
from sidecar.storage.subjects import SqlSubjects
from support.world import rows_of

NOW = 1_800_000_000.0


def enroll(model: str, samples: Sequence[Sample], kinds: NDArray[np.uint8], layout: Layout) -> Template:
    made = DETECTORS["nearest-recent-1"].enroll(samples, kinds, layout)
    return replace(made, detector=model)


def models(current: str = "nearest-recent-1") -> Models:
    return Models(current, frozenset({"nearest-recent-1", "coming"}), enroll, ready_samples=10)


class EveryonesKeys(SqlKeys):
    """The real key store, which makes a person's key when a test first seals for them."""

    def seal(self, tenant: str, subject: str) -> Seal:
        try:
            return super().seal(tenant, subject)
        except KeyUnknown:
            with ThreadPoolExecutor(1) as pool:
                pool.submit(asyncio.run, self.ensure(tenant, subject)).result()
            return super().seal(tenant, subject)


@dataclass
class Store:
    """One implementation of all ports. ``everything`` returns all its rows, to see that nothing was kept."""

    database: Database
    keys: SqlKeys
    captures: Captures
    assertions: Assertions
    decisions: SqlDecisions
    directory: Directory
    profiles: SqlProfiles
    learning: Learning
    correction: SqlCorrection
    subjects: SqlSubjects
    recordings: SqlRecordings
    outbox: Outbox
    audit: SqlAudit
    retention: SqlRetention
    sessions: SqlSessions

    def everything(self) -> dict[str, list[Any]]:
        driver: Any = self.database.driver
        connection = driver.reader()
        tables = driver.tables(connection)
        connection.close()
        return {name: sorted(self.database.read(f"SELECT * FROM {name}"), key=repr) for name in tables}

    def of_model(self, current: str) -> SqlProfiles:
        """The same store under a configuration that names another model."""
        return SqlProfiles(self.database, self.keys, models(current))


@asynccontextmanager
async def opened(driver: Any, key_driver: Any, base: Path) -> AsyncIterator[Store]:
    prepare(driver, "data")
    prepare(key_driver, "keys")
    if not (base / "master.json").exists():
        Masters.init(base / "master.json")
    keys = EveryonesKeys(Database(key_driver), Masters(f"file:{base / 'master.json'}"))
    database = Database(driver, before_commit=appending(keys.audit_key()))
    decisions, profiles = SqlDecisions(database, keys), SqlProfiles(database, keys, models())
    try:
        yield Store(
            database,
            keys,
            SqlCaptures(database),
            SqlAssertions(database),
            decisions,
            decisions,
            profiles,
            profiles,
            SqlCorrection(database, keys, models()),
            SqlSubjects(database, keys),
            SqlRecordings(database, keys),
            SqlOutbox(database),
            SqlAudit(database, keys.audit_key()),
            SqlRetention(database, keys, models(), RetentionSettings()),
            SqlSessions(database, decisions),
        )
    finally:
        database.close()
        keys.close()


def sqlite(base: Path, _: pytest.FixtureRequest) -> AbstractAsyncContextManager[Store]:
    return opened(Sqlite(base / "store.db"), Sqlite(base / "user-keys.db", journal="DELETE"), base)


def postgres(base: Path, request: pytest.FixtureRequest) -> AbstractAsyncContextManager[Store]:
    url = request.getfixturevalue("postgres_url")
    name = f"s{next(made)}"
    return opened(Postgres(url, name), Postgres(url, f"{name}_keys"), base)


STORES: dict[str, Callable[[Path, pytest.FixtureRequest], AbstractAsyncContextManager[Store]]] = {
    "sqlite": sqlite,
    "postgresql": postgres,
}
made = iter(range(10**9))


def fresh(name: str = "id") -> str:
    return f"{name}-{next(made)}"


def assertion() -> Assertion:
    return ("http://idp", fresh("jti"), int(NOW) + 60)


def probe(login: int = 1, field: str = "password", length: int = 8, person: int = 1) -> Probe:
    return probe_of(rows_of(person, login, length), field)


def record(**changed: Any) -> DecisionRecord:
    name = fresh("decision")
    return replace(
        DecisionRecord(
            id=name,
            tenant="one",
            issuer="http://idp",
            subject="subject",
            at=NOW,
            body={
                "action": "login",
                "answer": {"action": "allow"},
                "facts": {"provenance.password": "typed"},
                "sid": None,
                "text": "é\u2028",
                "n": 1,
            },
            assertion=assertion(),
            idempotency=(fresh("key"), "digest"),
            uses=(f"capture:{fresh('c')}",),
            digests=(fresh("digest"),),
            waiting=(probe(next(made)),),
            outbox=(item(),),
            directory={"id": "ann", "name": "Ann"},
        ),
        **changed,
    )


def item(**changed: Any) -> OutboxItem:
    return replace(OutboxItem(fresh("out"), "one", "http://idp", "revoke", {"subject": "subject"}, 0, NOW), **changed)


def key(field: str = "password", **changed: Any) -> ProfileKey:
    return replace(ProfileKey("one", "subject", "keystroke", field, "keyboard"), **changed)


def lesson(at: float = NOW, **changed: Any) -> Lesson:
    where = changed.pop("key", key())
    what = changed.pop("probe", probe(next(made), where.field))
    return replace(Lesson(where, what, Evidence.SECOND_FACTOR, at, confirmed=True), **changed)


async def completed(
    store: Store, kept: DecisionRecord, outcome: str = "succeeded", lessons: Sequence[Lesson] = (), **said: Any
) -> bool:
    decision = await store.decisions.get(kept.tenant, kept.id)
    assert decision
    completion = {"outcome": outcome, "second_factor": True, "sid": None, "at": NOW} | said
    return await store.learning.complete(decision, completion, lessons, assertion())
