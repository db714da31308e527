"""Every method of every port, tried with another tenant's ids on both databases; and what keeps tenants' keys apart.

A method that nobody tries here fails ``test_every_method_of_every_port_is_tried``.
"""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from support.postgres import Server
from support.tenants import untouched
from support.world import Clock, carried, make_settings, rows_of

from sidecar import ports
from sidecar.config import IdpSettings, KeySettings
from sidecar.domain.consent import Consent, ConsentState
from sidecar.domain.decisions import Evidence
from sidecar.domain.surroundings import Failure, Past
from sidecar.errors import CaptureRefused, KeyUnknown, NotFound, SealBroken, StorageFailed, TokenReplayed
from sidecar.evaluation.synthetic import probe_of
from sidecar.keyring import batch_seal
from sidecar.main import Sidecar, build
from sidecar.masters import Masters
from sidecar.ports import AuditEntry, DecisionRecord, Enrollment, Lesson, OutboxItem, ProfileKey, SessionEnd
from sidecar.storage.sessions import SqlSessions
from sidecar.usecases.enact import Enactor
from sidecar.usecases.gather import gather
from sidecar.usecases.observe import observe
from sidecar.usecases.open_capture import open_capture
from sidecar.wire import SendBatch, decode_hidden

pytestmark = pytest.mark.anyio
SUBJECT, DIGEST, KEY, JTI = "the-same-subject", "d" * 64, "an-idempotency-key", "the-same-jti"
REPEATED = "e" * 64
NOBODY = "nobody-at-all"


@dataclass
class Place:
    """A sidecar in which tenant ``one`` has somebody about whom there is everything, and ``two`` wants to know."""

    sidecar: Sidecar
    decision: str
    waiting: str
    sealed: bytes
    capture: str
    token: str
    effect: str
    now: float

    def idp(self, tenant: str) -> IdpSettings:
        return next(idp for idp in self.sidecar.settings.idps if idp.tenant == tenant)


def key(tenant: str, subject: str = SUBJECT) -> ProfileKey:
    return ProfileKey(tenant, subject, "keystroke", "password", "keyboard")


def lesson(tenant: str, now: float, number: int = 1) -> Lesson:
    return Lesson(key(tenant), probe_of(rows_of(1, number)), Evidence.SECOND_FACTOR, now, confirmed=True)


def record(sidecar: Sidecar, tenant: str, name: str, now: float, **changed: Any) -> DecisionRecord:
    issuer = next(idp.issuer for idp in sidecar.settings.idps if idp.tenant == tenant)
    made = DecisionRecord(
        id=name,
        tenant=tenant,
        issuer=issuer,
        subject=SUBJECT,
        at=now,
        body={
            "action": "login",
            "answer": {"action": "allow"},
            "facts": {"provenance.password": "typed"},
            "sid": "a-session",
            "client": "app",
        },
        assertion=(issuer, f"jti of {name}", int(now) + 60),
        idempotency=(f"key of {name}", "digest"),
        uses=(f"attempt:{name}",),
        digests=(f"digest of {name}",),
        waiting=(probe_of(rows_of(2, 1)),),
        outbox=(),
        directory={"id": "ann", "name": "Ann"},
    )
    return replace(made, **changed)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
async def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    settings, _ = make_settings(tmp_path_factory.mktemp("tenants"))
    if request.param == "postgresql":
        server: Server = request.getfixturevalue("postgres_server")
        url, keys = server.database("tenants"), server.database("tenants_keys")
        settings = settings.model_copy(update={"database": url, "keys": KeySettings(store=keys)})
        Masters.init(Path(settings.master.partition(":")[2]))
    sidecar = build(settings, Clock())
    try:
        yield await furnished(sidecar)
    finally:
        sidecar.close()


async def furnished(sidecar: Sidecar) -> Place:
    """Give tenant ``one`` a row in every table."""
    now = sidecar.assessor.clock()
    await sidecar.keys.ensure("one", SUBJECT)
    given = Consent(ConsentState.GIVEN, "v1", now, confirmed=True)
    await sidecar.subjects.stand("one", SUBJECT, given, None, "test", now)
    await sidecar.profiles.import_samples([lesson("one", now, number) for number in range(60)], "test")
    await sidecar.recordings.begin("one", "study", "a test", now, now + 60, "test")
    first = record(
        sidecar, "one", "closed", now, idempotency=(KEY, "digest"), digests=(DIGEST, REPEATED), events=("study", b"[]")
    )
    issuer = first.issuer
    first = replace(first, assertion=(issuer, JTI, int(now) + 60))
    second = record(sidecar, "one", "waiting", now)
    for made in (first, second):
        await sidecar.decisions.record(made)
    decision = await sidecar.decisions.get("one", "closed")
    assert decision
    completion = {"outcome": "succeeded", "second_factor": True, "sid": "a-session", "at": now, "taught": []}
    assert await sidecar.profiles.complete(decision, completion, [], (issuer, "jti of completion", int(now) + 60))
    await sidecar.outbox.add(
        [OutboxItem("effect", "one", issuer, "revoke", {"subject": SUBJECT, "decision": "closed"}, 0, now)]
    )
    idp = next(idp for idp in sidecar.settings.idps if idp.tenant == "one")
    capture, token = open_capture(idp, idp.origins[0], "attempt-of-one", sidecar.keyring.captures, now=now)
    sealed_batch = batch_seal(token).close(b"{}", "waiting_batches", capture, "0")
    await sidecar.captures.append(capture, 0, sealed_batch, int(now) + 600)
    sealed = sidecar.keys.seal("one", SUBJECT).close(b"what one knows", "table", "column")
    return Place(sidecar, "closed", "waiting", sealed, capture, token, "effect", now)


Try = Callable[[Place], Awaitable[None]]
TRIES: dict[str, Try] = {}


def trying(name: str) -> Callable[[Try], Try]:
    def kept(attempt: Try) -> Try:
        TRIES[name] = attempt
        return attempt

    return kept


@trying("Assertions.spend")
async def _(at: Place) -> None:
    mine = (at.idp("two").issuer, JTI, int(at.now) + 60)
    await at.sidecar.assertions.spend(mine)  # that tenant one used this jti does not show
    with pytest.raises(TokenReplayed):
        await at.sidecar.assertions.spend(mine)


@trying("Keys.seal")
async def _(at: Place) -> None:
    for subject in (SUBJECT, NOBODY):
        with pytest.raises(KeyUnknown, match="this person has no key"):
            at.sidecar.keys.seal("two", subject)


@trying("Keys.ensure")
async def _(at: Place) -> None:
    await at.sidecar.keys.ensure("two", SUBJECT)
    with pytest.raises(KeyUnknown):
        at.sidecar.keys.seal("two", SUBJECT).open(at.sealed, "table", "column")
    assert await at.sidecar.keys.destroy("two", SUBJECT)


@trying("Keys.destroy")
async def _(at: Place) -> None:
    assert not await at.sidecar.keys.destroy("two", SUBJECT)


@trying("Keys.opener")
async def _(at: Place) -> None:
    with pytest.raises(SealBroken):
        at.sidecar.keys.opener("two", SUBJECT)(at.sealed, "table", "column")


@trying("Keys.open_mine")
async def _(at: Place) -> None:
    with pytest.raises(SealBroken):
        at.sidecar.keys.open_mine("two", SUBJECT, at.sealed, "table", "column")
    assert at.sidecar.keys.open_mine("one", SUBJECT, at.sealed, "table", "column") == b"what one knows"


@trying("Captures.append")
async def _(at: Place) -> None:
    """Batches carry no tenant: whoever holds a capture's token may append to it, and to no other."""
    mine = at.idp("two")
    other, token = open_capture(mine, mine.origins[0], "attempt-of-two", at.sidecar.keyring.captures, now=at.now)
    for capture in (at.capture, NOBODY):
        with pytest.raises(CaptureRefused, match="another capture"):
            await observe(
                at.sidecar.captures, at.sidecar.keyring.captures, capture, mine.origins[0], _batch(token), now=at.now
            )
    assert await at.sidecar.captures.waiting(other) == []


@trying("Captures.waiting")
async def _(at: Place) -> None:
    """Without the token what waits does not open; with it, another tenant's login neither reads nor uses it up."""
    ((_, sealed),) = await at.sidecar.captures.waiting(at.capture)
    with pytest.raises(StorageFailed):
        batch_seal("another token").open(sealed, "waiting_batches", at.capture, "0")
    text = f'{{"v":1,"n":1,"b":[],"c":"{at.capture}","t":"{at.token}"}}'
    assert decode_hidden(text.encode()).t == at.token
    attempt: Any = type("Attempt", (), {"captures": (text,), "attempt": "attempt-of-one", "started_at": None})
    found = await gather(at.sidecar.captures, at.sidecar.keyring.captures, at.idp("two"), attempt, lambda: at.now)
    assert (str(found.evidence), found.uses) == ("foreign", ())


def _batch(token: str) -> SendBatch:
    return SendBatch(token, decode_hidden(carried(7, 1).encode()).b[0])


@trying("Retention.purge")
async def _(at: Place) -> None:
    await at.sidecar.retention.purge(at.now)


@trying("Decisions.record")
async def _(at: Place) -> None:
    """The same idempotency key, jti and digests, in another tenant: no conflict that would tell of them."""
    made = record(at.sidecar, "two", "of-two", at.now, idempotency=(KEY, "another"), digests=(REPEATED,))
    await at.sidecar.keys.ensure("two", SUBJECT)
    await at.sidecar.decisions.record(replace(made, assertion=(made.issuer, "a jti of one", int(at.now) + 60)))
    assert (await at.sidecar.decisions.person("one", SUBJECT))["name"] == "Ann"
    taken = record(at.sidecar, "two", at.decision, at.now, uses=(), digests=(), idempotency=None)
    with pytest.raises(StorageFailed):
        await at.sidecar.decisions.record(taken)
    await at.sidecar.correction.reset("two", SUBJECT, None, None, "test", at.now)
    assert await at.sidecar.decisions.recent(["two"], 10) == []
    await at.sidecar.keys.destroy("two", SUBJECT)


@trying("Decisions.repeated")
async def _(at: Place) -> None:
    assert await at.sidecar.decisions.repeated(at.idp("two").issuer, KEY) is None


@trying("Decisions.get")
async def _(at: Place) -> None:
    assert await at.sidecar.decisions.get("two", at.decision) is None


@trying("Decisions.recent")
async def _(at: Place) -> None:
    assert await at.sidecar.decisions.recent(["two"], 100) == []
    assert await at.sidecar.decisions.recent([], 100) == []
    assert len(await at.sidecar.decisions.recent(["one", "two"], 100)) == 2


@trying("Decisions.seen")
async def _(at: Place) -> None:
    assert not await at.sidecar.decisions.seen("two", [DIGEST])
    assert await at.sidecar.decisions.seen("one", [DIGEST])


@trying("Sessions.running")
async def _(at: Place) -> None:
    sessions = SqlSessions(at.sidecar.database, at.sidecar.decisions)
    assert (await sessions.running("two", SUBJECT, "a-session", at.now)).login is None
    assert (await sessions.running("one", SUBJECT, "a-session", at.now)).login is not None


@trying("Profiles.remembered")
async def _(at: Place) -> None:
    found = await at.sidecar.profiles.remembered("two", SUBJECT, at.now)
    assert found == await at.sidecar.profiles.remembered("two", NOBODY, at.now)
    assert (list(found.profiles), list(found.recordings)) == ([], [])


@trying("Profiles.find")
async def _(at: Place) -> None:
    assert await at.sidecar.profiles.find("two", SUBJECT) == []
    assert len(await at.sidecar.profiles.find("one", SUBJECT)) == 1


@trying("Profiles.usual")
async def _(at: Place) -> None:
    assert await at.sidecar.profiles.usual("two", SUBJECT) == []
    assert len(await at.sidecar.profiles.usual("one", SUBJECT)) == 1


@trying("Profiles.samples")
async def _(at: Place) -> None:
    assert await at.sidecar.profiles.samples(key("two")) == []
    assert len(await at.sidecar.profiles.samples(key("one"))) == 60


@trying("Learning.waiting")
async def _(at: Place) -> None:
    assert await at.sidecar.profiles.waiting("two", at.waiting) == []
    assert len(await at.sidecar.profiles.waiting("one", at.waiting)) == 1


@trying("Learning.taught_since")
async def _(at: Place) -> None:
    assert await at.sidecar.profiles.taught_since("two", SUBJECT, 0) == {}


@trying("Learning.complete")
async def _(at: Place) -> None:
    mine = await at.sidecar.decisions.get("one", at.waiting)
    assert mine
    forged = replace(mine, tenant="two", issuer=at.idp("two").issuer)
    completion = {"outcome": "succeeded", "second_factor": True, "sid": None, "at": at.now}
    jti = (at.idp("two").issuer, "jti of a forged completion", int(at.now) + 60)
    assert not await at.sidecar.profiles.complete(forged, completion, [lesson("two", at.now)], jti)
    assert await at.sidecar.profiles.find("two", SUBJECT) == []


@trying("Learning.begin")
async def _(at: Place) -> None:
    await at.sidecar.keys.ensure("two", SUBJECT)
    entry = AuditEntry("two", "profile.begun", "test", SUBJECT, {"decision": "begun", "on": "registration"}, at.now)
    spent = ("test", "jti of begun", int(at.now) + 60)
    made = Enrollment("begun", "two", SUBJECT, at.now, spent, (), (), None, {"id": "ann", "name": "Ann"}, entry)
    assert await at.sidecar.profiles.begin(made, [lesson("two", at.now)]) == ["password"]
    await at.sidecar.correction.reset("two", SUBJECT, None, None, "test", at.now)
    await at.sidecar.keys.destroy("two", SUBJECT)


@trying("Learning.import_samples")
async def _(at: Place) -> None:
    await at.sidecar.keys.ensure("two", SUBJECT)
    await at.sidecar.profiles.import_samples([lesson("two", at.now)], "test")
    (found,) = await at.sidecar.profiles.find("two", SUBJECT)
    assert found.samples == 1
    await at.sidecar.correction.reset("two", SUBJECT, None, None, "test", at.now)
    await at.sidecar.keys.destroy("two", SUBJECT)


@trying("Correction.reset")
async def _(at: Place) -> None:
    for field in ("password", None):
        await at.sidecar.correction.reset("two", SUBJECT, field, None, "test", at.now)


@trying("Correction.unlearn")
async def _(at: Place) -> None:
    assert await at.sidecar.correction.unlearn("two", SUBJECT, 0, at.now, "test") == {}


@trying("Correction.confirm")
async def _(at: Place) -> None:
    assert await at.sidecar.correction.confirm("two", SUBJECT, "test", at.now) == 0


@trying("Correction.rebuild")
async def _(at: Place) -> None:
    assert await at.sidecar.correction.rebuild("two", SUBJECT, "test", at.now) == {}


@trying("Subjects.consent")
async def _(at: Place) -> None:
    assert await at.sidecar.subjects.consent("two", SUBJECT) == Consent()


@trying("Subjects.stand")
async def _(at: Place) -> None:
    withdrawn = Consent(ConsentState.WITHDRAWN, "v1", at.now)
    await at.sidecar.subjects.stand("two", SUBJECT, withdrawn, None, "test", at.now)
    await at.sidecar.correction.reset("two", SUBJECT, None, None, "test", at.now)


@trying("Surroundings.past")
async def _(at: Place) -> None:
    assert await at.sidecar.surroundings.past("two", SUBJECT) == Past()


@trying("Surroundings.fail")
async def _(at: Place) -> None:
    spent = (at.idp("two").issuer, JTI + "-failure", int(at.now) + 60)
    await at.sidecar.surroundings.fail("two", SUBJECT, Failure(at.now, "a browser of tenant one's"), spent)
    assert await at.sidecar.surroundings.past("two", SUBJECT) == Past()


@trying("Surroundings.mark")
async def _(at: Place) -> None:
    assert not await at.sidecar.surroundings.mark("two", SUBJECT, None, None, "test", at.now)
    await at.sidecar.surroundings.mark("two", SUBJECT, "compromised", None, "test", at.now)
    await at.sidecar.correction.reset("two", SUBJECT, None, None, "test", at.now)


@trying("Directory.person")
async def _(at: Place) -> None:
    assert await at.sidecar.decisions.person("two", SUBJECT) == {}


@trying("Outbox.due")
async def _(at: Place) -> None:
    """Deliveries are everybody's; each item goes to a provider of its own tenant."""
    for item in await at.sidecar.outbox.due(at.now, 100):
        assert at.sidecar.settings.idp(item.issuer).tenant == item.tenant


@trying("Outbox.add")
async def _(at: Place) -> None:
    taken = OutboxItem(at.effect, "two", at.idp("two").issuer, "revoke", {"subject": "x"}, 0, at.now)
    with pytest.raises(StorageFailed):
        await at.sidecar.outbox.add([taken])


@trying("Outbox.fates")
async def _(at: Place) -> None:
    assert await at.sidecar.outbox.fates(["two"], [at.decision]) == {}
    assert await at.sidecar.outbox.fates(["one"], [at.decision]) == {at.decision: SessionEnd("waiting", "session")}


@trying("Outbox.settle")
async def _(at: Place) -> None:
    """By the item's random id, which no route gives or takes."""
    await at.sidecar.outbox.settle("a guess", delivered_at=1.0, error=None, again_at=None)


@trying("Audit.add")
async def _(at: Place) -> None:
    await at.sidecar.audit.add([AuditEntry("two", "test", "two", SUBJECT, {}, at.now)])
    assert await at.sidecar.audit.verify() == []


@trying("Audit.room")
async def _(at: Place) -> None:
    with at.sidecar.audit.room() as later:
        later(AuditEntry("two", "test", "two", SUBJECT, {}, at.now))
    assert await at.sidecar.audit.flush() == 1


@trying("Audit.last_of")
async def _(at: Place) -> None:
    assert await at.sidecar.audit.last_of("two", "decision.completed") is None
    assert await at.sidecar.audit.last_of("one", "decision.completed") is not None


@trying("Audit.entries")
async def _(at: Place) -> None:
    assert {row.entry.tenant for row in await at.sidecar.audit.entries("two", 0, 1000)} <= {"two"}


@trying("SessionEnder.end")
async def _(at: Place) -> None:
    inside = at.sidecar
    enactor = Enactor(inside.outbox, inside.decisions, inside.decisions, {}, inside.assessor.clock)
    told = []
    for decision in (at.decision, "unknown"):
        with pytest.raises(NotFound) as refused:
            await enactor.end_session("two", decision, scope="all", by="Olive")
        told.append(refused.value.message)
    assert told[0] == told[1]


# Policies are the whole installation's: what a rule is about, providers and clients, stands in the file.
INSTALLATION_WIDE = {"Policies", "PolicyFares", "LastGood"}


def test_every_method_of_every_port_is_tried() -> None:
    found = {
        f"{port.__name__}.{name}"
        for port in vars(ports).values()
        if inspect.isclass(port)
        and getattr(port, "_is_protocol", False)
        and port.__module__ == ports.__name__
        and port.__name__ not in INSTALLATION_WIDE
        for name, method in vars(port).items()
        if inspect.isfunction(method) and not name.startswith("_")
    }
    assert len(found) > 30
    assert found == set(TRIES)


@pytest.mark.parametrize("name", list(TRIES))
async def test_sec7_another_tenants_ids_give_and_change_nothing(place: Place, name: str) -> None:
    with untouched(place.sidecar):
        await TRIES[name](place)


async def test_prv6_tenants_have_keys_of_their_own(place: Place) -> None:
    """The same id in two tenants: nothing that is stored tells that it is the same person."""
    ring = place.sidecar.keyring
    mine, other = (ring.pseudonym(tenant, "ann") for tenant in ("one", "two"))
    assert mine != other
    assert (ring.digest("one", mine, b"t"), ring.digest("one", other, b"t")) != (ring.digest("two", mine, b"t"),) * 2
    one, two = ring.tenants["one"], ring.tenants["two"]
    assert len({one.pseudonyms, one.digests, two.pseudonyms, two.digests, ring.captures}) == 5
    for unknown in ("three", "*", ""):
        with pytest.raises(NotFound):
            ring.pseudonym(unknown, "ann")
    again = build(place.sidecar.settings)
    try:
        assert again.keyring.pseudonym("one", "ann") == mine  # and it stays the same
    finally:
        again.close()


async def test_a_key_moved_to_another_tenant_does_not_unwrap(place: Place) -> None:
    """Whoever may write to the key store still cannot make one tenant's key another's."""
    keys = place.sidecar.keys
    (row,) = keys._db.read("SELECT key_id, master, wrapped FROM user_keys WHERE tenant = 'one'")
    moved = (b"moved-id", *row[1:])
    await keys._db.write(lambda to: to.execute("INSERT INTO user_keys VALUES ('two', 'moved', ?, ?, ?)", moved))
    try:
        with pytest.raises(SealBroken):
            keys.seal("two", "moved")
    finally:
        await keys.destroy("two", "moved")
    roots = dict(keys._db.read("SELECT name, wrapped FROM secrets WHERE name LIKE 'tenant %'"))
    await _rooted(keys, roots["tenant two"])
    try:
        with pytest.raises(SealBroken):
            keys.keyring(["one", "two"])
    finally:
        await _rooted(keys, roots["tenant one"])
    assert keys.keyring(["one", "two"]).pseudonym("one", "ann") == place.sidecar.keyring.pseudonym("one", "ann")


async def _rooted(keys: Any, wrapped: bytes) -> None:
    await keys._db.write(lambda to: to.execute("UPDATE secrets SET wrapped = ? WHERE name = 'tenant one'", (wrapped,)))
