"""Tampering by hand: edits of data database and key store in plain SQL, and for each what finds it.

Every kind is done to a copy of one living installation, on SQLite and on PostgreSQL. ``found`` names each command or reading
that must find it and what it must say; ``unseen`` each that is known not to, so that docs/audit.md stays honest.
"""

import asyncio
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from support.postgres import Server
from support.world import carried, rows_of
from typer.testing import CliRunner

from sidecar.cli import app
from sidecar.config import Settings, load_settings
from sidecar.demo.seeding import enroll
from sidecar.domain.consent import Consent, ConsentState
from sidecar.domain.decisions import Attempt, Evidence
from sidecar.errors import GaitkeeperError
from sidecar.evaluation.synthetic import probe_of
from sidecar.main import Sidecar, build, data_driver, key_driver, models
from sidecar.masters import Masters
from sidecar.ports import AuditEntry, Lesson, ProfileKey
from sidecar.storage.chain import row_hash, signed
from sidecar.storage.evidence import Models
from sidecar.storage.profiles import SqlProfiles
from sidecar.storage.witness import Witness

ANN, BEN, CAL, DAN = "ann", "ben", "cal", "dan"
SHADOW = "scaled-manhattan"
ISSUERS = {"one": "http://localhost:8801", "two": "http://localhost:8802"}
Rows = dict[str, list[tuple[Any, ...]]]


# ------------------------------------------------------------------------------------------------ the installation


@dataclass
class Installation:
    """A settings file with its databases, and what was in them earlier."""

    base: Path
    urls: tuple[str, str] | None = None
    names: dict[tuple[str, str], str] = field(default_factory=dict)
    earlier: Rows = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return self.base / "gaitkeeper.toml"

    @property
    def settings(self) -> Settings:
        return load_settings(self.config)

    @property
    def witness(self) -> Path:
        return self.base / "witness.log"

    def write(self) -> None:
        top = f'database = "{self.urls[0]}"\nkeys = {{store = "{self.urls[1]}"}}\n' if self.urls else ""
        idps = "".join(
            f'[[idps]]\ntenant = "{tenant}"\nissuer = "{issuer}"\njwks_file = "jwks.json"\nsite_key = "site-{tenant}"\n'
            f'origins = ["{issuer}"]\n'
            for tenant, issuer in ISSUERS.items()
        )
        self.config.write_text(f'base_url = "http://localhost:8800"\ndata_dir = "data"\n{top}{idps}')

    def dump(self, kind: str = "data") -> Rows:
        driver = data_driver(self.settings) if kind == "data" else key_driver(self.settings)
        connection = driver.reader()
        try:
            return {
                table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in driver.tables(connection)
            }
        finally:
            connection.close()
            driver.close()

    def put_back(self, driver: Any, rows: Rows) -> None:
        connection = driver.writer()
        connection.execute("BEGIN")
        for table, kept in rows.items():
            connection.execute(f"DELETE FROM {table}")
            if kept:
                connection.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(kept[0]))})", kept)
        connection.execute("COMMIT")
        connection.close()
        driver.close()


async def live(installation: Installation) -> None:
    """Some days in the life of an installation: four people, two tenants, consent, learning, an upgrade, signatures."""
    (installation.base / "jwks.json").write_text('{"keys": []}')
    if installation.urls:  # with keys in a database, no master key is made by itself
        Masters.init(installation.settings.data_dir / "keys" / "master.json")
    sidecar = build(installation.settings)
    async with httpx.AsyncClient() as http:
        witness = Witness(f"file:{installation.witness}", http)
        try:
            for tenant, sub, person, samples in (
                ("one", ANN, 7, 12),
                ("one", BEN, 18, 55),
                ("one", CAL, 9, 12),
                ("one", DAN, 11, 12),
                ("two", ANN, 7, 12),
            ):
                probes = [probe_of(rows_of(person, 1000 + number)) for number in range(samples)]
                if (tenant, sub) == ("one", ANN):
                    probes += [probe_of(rows_of(person, 2000 + number), "username") for number in range(samples)]
                await enroll(sidecar, tenant, sub, probes, origin="test")
                installation.names[tenant, sub] = sidecar.keyring.pseudonym(tenant, sub)
            await _in_the_shadow(sidecar, installation.names["one", ANN])
            await log_in(sidecar, ANN, 1)
            await sidecar.audit.checkpoint(sidecar.assessor.clock())
            await witness.deliver(sidecar.audit)
            installation.earlier = installation.dump()
            now = sidecar.assessor.clock()
            await sidecar.subjects.stand(
                "one", installation.names["one", CAL], Consent(ConsentState.WITHDRAWN, "1", now), None, "test", now
            )
            await sidecar.subjects.stand(
                "one",
                installation.names["one", BEN],
                Consent(ConsentState.GIVEN, "test", now, confirmed=False, paused_at=now),
                None,
                "test",
                now,
            )
            await log_in(sidecar, ANN, 2)
            await log_in(sidecar, DAN, 1, person=11)
            await sidecar.correction.unlearn("one", installation.names["one", DAN], now, sidecar.assessor.clock(), "t")
            await sidecar.audit.checkpoint(sidecar.assessor.clock())
            await witness.deliver(sidecar.audit)
            await log_in(sidecar, ANN, 3)
        finally:
            sidecar.close()


async def log_in(sidecar: Sidecar, sub: str, number: int, person: int = 7) -> str:
    """One login that a second factor confirmed, and that taught."""
    issuer = ISSUERS["one"]
    attempt = Attempt(
        "one", issuer, sub, sub, "login", "app", f"attempt-{sub}-{number}", None, (carried(person, number),), None, None,
        None,
    )  # fmt: skip
    answer = await sidecar.assessor.assess(attempt, (issuer, f"e-{sub}-{number}", 2_000_000_000), None)
    closed = await sidecar.completer.complete(
        "one",
        issuer,
        str(answer.decision_id),
        outcome="succeeded",
        second_factor=True,
        sid=None,
        assertion=(issuer, f"c-{sub}-{number}", 2_000_000_000),
    )
    assert closed
    return str(answer.decision_id)


async def _in_the_shadow(sidecar: Sidecar, subject: str) -> None:
    """Let ann's user name have a template of another model beside the serving one."""
    known = models(sidecar.settings)
    coming = Models(SHADOW, known.names, known.enroll, known.ready_samples)
    profiles = SqlProfiles(sidecar.database, sidecar.keys, coming)
    key = ProfileKey("one", subject, "keystroke", "username", "keyboard")
    probe = probe_of(rows_of(7, 2100), "username")
    await profiles.import_samples(
        [Lesson(key, probe, Evidence.SECOND_FACTOR, sidecar.assessor.clock(), confirmed=True)], "test"
    )


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    base = tmp_path_factory.mktemp(f"original-{request.param}")
    urls = None
    if request.param == "postgresql":
        started: Server = request.getfixturevalue("postgres_server")
        urls = (started.database("tampering_data"), started.database("tampering_keys"))
    made = Installation(base, urls)
    made.write()
    asyncio.run(live(made))
    return made


@pytest.fixture
def mine(original: Installation, tmp_path: Path) -> Iterator[Installation]:
    """A copy of the installation, to tamper with; on PostgreSQL the original itself, put right again afterwards."""
    base = tmp_path / "copy"
    shutil.copytree(original.base, base)
    before = original.dump("data"), original.dump("keys")
    yield Installation(base, original.urls, original.names, original.earlier)
    if original.urls:
        original.put_back(data_driver(original.settings), before[0])
        original.put_back(key_driver(original.settings), before[1])


# ------------------------------------------------------------------------------------------------ who tampers


class Hand:
    """Somebody who may write to the databases and has no keys."""

    def __init__(self, installation: Installation) -> None:
        self.earlier = installation.earlier
        self.installation = installation
        self._drivers = (data_driver(installation.settings), key_driver(installation.settings))
        self._data, self._keys = (driver.writer() for driver in self._drivers)
        self.ann, self.ben, self.cal, self.dan = (installation.names["one", who] for who in (ANN, BEN, CAL, DAN))
        self.ann_of_two = installation.names["two", ANN]

    def close(self) -> None:
        for connection, driver in zip((self._data, self._keys), self._drivers, strict=True):
            connection.close()
            driver.close()

    def run(self, sql: str, *values: Any) -> None:
        """Change the data; a statement that changes nothing is no tampering."""
        assert self._data.execute(sql, values).rowcount > 0, sql

    def keys(self, sql: str, *values: Any) -> None:
        """Change the key store."""
        assert self._keys.execute(sql, values).rowcount > 0, sql

    def see(self, sql: str, *values: Any) -> list[Any]:
        return self._data.execute(sql, values).fetchall()

    def see_keys(self, sql: str, *values: Any) -> list[Any]:
        return self._keys.execute(sql, values).fetchall()

    def flip(self, table: str, column: str, where: str, *values: Any) -> None:
        (found, *_) = self.see(f"SELECT {column} FROM {table} WHERE {where}", *values)
        sealed = bytearray(found[0])
        sealed[len(sealed) // 2] ^= 1
        self.run(f"UPDATE {table} SET {column} = ? WHERE {where}", bytes(sealed), *values)

    def swap(self, table: str, column: str, one: tuple[str, Any], other: tuple[str, Any]) -> None:
        """Exchange a column between two rows; a row is (condition, values)."""
        values = []
        for where, who in (one, other):
            rows = self.see(f"SELECT {column} FROM {table} WHERE {where}", *who)
            assert len(rows) == 1, where
            values.append(rows[0][0])
        for (where, who), value in zip((one, other), reversed(values), strict=True):
            self.run(f"UPDATE {table} SET {column} = ? WHERE {where}", value, *who)

    def put_back(self, table: str, chosen: Callable[[tuple[Any, ...]], bool], where: str, *values: Any) -> None:
        """Replace rows by what they were earlier."""
        self._data.execute(f"DELETE FROM {table} WHERE {where}", values)
        rows = [row for row in self.earlier[table] if chosen(row)]
        assert rows
        for row in rows:
            self.run(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", *row)

    def chain(self) -> list[list[Any]]:
        """Rows of tenant one's chain: number, at, kind, actor, subject, details, previous, hash."""
        sql = (
            "SELECT number, at, kind, actor, subject, details, previous, hash FROM audit WHERE tenant = 'one'"
            " ORDER BY number"
        )
        return [list(row) for row in self.see(sql)]

    def forge(self, number: int, previous: str, kind: str = "decision") -> str:
        """Insert a row with a correct hash; return it."""
        entry = AuditEntry("one", kind, "nobody", self.ann, {"forged": True}, 1.0)
        digest = row_hash(number, entry, previous)
        self.run(
            "INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            "one",
            number,
            entry.at,
            entry.kind,
            entry.actor,
            entry.subject,
            '{"forged":true}',
            previous,
            digest,
        )
        return digest

    def rewrite(self, first: int) -> None:
        """Change a row and make all later hashes anew."""
        previous = next(row[7] for row in self.chain() if row[0] == first - 1)
        for number, at, kind, actor, subject, details, _, _ in self.chain():
            if number < first:
                continue
            who = "somebody else" if number == first else actor
            found = msgspec.json.decode(details)
            digest = row_hash(number, AuditEntry("one", kind, who, subject, found, at), previous)
            self.run(
                "UPDATE audit SET actor = ?, previous = ?, hash = ? WHERE tenant = 'one' AND number = ?",
                who,
                previous,
                digest,
                number,
            )
            previous = digest

    def checkpoints(self) -> list[tuple[int, str]]:
        return self.see("SELECT number, hash FROM audit_checkpoints WHERE tenant = 'one' ORDER BY number")

    def sign(self) -> None:
        """Let the sidecar itself append and sign, as it does every minute."""

        async def job() -> None:
            sidecar = build(self.installation.settings)
            try:
                entry = AuditEntry("one", "subject.read", "test", self.ann, {"what": "states"}, 1.0)
                await sidecar.audit.add([entry])
                await sidecar.audit.checkpoint(sidecar.assessor.clock())
            finally:
                sidecar.close()

        asyncio.run(job())


# ------------------------------------------------------------------------------------------------ who finds it

runner = CliRunner()


def command(installation: Installation, *words: str) -> str:
    """Run a command; return what it found, nothing when it ended with success."""
    done = runner.invoke(app, [*words, "-c", str(installation.config)])
    if isinstance(done.exception, GaitkeeperError):
        return done.exception.code
    assert done.exit_code in (0, 1), done.output
    return done.output if done.exit_code else ""


def start(installation: Installation) -> str:
    try:
        build(installation.settings).close()
    except GaitkeeperError as refused:
        return refused.code
    return ""


def reading(installation: Installation, what: Callable[[Sidecar, str], Any]) -> str:
    """Do a reading of ann; return the code it is refused with."""

    async def job() -> str:
        sidecar = build(installation.settings)
        try:
            await what(sidecar, installation.names["one", ANN])
        except GaitkeeperError as refused:
            return refused.code
        finally:
            sidecar.close()
        return ""

    return asyncio.run(job())


async def samples(sidecar: Sidecar, ann: str) -> None:
    await sidecar.profiles.samples(ProfileKey("one", ann, "keystroke", "password", "keyboard"))


async def decisions(sidecar: Sidecar, _: str) -> None:
    for (name,) in sidecar.database.read("SELECT id FROM decisions WHERE tenant = 'one'"):
        await sidecar.decisions.get("one", name)


async def all_logins(sidecar: Sidecar, _: str) -> None:
    await sidecar.profiles.remembered("one", sidecar.keyring.pseudonym("one", CAL), 0.0)
    await sidecar.profiles.remembered("one", sidecar.keyring.pseudonym("one", BEN), 0.0)


FINDERS: dict[str, Callable[[Installation], str]] = {
    "audit verify": lambda mine: command(mine, "audit", "verify"),
    "with the witness": lambda mine: command(mine, "audit", "verify", "--witness", str(mine.witness)),
    "db check": lambda mine: command(mine, "db", "check"),
    "keys check": lambda mine: command(mine, "keys", "check"),
    "start": start,
    "login": lambda mine: reading(mine, lambda sidecar, ann: sidecar.profiles.remembered("one", ann, 0.0)),
    "login of the others": lambda mine: reading(mine, all_logins),
    "completion": lambda mine: reading(mine, lambda sidecar, _: log_in(sidecar, ANN, 9)),
    "samples": lambda mine: reading(mine, samples),
    "decisions": lambda mine: reading(mine, decisions),
    "name": lambda mine: reading(mine, lambda sidecar, ann: sidecar.decisions.person("one", ann)),
}


@dataclass(frozen=True)
class Kind:
    """One kind of edit. ``found``: by whom, in which words; ``unseen``: by whom it is known not to be found."""

    edit: Callable[[Hand], None]
    found: dict[str, str]
    unseen: tuple[str, ...] = ()


PASSWORD = "tenant = 'one' AND subject = ? AND field = 'password'"
BROKEN = "seal_broken"


def template(**found: str) -> dict[str, str]:
    return {"login": BROKEN, "db check": f"templates keystroke password keyboard: {BROKEN}"} | found


def older_template(hand: Hand) -> None:
    chosen = PASSWORD
    hand.put_back("templates", lambda row: row[:2] == ("one", hand.ann) and row[3] == "password", chosen, hand.ann)


def without_last_samples(hand: Hand) -> None:
    older_template(hand)
    hand.put_back("samples", lambda row: row[2] == hand.ann and row[4] == "password", PASSWORD, hand.ann)


def cut_end(hand: Hand) -> None:
    hand.run("DELETE FROM audit WHERE tenant = 'one' AND number > ?", hand.chain()[-3][0])


def cut_end_with_its_signatures(hand: Hand) -> None:
    (head,) = [row for row in hand.earlier["audit_heads"] if row[0] == "one"]
    hand.run("DELETE FROM audit WHERE tenant = 'one' AND number > ?", head[1])
    hand.run("DELETE FROM audit_checkpoints WHERE tenant = 'one' AND number > ?", head[1])
    hand.put_back("audit_heads", lambda row: row == head, "tenant = 'one'")


def cut_beginning(hand: Hand) -> None:
    (first, _) = hand.checkpoints()[0]
    hand.run("DELETE FROM audit WHERE tenant = 'one' AND number <= ?", first)


def no_chain(hand: Hand) -> None:
    for table in ("audit", "audit_checkpoints", "audit_heads"):
        hand.run(f"DELETE FROM {table} WHERE tenant = 'one'")


def exchange(hand: Hand) -> None:
    hand.run("UPDATE audit SET number = 1000 WHERE tenant = 'one' AND number = 3")
    hand.run("UPDATE audit SET number = 3 WHERE tenant = 'one' AND number = 4")
    hand.run("UPDATE audit SET number = 4 WHERE tenant = 'one' AND number = 1000")


def insert_in_the_middle(hand: Hand) -> None:
    for row in reversed(hand.chain()):
        if row[0] >= 5:
            hand.run("UPDATE audit SET number = ? WHERE tenant = 'one' AND number = ?", row[0] + 1, row[0])
    hand.forge(5, hand.chain()[3][7])


def append(hand: Hand) -> None:
    last = hand.chain()[-1]
    hand.forge(last[0] + 1, last[7])


def append_and_wait(hand: Hand) -> None:
    append(hand)
    hand.sign()


def append_with_a_head(hand: Hand) -> None:
    """A head that names the forged row, with the signature of the true one; then the sidecar goes on."""
    last = hand.chain()[-1]
    digest = hand.forge(last[0] + 1, last[7])
    hand.run("UPDATE audit_heads SET number = ?, hash = ? WHERE tenant = 'one'", last[0] + 1, digest)
    hand.sign()


def sign_with_another_key(hand: Hand) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    last = hand.chain()[-1]
    point = signed("one", last[0], last[7], 1.0, Ed25519PrivateKey.generate())
    hand.run("UPDATE audit_heads SET signature = ?, at = 1.0 WHERE tenant = 'one'", point.signature)


def all_later_hashes(hand: Hand) -> None:
    hand.rewrite(4)


def all_later_hashes_and_no_signature(hand: Hand) -> None:
    hand.rewrite(4)
    for table in ("audit_checkpoints", "audit_heads"):
        hand.run(f"DELETE FROM {table} WHERE tenant = 'one'")


def into_another_chain(hand: Hand) -> None:
    last = hand.see("SELECT max(number) FROM audit WHERE tenant = 'two'")[0][0]
    hand.run("UPDATE audit SET tenant = 'two', number = ? WHERE tenant = 'one' AND number = 5", last + 1)


def rename(hand: Hand) -> None:
    for table in ("templates", "samples", "subjects", "directory", "decisions"):
        hand.run(f"UPDATE {table} SET subject = 'somebody' WHERE tenant = 'one' AND subject = ?", hand.ann)


def rename_with_the_key(hand: Hand) -> None:
    rename(hand)
    hand.keys("UPDATE user_keys SET subject = 'somebody' WHERE tenant = 'one' AND subject = ?", hand.ann)


def swap_keys(hand: Hand) -> None:
    values = [
        hand.see_keys("SELECT wrapped FROM user_keys WHERE tenant = 'one' AND subject = ?", who)[0][0]
        for who in (hand.ann, hand.ben)
    ]
    for who, value in zip((hand.ben, hand.ann), values, strict=True):
        hand.keys("UPDATE user_keys SET wrapped = ? WHERE subject = ?", value, who)


def swap_secrets(hand: Hand) -> None:
    one, two = (
        hand.see_keys("SELECT wrapped FROM secrets WHERE name = ?", f"tenant {tenant}")[0][0] for tenant in ISSUERS
    )
    hand.keys("UPDATE secrets SET wrapped = ? WHERE name = 'tenant one'", two)
    hand.keys("UPDATE secrets SET wrapped = ? WHERE name = 'tenant two'", one)


def sample_as_template(hand: Hand) -> None:
    sealed = hand.see(f"SELECT sealed FROM samples WHERE {PASSWORD}", hand.ann)[0][0]
    hand.run(f"UPDATE templates SET sealed = ? WHERE {PASSWORD}", sealed, hand.ann)


def name_as_decision(hand: Hand) -> None:
    sealed = hand.see("SELECT sealed FROM directory WHERE tenant = 'one' AND subject = ?", hand.ann)[0][0]
    hand.run("UPDATE decisions SET body = ? WHERE subject = ?", sealed, hand.ann)


def older_sealed_value(hand: Hand) -> None:
    (row,) = [row for row in hand.earlier["templates"] if row[:2] == ("one", hand.ann) and row[3] == "password"]
    hand.run(f"UPDATE templates SET sealed = ? WHERE {PASSWORD}", row[-1], hand.ann)


def two_samples(hand: Hand) -> None:
    one, two = hand.see(f"SELECT number FROM samples WHERE {PASSWORD} ORDER BY number LIMIT 2", hand.ann)
    hand.swap("samples", "sealed", ("number = ?", one), ("number = ?", two))


def two_decisions(hand: Hand) -> None:
    one, two = hand.see("SELECT number FROM decisions WHERE subject = ? ORDER BY number LIMIT 2", hand.ann)
    hand.swap("decisions", "body", ("number = ?", one), ("number = ?", two))


def swapped_templates(one: str, one_who: str, other: str, other_who: str) -> Callable[[Hand], None]:
    def edit(hand: Hand) -> None:
        hand.swap("templates", "sealed", (one, (getattr(hand, one_who),)), (other, (getattr(hand, other_who),)))

    return edit


def change(sql: str, *who: str) -> Callable[[Hand], None]:
    return lambda hand: hand.run(sql, *(getattr(hand, name) for name in who))


def change_template(what: str) -> Callable[[Hand], None]:
    return change(f"UPDATE templates SET {what} WHERE {PASSWORD}", "ann")


def change_newest_sample(what: str) -> Callable[[Hand], None]:
    return change(f"UPDATE samples SET {what} WHERE number = (SELECT max(number) FROM samples WHERE {PASSWORD})", "ann")


USERNAME = "tenant = 'one' AND subject = ? AND field = 'username'"
SERVING, COMING = f"{USERNAME} AND serving = 1", f"{USERNAME} AND serving = 0"
SAMPLE = {"samples": BROKEN, "completion": BROKEN, "db check": f": {BROKEN}"}
CONSENT = {"login of the others": BROKEN, "db check": f": {BROKEN}"}
DECISION = {"decisions": BROKEN, "db check": f": {BROKEN}"}

KINDS: dict[str, Kind] = {
    # A sealed value changed or moved.
    "a bit of a template": Kind(lambda hand: hand.flip("templates", "sealed", PASSWORD, hand.ann), template()),
    "a template cut short": Kind(
        change(f"UPDATE templates SET sealed = substr(sealed, 1, length(sealed) - 1) WHERE {PASSWORD}", "ann"),
        template(),
    ),
    "a bit of a sample": Kind(
        lambda hand: hand.flip(
            "samples", "sealed", f"number = (SELECT max(number) FROM samples WHERE {PASSWORD})", hand.ann
        ),
        SAMPLE,
    ),
    "a bit of a decision": Kind(
        lambda hand: hand.flip("decisions", "body", "number = (SELECT max(number) FROM decisions)"), DECISION
    ),
    "a bit of a name": Kind(
        lambda hand: hand.flip("directory", "sealed", "tenant = 'one' AND subject = ?", hand.ann),
        {"name": BROKEN, "db check": f"directory {{ann}}: {BROKEN}"},
    ),
    "a bit of a copy of a template": Kind(
        lambda hand: hand.flip("checkpoints", "sealed", "subject = ?", hand.ben),
        {"db check": "checkpoints keystroke password keyboard"},
    ),
    "templates of two people exchanged": Kind(swapped_templates(PASSWORD, "ann", PASSWORD, "ben"), template()),
    "templates of two tenants exchanged": Kind(
        swapped_templates(PASSWORD, "ann", "tenant = 'two' AND subject = ?", "ann_of_two"), template()
    ),
    "templates of two fields exchanged": Kind(swapped_templates(PASSWORD, "ann", SERVING, "ann"), template()),
    "templates of two models exchanged": Kind(
        swapped_templates(SERVING, "ann", COMING, "ann"),
        {"login": BROKEN, "db check": f"templates keystroke username keyboard: {BROKEN}"},
    ),
    "samples of two logins exchanged": Kind(two_samples, SAMPLE),
    "bodies of two decisions exchanged": Kind(two_decisions, DECISION),
    "a sample in the place of a template": Kind(sample_as_template, template()),
    "a name in the place of a decision": Kind(name_as_decision, DECISION),
    # Something that stands in clear.
    "a template's number of samples raised": Kind(change_template("samples = 500"), template(completion=BROKEN)),
    "a template's age": Kind(change_template("last_at = last_at + 1"), template()),
    "a profile said to be confirmed": Kind(change_template("confirmed = 1 - confirmed"), template()),
    "a profile that no longer serves": Kind(change_template("serving = 0"), template()),
    "a coming model said to fit": Kind(
        change(f"UPDATE templates SET compared = 5, fitted = 5 WHERE {COMING}", "ann"),
        {"login": BROKEN, "db check": f"templates keystroke username keyboard: {BROKEN}"},
    ),
    "a coming model said to serve": Kind(
        change(f"UPDATE templates SET serving = 1 - serving WHERE {USERNAME}", "ann"), {"login": BROKEN}
    ),
    "what confirmed a sample": Kind(change_newest_sample("evidence = 'administrator'"), SAMPLE),
    "when a sample was taken": Kind(change_newest_sample("at = at - 1000000"), SAMPLE),
    "a sample taken back counts again": Kind(
        change("UPDATE samples SET unlearned = NULL WHERE unlearned IS NOT NULL AND subject = ?", "dan"),
        {"db check": "count again, after they were taken back"},
        ("login",),
    ),
    "a withdrawal made a consent": Kind(
        change("UPDATE subjects SET consent = 'given', confirmed = 1 WHERE tenant = 'one' AND subject = ?", "cal"),
        CONSENT,
    ),
    "a consent said to be confirmed": Kind(
        change("UPDATE subjects SET confirmed = 1 WHERE tenant = 'one' AND subject = ?", "ben"), CONSENT
    ),
    "a pause ended": Kind(
        change("UPDATE subjects SET paused_at = NULL WHERE tenant = 'one' AND subject = ?", "ben"), CONSENT
    ),
    "a person's consent removed": Kind(
        change("DELETE FROM subjects WHERE tenant = 'one' AND subject = ?", "cal"),
        {"db check": "subjects {cal}: stands otherwise than the audit chain says"},
    ),
    "a decision moved to another time": Kind(
        change("UPDATE decisions SET at = at - 1000 WHERE subject = ?", "ann"), DECISION
    ),
    "a decision given to another person": Kind(
        change("UPDATE decisions SET subject = 'x' || subject WHERE subject = ?", "ann"), DECISION
    ),
    "how a login ended": Kind(
        change(
            "UPDATE decisions SET completion = replace(completion, 'succeeded', 'abandoned') WHERE subject = ?", "ann"
        ),
        {"db check": "ended otherwise than the audit chain says"},
    ),
    "a login no longer completed": Kind(
        change("UPDATE decisions SET completion = NULL WHERE subject = ?", "ann"),
        {"db check": "ended otherwise than the audit chain says"},
    ),
    "a decision removed": Kind(
        change("DELETE FROM decisions WHERE subject = ?", "dan"),
        {"db check": "is gone, and the audit chain knows it"},
    ),
    "a pseudonym renamed": Kind(rename, {"db check": f"templates keystroke password keyboard: {BROKEN}"}),
    "a pseudonym renamed in the key store too": Kind(
        rename_with_the_key, {"keys check": f"one/somebody: {BROKEN}", "db check": f"one/somebody: {BROKEN}"}
    ),
    # Something older of the same row.
    "an older sealed template": Kind(older_sealed_value, template()),
    "an older row of a template": Kind(
        older_template,
        {"db check": "templates keystroke password keyboard: is not what its samples make of it"},
        ("login",),
    ),
    "an older template with its samples": Kind(
        without_last_samples, {"db check": "samples password"}, ("login", "audit verify")
    ),
    "an older consent": Kind(
        lambda hand: hand.put_back(
            "subjects", lambda row: row[:2] == ("one", hand.cal), "tenant = 'one' AND subject = ?", hand.cal
        ),
        {"db check": "subjects {cal}: stands otherwise than the audit chain says"},
        ("login of the others",),
    ),
    # Keys and schema.
    "two users' keys exchanged": Kind(swap_keys, {"login": BROKEN, "keys check": f": {BROKEN}", "completion": BROKEN}),
    "a user's key overwritten": Kind(
        lambda hand: hand.keys(
            "UPDATE user_keys SET wrapped = ? WHERE tenant = 'one' AND subject = ?", bytes(101), hand.ann
        ),
        {"login": BROKEN, "keys check": "one/{ann}: "},
    ),
    "the id of a user's key, so that all seems forgotten": Kind(
        lambda hand: hand.keys(
            "UPDATE user_keys SET key_id = ? WHERE tenant = 'one' AND subject = ?", b"12345678", hand.ann
        ),
        {"login": BROKEN, "keys check": f"one/{{ann}}: {BROKEN}"},
    ),
    "the master key a user's key names": Kind(
        lambda hand: hand.keys(
            "UPDATE user_keys SET master = '00000000' WHERE tenant = 'one' AND subject = ?", hand.ann
        ),
        {"login": "master_key_unknown", "keys check": "one/{ann}: master_key_unknown"},
    ),
    "two tenants' secrets exchanged": Kind(swap_secrets, {"start": BROKEN}),
    "the schema's number raised": Kind(
        lambda hand: hand.run("INSERT INTO schema_version VALUES (9999, 'coming', 0)"), {"start": "schema_newer"}
    ),
    "the schema's number lowered": Kind(
        lambda hand: hand.run("DELETE FROM schema_version WHERE number = (SELECT max(number) FROM schema_version)"),
        {"start": "schema_old"},
    ),
    # The audit chain.
    "what an audit row tells": Kind(
        lambda hand: hand.run("UPDATE audit SET details = '{}' WHERE tenant = 'one' AND number = 4"),
        {"audit verify": "one, row 4: the row was changed", "db check": "row 4: the row was changed"},
    ),
    "who an audit row names": Kind(
        lambda hand: hand.run("UPDATE audit SET actor = 'x', subject = 'y' WHERE tenant = 'one' AND number = 4"),
        {"audit verify": "one, row 4: the row was changed"},
    ),
    "an audit row moved": Kind(
        lambda hand: hand.run("UPDATE audit SET number = 1000 WHERE tenant = 'one' AND number = 4"),
        {"audit verify": "one, row 4: rows 4 to 4 are gone"},
    ),
    "an audit row moved to another chain": Kind(
        into_another_chain, {"audit verify": "one, row 5: rows 5 to 5 are gone"}
    ),
    "two audit rows exchanged": Kind(exchange, {"audit verify": "one, row 3: the row does not follow"}),
    "the first audit row removed": Kind(
        lambda hand: hand.run("DELETE FROM audit WHERE tenant = 'one' AND number = 1"),
        {"audit verify": "one, row 1: rows 1 to 1 are gone"},
    ),
    "an audit row in the middle removed": Kind(
        lambda hand: hand.run("DELETE FROM audit WHERE tenant = 'one' AND number = 5"),
        {"audit verify": "one, row 5: rows 5 to 5 are gone"},
    ),
    "the last audit row removed": Kind(
        lambda hand: hand.run("DELETE FROM audit WHERE tenant = 'one' AND number = ?", hand.chain()[-1][0]),
        {"audit verify": "the end is cut off: rows up to"},
    ),
    "the end of the chain cut off": Kind(cut_end, {"audit verify": "the end is cut off: rows up to"}),
    "the beginning cut off at a checkpoint, as retention would": Kind(
        cut_beginning, {"audit verify": "one, row 1: rows 1 to 11 are gone"}
    ),
    "a forged audit row inserted": Kind(insert_in_the_middle, {"audit verify": "one, row 6: the row does not follow"}),
    "a forged audit row appended": Kind(append, {"audit verify": "were written by no sidecar"}),
    "a forged audit row appended, and the sidecar goes on": Kind(
        append_and_wait, {"audit verify": "the row does not follow the one before it"}
    ),
    "a forged audit row appended and named as the end": Kind(
        append_with_a_head, {"audit verify": "the signature of the newest row does not hold"}
    ),
    "a row changed and all later hashes made anew": Kind(
        all_later_hashes, {"audit verify": "the row is not the one that was signed"}
    ),
    "the same, and all signatures removed": Kind(
        all_later_hashes_and_no_signature,
        {
            "audit verify": "the newest row is not signed",
            "with the witness": "the row is not the one that the second place knows",
        },
    ),
    "a checkpoint changed": Kind(
        lambda hand: hand.run("UPDATE audit_checkpoints SET at = at + 1 WHERE tenant = 'one'"),
        {"audit verify": "the signature of a checkpoint does not hold"},
    ),
    "all checkpoints removed": Kind(
        lambda hand: hand.run("DELETE FROM audit_checkpoints WHERE tenant = 'one'"),
        {"with the witness": "a checkpoint that the second place knows is gone"},
        ("audit verify",),
    ),
    "the end signed with another key": Kind(
        sign_with_another_key, {"audit verify": "the signature of the newest row does not hold"}
    ),
    "the end cut off, and the older signatures put back": Kind(
        cut_end_with_its_signatures,
        {"with the witness": "the end is cut off: the second place knows"},
        ("audit verify",),
    ),
    "the whole chain removed": Kind(
        no_chain, {"with the witness": "the end is cut off: the second place knows"}, ("audit verify",)
    ),
}


# ------------------------------------------------------------------------------------------------ the tests


def test_an_installation_that_nobody_touched_has_nothing_to_find(mine: Installation) -> None:
    assert {name: find(mine) for name, find in FINDERS.items()} == dict.fromkeys(FINDERS, "")


@pytest.mark.parametrize("kind", KINDS)
def test_tampering_is_found(mine: Installation, kind: str) -> None:
    hand = Hand(mine)
    try:
        KINDS[kind].edit(hand)
    finally:
        hand.close()
    known = {"ann": hand.ann, "cal": hand.cal}
    for name, words in KINDS[kind].found.items():
        said = FINDERS[name](mine)
        assert words.format(**known) in said, f"{name} says {said or 'nothing'}"
    for name in KINDS[kind].unseen:
        assert FINDERS[name](mine) == ""


def test_what_was_changed_is_made_anew_from_the_samples(mine: Installation) -> None:
    hand = Hand(mine)
    try:
        change_template("samples = 500, confirmed = 0")(hand)
        hand.flip("templates", "sealed", SERVING, hand.ann)
    finally:
        hand.close()
    assert "was different, and is made anew" in command(mine, "profile", "rebuild", ANN, "--tenant", "one")
    assert command(mine, "db", "check") == ""
    assert FINDERS["login"](mine) == ""


def test_one_changed_row_does_not_keep_everybodys_samples(mine: Installation) -> None:
    async def retire(after_days: float) -> int:
        sidecar = build(mine.settings)
        try:
            await sidecar.retention.retire(sidecar.assessor.clock() + after_days * 86_400)
            return int(sidecar.database.read("SELECT count(*) FROM samples")[0][0])
        finally:
            sidecar.close()

    assert asyncio.run(retire(399)) > 100
    hand = Hand(mine)
    try:
        change_template("samples = 500")(hand)
        hand.flip("samples", "sealed", f"number = (SELECT min(number) FROM samples WHERE {PASSWORD})", hand.ben)
    finally:
        hand.close()
    assert asyncio.run(retire(400.5)) == 0
