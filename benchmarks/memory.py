"""What memory costs: decisions and completions with and without seals, evidence and audit rows; bytes a user; reads among many.

``python -m benchmarks.memory`` (``--users 2000`` for a small one, ``--json`` for a machine). Both sides of every ratio are
measured in one run, in turn, on databases beside each other, so that a busy machine touches both alike. The bare side is the
same use case and the same statements through stand-ins that live here: a seal that leaves plaintext, no audit rows and, for
decisions, no evidence rows. PostgreSQL is a server of its own with fsync; its processes are not in the CPU figures.
"""

import argparse
import asyncio
import json
import random
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psycopg

from sidecar.config import AuditSettings, IdpSettings, KeySettings, LearningSettings, Settings
from sidecar.domain.biometrics import Sample
from sidecar.domain.decisions import Attempt, Source
from sidecar.evaluation.synthetic import probe_of, typist
from sidecar.keyring import KEY_ID_BYTES, Seal
from sidecar.main import build, data_driver, key_driver, models
from sidecar.masters import Masters
from sidecar.ports import DecisionRecord, Keys, Opener, ProfileKey
from sidecar.rehearsal.payload import hidden_field
from sidecar.storage.arrays import pack_probe, pack_template
from sidecar.storage.database import Connection, Database
from sidecar.storage.decisions import SqlDecisions
from sidecar.storage.evidence import sample_place, template_place
from sidecar.storage.keystore import key_place
from sidecar.storage.profiles import SqlProfiles
from sidecar.storage.schema import prepare
from sidecar.storage.subjects import consent_place
from sidecar.usecases.assess import Assessor
from sidecar.usecases.complete import Completer
from tests.support.postgres import Server, server

TENANT, ISSUER, CLIENT = "main", "http://localhost:8801", "app"
LENGTH = 10
PEOPLE = 200  # different typists among the users; each user's rows are sealed on their own
LOGGED = 200  # samples of somebody who logs in often: as many as a template rests on
BATCH = 5000
AT_MOST = 1.5  # what the reads among many may take, in times of those among few


class PlainSeal(Seal):
    """Seals nothing: what is stored is the plaintext, as small as it is."""

    def __init__(self) -> None:
        super().__init__(bytes(32))

    def close(self, plain: bytes, *place: str) -> bytes:
        """Return what came."""
        del place
        return plain

    def open(self, sealed: bytes, *place: str) -> bytes:
        """Return what came."""
        del place
        return sealed


class PlainKeys:
    """Implements ``ports.Keys`` without keys."""

    _seal = PlainSeal()

    def seal(self, tenant: str, subject: str) -> Seal:
        """Return the seal that seals nothing."""
        del tenant, subject
        return self._seal

    async def ensure(self, tenant: str, subject: str) -> None:
        """Nothing to make."""

    async def destroy(self, tenant: str, subject: str) -> bool:
        """Nothing to destroy."""
        del tenant, subject
        return False

    def opener(self, tenant: str, subject: str) -> Opener:
        """Return what opens nothing."""
        return partial(self.open_mine, tenant, subject)

    def open_mine(self, tenant: str, subject: str, sealed: bytes, *place: str) -> bytes | None:
        """Return what came."""
        del tenant, subject, place
        return sealed


class BareDecisions(SqlDecisions):
    """Decisions without evidence rows, where ``evidence`` is off, and without audit rows."""

    evidence = False

    async def record(self, record: DecisionRecord) -> None:
        """Keep the decision itself."""
        await super().record(replace(record, entry=None, waiting=record.waiting if self.evidence else ()))


@dataclass(frozen=True, slots=True)
class Side:
    """One way to decide, wired."""

    settings: Settings
    assessor: Assessor
    completer: Completer
    profiles: SqlProfiles
    decisions: SqlDecisions


@dataclass
class Measured:
    """Wall and CPU milliseconds of single calls."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    async def call(self, job: Callable[[], Awaitable[Any]]) -> Any:
        """Run once and keep how long it took."""
        wall, cpu = time.perf_counter(), time.process_time()
        result = await job()
        self.wall.append((time.perf_counter() - wall) * 1000)
        self.cpu.append((time.process_time() - cpu) * 1000)
        return result

    def figures(self) -> dict[str, float]:
        """Return quantiles and mean in milliseconds. On a busy machine the CPU's tell more: waiting is not in them."""
        cuts = statistics.quantiles(self.wall, n=100, method="inclusive")
        busy = statistics.quantiles(self.cpu, n=100, method="inclusive")[94]
        found = {"p50_ms": cuts[49], "p95_ms": cuts[94], "cpu_ms": statistics.fmean(self.cpu), "cpu_p95_ms": busy}
        return {name: round(value, 4) for name, value in found.items()}


def main() -> None:
    """Measure and print; exit code 1 when reads among many are slower than they may be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=100_000, help="of the large databases")
    parser.add_argument("--few", type=int, default=1000, help="users of the small databases")
    parser.add_argument("--samples", type=int, default=15, help="kept of each user")
    parser.add_argument("--decisions", type=int, default=400, help="measured on each side")
    parser.add_argument("--reads", type=int, default=4000, help="measured among few and among many")
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"], choices=["sqlite", "postgresql"])
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    asked = parser.parse_args()
    found: dict[str, Any] = {"options": vars(asked)}
    with tempfile.TemporaryDirectory(prefix="gaitkeeper-memory-") as directory, ExitStack() as stack:
        running = stack.enter_context(server(durable=True)) if "postgresql" in asked.databases else None
        for kind in asked.databases:
            place = Place(Path(directory), running if kind == "postgresql" else None)
            found[kind] = asyncio.run(measure(place, asked))
    print(json.dumps(found, indent=1) if asked.json else "\n".join(table(found, asked.databases)))
    slow = [kind for kind in asked.databases if found[kind]["reads"]["ratio_p95"] > AT_MOST]
    if slow:
        sys.exit(f"reads among many took more than {AT_MOST} times as long: {', '.join(slow)}")


@dataclass
class Place:
    """Where databases are made, and how big they are."""

    base: Path
    server: Server | None

    def settings(self, name: str) -> Settings:
        """Return settings of an empty installation of this name."""
        base = self.base / f"{'postgresql' if self.server else 'sqlite'}-{name}"
        base.mkdir()
        (base / "jwks.json").write_text('{"keys": []}')
        Masters.init(base / "master.json")
        urls = [self.server.database(f"{name}_{part}") for part in ("data", "keys")] if self.server else [None, None]
        idp = IdpSettings(
            tenant=TENANT,
            issuer=ISSUER,
            jwks_file=base / "jwks.json",
            site_key="site",
            origins=(ISSUER,),
            legal_basis="consent",
        )
        return Settings(
            base_url="http://localhost:8800",
            data_dir=base / "data",
            database=urls[0],
            keys=KeySettings(master=f"file:{base / 'master.json'}", store=urls[1]),
            idps=(idp,),
            # Every completion of this benchmark is to teach.
            learning=LearningSettings(samples_per_day=1000, unlike_per_day=1000),
            audit=AuditSettings(mode="strict"),
        )

    def size(self, settings: Settings) -> tuple[int, int]:
        """Return how many bytes (data, keys) an installation's databases take."""
        if self.server is None:
            connection = data_driver(settings).writer()
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.close()
            data = sum(path.stat().st_size for path in settings.data_dir.glob("gaitkeeper.db*"))
            return data, Path(settings.key_store).stat().st_size
        sizes = []
        for url in (settings.database, settings.key_store):
            with psycopg.connect(str(url), autocommit=True) as connection:
                connection.execute("VACUUM")
                row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
                sizes.append(int(row[0]) if row else 0)
        return sizes[0], sizes[1]


async def measure(place: Place, asked: argparse.Namespace) -> dict[str, Any]:
    """Return all figures of one kind of database."""
    people = PEOPLE if asked.few > PEOPLE else asked.few
    found: dict[str, Any] = {}
    with sealed(place.settings("sealed")) as memory, bare(place.settings("bare")) as none:
        for side, plain in ((memory, False), (none, True)):
            seed(side.settings, range(people), asked.samples, plain=plain)
        found["decision"] = await decisions(memory, none, people, asked.decisions)
        found["completion"] = await completions(memory, none, range(people), asked.decisions)
        for side, plain in ((memory, False), (none, True)):
            seed(side.settings, range(people, people + 20), LOGGED, plain=plain)
        often = range(people, people + 20)
        found["completion_often"] = await completions(memory, none, often, asked.decisions // 2)
    few, many = place.settings("few"), place.settings("many")
    with sealed(few) as little, sealed(many) as much:
        seed(few, range(asked.few), asked.samples)
        empty = place.size(many)
        seed(many, range(asked.users), asked.samples)
        full = place.size(many)
        found["bytes_a_user"] = {
            name: round((after - before) / asked.users)
            for name, before, after in zip(("data", "keys"), empty, full, strict=True)
        }
        found["reads"] = await reads(little, much, asked)
    return found


@contextmanager
def sealed(settings: Settings) -> Iterator[Side]:
    """The sidecar as it is."""
    sidecar = build(settings)
    try:
        yield Side(settings, sidecar.assessor, sidecar.completer, sidecar.profiles, sidecar.decisions)
    finally:
        sidecar.close()


@contextmanager
def bare(settings: Settings) -> Iterator[Side]:
    """The same sidecar without seals and audit rows; ``BareDecisions.evidence`` says whether with evidence rows."""
    sidecar = build(settings)
    keys: Keys = PlainKeys()
    database = Database(data_driver(settings))  # what would be noted for the audit chain goes nowhere
    decisions = BareDecisions(database, keys)
    profiles = SqlProfiles(database, keys, models(settings))
    assessor = replace(sidecar.assessor, keys=keys, decisions=decisions, profiles=profiles)
    completer = replace(sidecar.completer, decisions=decisions, profiles=profiles, learning=profiles)
    try:
        yield Side(settings, assessor, completer, profiles, decisions)
    finally:
        database.close()
        sidecar.close()


async def decisions(memory: Side, none: Side, people: int, count: int) -> dict[str, Any]:
    """Decide in turn on both sides."""
    rng = np.random.default_rng(1)
    with_memory, without = Measured(), Measured()
    for number in range(count + 20):
        user = int(rng.integers(people))
        for side, figures in ((memory, with_memory), (none, without)):
            await _decide(side, user, rng, figures if number >= 20 else Measured())
    return _compared(with_memory, without)


async def completions(memory: Side, none: Side, users: Sequence[int], count: int) -> dict[str, Any]:
    """Complete in turn on both sides with a second factor, so that each teaches a sample and makes a template."""
    rng, began = np.random.default_rng(2), time.time()
    with_memory, without = Measured(), Measured()
    BareDecisions.evidence = True  # without a probe that waits there is nothing to learn
    try:
        for number in range(count + 20):
            user = users[int(rng.integers(len(users)))]
            for side, figures in ((memory, with_memory), (none, without)):
                decision = await _decide(side, user, rng, Measured())
                done = partial(
                    side.completer.complete,
                    TENANT,
                    ISSUER,
                    decision,
                    outcome="succeeded",
                    second_factor=True,
                    sid=None,
                    assertion=_assertion(),
                )
                _sure(await (figures if number >= 20 else Measured()).call(done), "a decision was closed before")
    finally:
        BareDecisions.evidence = False
    for side in (memory, none):  # they did teach, each of them, on both sides
        taught = [await side.profiles.taught_since(TENANT, _pseudonym(side, user), began) for user in users]
        _sure(sum(sum(by.values()) for by in taught) == count + 20, "not every completion taught")
    return _compared(with_memory, without)


async def reads(little: Side, much: Side, asked: argparse.Namespace) -> dict[str, Any]:
    """Read people at random, in turn among few and among many."""
    rng = random.Random(3)
    among_few, among_many = Measured(), Measured()
    for number in range(asked.reads + 50):
        for side, users, figures in ((little, asked.few, among_few), (much, asked.users, among_many)):
            subject = _pseudonym(side, rng.randrange(users))
            kept = figures if number >= 50 else Measured()
            found = await kept.call(partial(side.profiles.remembered, TENANT, subject, time.time()))
            whole = found.profiles[0].samples == asked.samples and found.consent.confirmed
            _sure(whole, "what was read is not what was enrolled")
    few, many = among_few.figures(), among_many.figures()
    ratios = {f"ratio_{name.removesuffix('_ms')}": round(many[name] / few[name], 2) for name in few}
    return {"users": [asked.few, asked.users], "among_few": few, "among_many": many, **ratios}


def seed(settings: Settings, users: Sequence[int], samples: int, *, plain: bool = False) -> None:
    """Enroll users as a second factor at every login would have: the same rows, many in one transaction."""
    prepare(key_driver(settings), "keys")
    master = Masters(settings.master)
    enrolled = [_enrolled(settings, person, samples) for person in range(min(PEOPLE, len(users)))]
    sidecar = build(settings)
    pseudonyms = {user: sidecar.keyring.pseudonym(TENANT, f"user-{user}") for user in users}
    sidecar.close()
    data, keys = data_driver(settings).writer(), key_driver(settings).writer()
    for begin in range(0, len(users), BATCH):
        rows: dict[str, list[tuple[Any, ...]]] = {table: [] for table in _INSERTS}
        for user in users[begin : begin + BATCH]:
            subject, identity, key = pseudonyms[user], secrets.token_bytes(KEY_ID_BYTES), secrets.token_bytes(32)
            wrapped = master.wrap(key, *key_place(TENANT, subject, identity))
            rows["user_keys"].append((TENANT, subject, identity, *wrapped))
            seal = PlainSeal() if plain else Seal(key, identity)
            _rows(rows, seal, subject, user, enrolled[user % len(enrolled)])
        for connection, tables in ((keys, ("user_keys",)), (data, tuple(_INSERTS)[1:])):
            _write(connection, {table: rows[table] for table in tables})
    for connection in (data, keys):
        connection.close()


_INSERTS = {
    "user_keys": "(tenant, subject, key_id, master, wrapped)",
    "directory": "(tenant, subject, sealed)",
    "subjects": "(tenant, subject, consent, version, consent_at, confirmed, recording, paused_at, proof)",
    "samples": "(tenant, subject, modality, field, context, decision, evidence, at, confirmed, model, sealed)",
    "templates": "(tenant, subject, modality, field, context, model, serving, samples, confirmed, last_at, checkpoint,"
    " dropped, compared, fitted, sealed)",
    "provenance": "(tenant, subject, password)",
}


@dataclass(frozen=True, slots=True)
class Enrolled:
    """One typist's packed samples and template, and when each sample was taken."""

    samples: list[bytes]
    times: list[float]
    template: bytes
    model: str


def _enrolled(settings: Settings, person: int, samples: int) -> Enrolled:
    known = models(settings)
    rng = np.random.default_rng([person, 7])
    probes = [probe_of(typist(person).login(rng, LENGTH)) for _ in range(samples)]
    times = [float(int(time.time()) - 3600 * (samples - number)) for number in range(samples)]
    taken = [Sample(probe.values, at) for probe, at in zip(probes, times, strict=True)]
    template = known.enroll(known.current, taken, probes[-1].kinds, probes[-1].layout)
    return Enrolled([pack_probe(probe) for probe in probes], times, pack_template(template), known.current)


def _rows(rows: dict[str, list[tuple[Any, ...]]], seal: Seal, subject: str, user: int, person: Enrolled) -> None:
    key = ProfileKey(TENANT, subject, "keystroke", "password", "keyboard")
    who = (TENANT, subject)
    profile = (*who, key.modality, key.field, key.context)
    name = msgspec.json.encode({"id": f"user-{user}", "name": f"Name of user {user}"})
    rows["directory"].append((*who, seal.close(name, "directory", "sealed", *who)))
    said = ("given", "1", person.times[0], 1, None, None)
    rows["subjects"].append((*who, *said, seal.close(b"", *consent_place(*who, *said))))
    for number, (packed, at) in enumerate(zip(person.samples, person.times, strict=True)):
        decision, kind = f"seed {user} {number}", "second_factor"
        sealed = seal.close(packed, *sample_place(key, decision, kind, at, True, person.model))
        rows["samples"].append((*profile, decision, kind, at, 1, person.model, sealed))
    standing = (person.model, 1, len(person.samples), 1, person.times[-1], None, None, 0, 0)
    rows["templates"].append((*profile, *standing, seal.close(person.template, *template_place(key, *standing))))
    rows["provenance"] += [(*who, "typed")] * 5


def _write(connection: Connection, rows: dict[str, list[tuple[Any, ...]]]) -> None:
    connection.execute("BEGIN")
    for table, values in rows.items():
        columns = _INSERTS[table]
        marks = ", ".join("?" * len(columns.split(",")))
        connection.executemany(f"INSERT INTO {table} {columns} VALUES ({marks})", values)  # noqa: S608 - constants
    connection.execute("COMMIT")


async def _decide(side: Side, user: int, rng: np.random.Generator, figures: Measured) -> str:
    typed = hidden_field(typist(user % PEOPLE).login(rng, LENGTH))
    attempt = Attempt(
        tenant=TENANT,
        issuer=ISSUER,
        subject=f"user-{user}",
        name=f"Name of user {user}",
        action="login",
        client=CLIENT,
        attempt=secrets.token_urlsafe(12),
        started_at=None,
        captures=(typed,),
        sid=None,
        ip=None,
        user_agent=None,
    )
    answer = await figures.call(partial(side.assessor.assess, attempt, _assertion(), None))
    _sure(answer.source is Source.SCORED, "a decision was not scored")
    return str(answer.decision_id)


def _sure(condition: bool, otherwise: str) -> None:
    if not condition:
        sys.exit(otherwise)


def _assertion() -> tuple[str, str, int]:
    return (ISSUER, secrets.token_urlsafe(12), int(time.time()) + 60)


def _pseudonym(side: Side, user: int) -> str:
    return side.assessor.keyring.pseudonym(TENANT, f"user-{user}")


def _compared(memory: Measured, none: Measured) -> dict[str, Any]:
    full, bare_ = memory.figures(), none.figures()
    ratios = {f"ratio_{name.removesuffix('_ms')}": round(full[name] / bare_[name], 2) for name in full}
    return {"with": full, "without": bare_, **ratios}


def table(found: dict[str, Any], databases: Sequence[str]) -> Iterator[str]:
    """Return the figures as lines of two Markdown tables."""
    names = {
        "decision": "decision",
        "completion": "completion that teaches",
        "completion_often": f"the same, {LOGGED} samples kept",
    }
    yield "| | database | p50 ms | p95 ms | CPU ms | without: p50 | p95 | CPU | times: p50 | p95 | CPU |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for name, words in names.items():
        for kind in databases:
            row = found[kind][name]
            cells = [
                f"{row[side][what]:.2f}" for side in ("with", "without") for what in ("p50_ms", "p95_ms", "cpu_ms")
            ]
            cells += [f"{row[ratio]:.2f}" for ratio in ("ratio_p50", "ratio_p95", "ratio_cpu")]
            yield f"| {words} | {kind} | {' | '.join(cells)} |"
    yield ""
    yield (
        "| | database | among | p50 ms | p95 ms | CPU p95 | among | p50 ms | p95 ms | CPU p95 | times: p50 | p95 | CPU p95"
        " | bytes a user: data | keys |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
    for kind in databases:
        row, size = found[kind]["reads"], found[kind]["bytes_a_user"]
        cells = []
        for users, side in zip(row["users"], (row["among_few"], row["among_many"]), strict=True):
            cells += [f"{users:,}", *(f"{side[what]:.2f}" for what in ("p50_ms", "p95_ms", "cpu_p95_ms"))]
        cells += [f"{row[ratio]:.2f}" for ratio in ("ratio_p50", "ratio_p95", "ratio_cpu_p95")]
        cells += [f"{size['data']:,}", f"{size['keys']:,}"]
        yield f"| what a login reads | {kind} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
