"""What must be a row of the audit chain is one, in the words it should be, and no row says more than it may (SEC7, PRV6)."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pysqlite3.dbapi2 import connect
from support.operators import OWNER, acting, known_person
from support.world import World, carried

import sidecar
from sidecar.administration import db as db_commands
from sidecar.administration import keys as key_commands
from sidecar.administration import profile as profile_commands
from sidecar.administration import recording as recording_commands
from sidecar.administration import subject as subject_commands
from sidecar.administration.opened import by
from sidecar.administration.recalibrate import recalibrate
from sidecar.config import AuditSettings
from sidecar.main import build
from sidecar.shipped import policy_directory

pytestmark = pytest.mark.anyio
API = "/operator/api"
MOMENTS_AND_COUNTS = {"since", "ends", "expires", "samples", "faults", "people"}
logins = iter(range(40_000, 10**6))


@dataclass(frozen=True)
class Line:
    """A row as it should be: kind, who did it, and what its details must say. ``*`` is the installation's chain."""

    kind: str
    actor: str
    details: dict[str, Any] = field(default_factory=dict)
    chain: str = "one"
    about_somebody: bool = True


@dataclass(frozen=True)
class Case:
    """Somebody with a profile who signed in by ``decision``."""

    world: World
    sub: str
    decision: str

    @property
    def person(self) -> dict[str, Any]:
        return {"subject": {"id": self.sub}}

    async def told(self, path: str, payload: dict[str, Any] | None = None, status: int = 200) -> None:
        response = await self.world.idp.post(path, self.person | (payload or {}))
        assert response.status_code == status, response.text

    async def operated(self, method: str, path: str, status: int = 200, **extra: Any) -> None:
        response = await self.world.http.request(
            method, path, headers=acting(self.world, name=f"Olive-{self.sub}"), **extra
        )
        assert response.status_code == status, response.text

    async def commanded(self, command: Callable[..., Any], *words: Any, **options: Any) -> None:
        await asyncio.to_thread(command, self.world.settings, *words, **options)

    async def evaluated(self, **extra: Any) -> None:
        await self.world.idp.evaluate(self.sub, carried(OWNER, next(logins)), **extra)


IDP, OPERATOR, SHELL = "http://localhost:8801", "the operator", by()
PERSON, DECISION = API + "/subjects/one/{}", API + "/decisions/one/{}"
Act = Callable[[Case], Awaitable[None]]


def consent(given: bool, **extra: Any) -> dict[str, Any]:
    return {"given": given, "version": "v2"} | extra


def stands(actor: str, state: str, paused: bool = False) -> Line:
    return Line("subject.stands", actor, {"state": state, "paused": paused})


ACTS: dict[str, tuple[Act, list[Line]]] = {
    "decision": (lambda at: at.evaluated(), [Line("decision", IDP, {"action": "allow", "rule": "outcome.match"})]),
    "consent told in a login": (
        lambda at: at.evaluated(consent=consent(True)),
        [stands(IDP, "given"), Line("decision", IDP)],
    ),
    "withdrawal told in a login": (
        lambda at: at.evaluated(consent=consent(False)),
        [stands(IDP, "withdrawn"), Line("decision", IDP)],
    ),
    "completion": (
        lambda at: at.world.idp.login(at.sub, carried(OWNER, next(logins)), second_factor=True),
        [Line("decision", IDP), Line("decision.completed", IDP, {"outcome": "succeeded", "taught": ["password"]})],
    ),
    "completion that comes again": (lambda at: at.world.idp.complete(at.decision), []),
    "logout": (lambda at: at.told("/v1/events", {"type": "logout"}, 204), []),
    "password changed": (
        lambda at: at.told("/v1/events", {"type": "password_changed"}, 204),
        [Line("profile.reset", IDP, {"field": "password"})],
    ),
    "account deleted": (
        lambda at: at.told("/v1/events", {"type": "account_deleted"}, 204),
        [Line("subject.forgotten", IDP)],
    ),
    "profiles read": (lambda at: at.told("/v1/profiles"), [Line("subject.read", IDP, {"what": "states"})]),
    "shown": (lambda at: at.told("/v1/subjects/show"), [Line("subject.read", IDP, {"what": "states"})]),
    "exported": (lambda at: at.told("/v1/subjects/export"), [Line("subject.read", IDP, {"what": "everything"})]),
    "consent": (lambda at: at.told("/v1/subjects/consent", consent(True)), [stands(IDP, "given")]),
    "withdrawal": (lambda at: at.told("/v1/subjects/consent", consent(False)), [stands(IDP, "withdrawn")]),
    "pause": (lambda at: at.told("/v1/subjects/pause"), [stands(IDP, "given", paused=True)]),
    "resume": (lambda at: at.told("/v1/subjects/resume"), [stands(IDP, "given")]),
    "forget": (lambda at: at.told("/v1/subjects/forget"), [Line("subject.forgotten", IDP)]),
    "decisions listed": (
        lambda at: at.operated("GET", API + "/decisions"),
        [Line("decisions.read", OPERATOR, {"names": False, "why": False}, tenant, False) for tenant in ("one", "two")],
    ),
    "decision explained": (
        lambda at: at.operated("GET", DECISION.format(at.decision)),
        [Line("decision.read", OPERATOR)],
    ),
    "shown to an operator": (
        lambda at: at.operated("GET", PERSON.format(at.sub)),
        [Line("subject.read", OPERATOR, {"what": "states"})],
    ),
    "exported by an operator": (
        lambda at: at.operated("GET", PERSON.format(at.sub) + "/export"),
        [Line("subject.read", OPERATOR, {"what": "everything"})],
    ),
    "paused by an operator": (
        lambda at: at.operated("POST", PERSON.format(at.sub) + "/pause"),
        [stands(OPERATOR, "given", paused=True)],
    ),
    "resumed by an operator": (
        lambda at: at.operated("POST", PERSON.format(at.sub) + "/resume"),
        [stands(OPERATOR, "given")],
    ),
    "forgotten by an operator": (
        lambda at: at.operated("POST", PERSON.format(at.sub) + "/forget"),
        [Line("subject.forgotten", OPERATOR)],
    ),
    "reset by an operator": (
        lambda at: at.operated("POST", PERSON.format(at.sub) + "/reset", json={"field": "username"}),
        [Line("profile.reset", OPERATOR, {"field": "username"})],
    ),
    "unlearned by an operator": (
        lambda at: at.operated("POST", PERSON.format(at.sub) + "/unlearn", json={"since": 1.0}),
        [Line("profile.unlearned", OPERATOR, {"since": 1.0})],
    ),
    "rebuilt by an operator": (
        lambda at: at.operated("POST", PERSON.format(at.sub) + "/rebuild"),
        [Line("profile.rebuilt", OPERATOR)],
    ),
    "vouched for by an operator": (
        lambda at: at.operated("POST", PERSON.format(at.sub) + "/confirm"),
        [Line("profile.confirmed", OPERATOR, {"samples": 0})],
    ),
    "vouched for at the shell": (
        lambda at: at.commanded(profile_commands.confirm, "one", at.sub),
        [Line("profile.confirmed", SHELL)],
    ),
    "session ended through the API": (
        lambda at: at.operated("POST", DECISION.format(at.decision) + "/end", 202),
        [Line("session.ended_by_operator", OPERATOR, {"scope": "session"})],
    ),
    "sessions ended on the page": (
        lambda at: at.operated(
            "POST", f"/operator/decisions/one/{at.decision}/end", 303, data={"csrf": "right", "scope": "all"}
        ),
        [Line("session.ended_by_operator", OPERATOR, {"scope": "all"})],
    ),
    "shown at the shell": (
        lambda at: at.commanded(subject_commands.show, "one", at.sub),
        [Line("subject.read", SHELL, {"what": "states"})],
    ),
    "exported at the shell": (
        lambda at: at.commanded(subject_commands.export, "one", at.sub),
        [Line("subject.read", SHELL, {"what": "everything"})],
    ),
    "paused at the shell": (
        lambda at: at.commanded(subject_commands.pause, "one", at.sub, paused=True),
        [stands(SHELL, "given", paused=True)],
    ),
    "forgotten at the shell": (
        lambda at: at.commanded(subject_commands.forget, "one", at.sub),
        [Line("subject.forgotten", SHELL)],
    ),
    "reset at the shell": (
        lambda at: at.commanded(profile_commands.reset, "one", at.sub, "password"),
        [Line("profile.reset", SHELL, {"field": "password"})],
    ),
    "unlearned at the shell": (
        lambda at: at.commanded(profile_commands.unlearn, "one", at.sub, "2026-01-01"),
        [Line("profile.unlearned", SHELL)],
    ),
    "rebuilt at the shell": (
        lambda at: at.commanded(profile_commands.rebuild, "one", at.sub),
        [Line("profile.rebuilt", SHELL, {"same": {"password (keyboard)": True}})],
    ),
    "recording begun": (
        lambda at: at.commanded(recording_commands.begin, "one", at.decision, "a study", 1.0),
        [Line("recording.began", SHELL, {"purpose": "a study"}, "one", False)],
    ),
    "marked by an operator": (
        lambda at: at.operated("POST", PERSON.format(at.sub) + "/mark", json={"mark": "safe"}),
        [Line("subject.marked", OPERATOR, {"mark": "safe"})],
    ),
    "marked at the shell": (
        lambda at: at.commanded(subject_commands.mark, "one", at.sub, "compromised", 1.0),
        [Line("subject.marked", SHELL, {"mark": "compromised"})],
    ),
    "scores as shipped": (
        lambda at: at.commanded(recalibrate, "one", reset=True, dry=False, progress=lambda _: None),
        [Line("scores.recalibrated", SHELL, {"scale": None}, about_somebody=False)],
    ),
    "samples imported": (
        lambda at: at.world.enroll(at.sub, OWNER, 3),
        [stands("test", "given"), Line("samples.imported", "administration", {"samples": 3})],
    ),
    "keys rotated": (
        lambda at: at.commanded(key_commands.rotate),
        [Line(kind, SHELL, {}, "*", False) for kind in ("keys.rotated", "keys.rewrapped")],
    ),
    "keys rewrapped": (lambda at: at.commanded(key_commands.rewrap), [Line("keys.rewrapped", SHELL, {}, "*", False)]),
    "keys pruned": (lambda at: at.commanded(key_commands.prune), [Line("keys.pruned", SHELL, {}, "*", False)]),
    "keys checked": (
        lambda at: at.commanded(key_commands.check),
        [Line("keys.checked", SHELL, {"faults": 0}, "*", False)],
    ),
    "data backed up": (
        lambda at: at.commanded(
            db_commands.backup, "data", at.world.settings.data_dir.parent / f"{at.sub}-{next(logins)}.backup"
        ),
        [Line("db.backed_up", SHELL, {"of": "data"}, "*", False)],
    ),
}


async def _page_twice(at: Case) -> None:
    for _ in range(2):  # a page that is open asks every other second; one note says that it was open
        await at.operated("GET", "/operator/rows")


async def _recording_ended(at: Case) -> None:
    await at.commanded(recording_commands.begin, "one", at.decision, "a study", 1.0)
    await at.commanded(recording_commands.end, "one", at.decision)


async def _new_password(at: Case) -> None:
    await at.told("/v1/events", {"type": "password_changed"}, 204)
    assert (await at.world.idp.begin(at.sub, carried(OWNER, next(logins)), "password_changed")).status_code == 200


ACTS["profile begun"] = (
    _new_password,
    [Line("profile.reset", IDP), Line("profile.begun", IDP, {"on": "password_changed", "taught": ["password"]})],
)
ACTS["page watched"] = (
    _page_twice,
    [Line("decisions.read", OPERATOR, {"names": True, "why": True}, tenant, False) for tenant in ("one", "two")],
)
ACTS["recording ended"] = (
    _recording_ended,
    [Line(f"recording.{what}", SHELL, {}, "one", False) for what in ("began", "ended")],
)


def rows(world: World) -> list[Any]:
    names = ("tenant", "number", "at", "kind", "actor", "subject", "details", "previous", "hash")
    return [dict(zip(names, row, strict=True)) for row in sorted(world.rows("audit"), key=lambda row: row[2])]


def kinds_in_the_code() -> set[str]:
    text = "".join(path.read_text() for path in Path(sidecar.__file__).parent.rglob("*.py"))
    direct = re.findall(r'AuditEntry\(\s*[\w.\[\]]+,\s*"([a-z_.]+)"', text)
    # The kind of an operator's end depends on the scope; that of accounts (account.disabled_by_operator) is tried in test_enact.
    named = {"policy.loaded", "session.ended_by_operator"}
    return {*direct, *re.findall(r'noted\(settings, "([a-z_.]+)"', text), *named}


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with World.running(tmp_path_factory.mktemp("audit"), operator=True) as running:
        yield running


async def case_of(world: World) -> Case:
    sub = f"planted-{next(logins)}"
    return Case(world, sub, await known_person(world, sub))


class TestRows:
    @pytest.mark.parametrize("name", list(ACTS))
    async def test_sec7_is_a_row(self, shared: World, name: str) -> None:
        """Exactly the rows that it should be: none is missing, and nothing is noted that did not happen."""
        act, wanted = ACTS[name]
        case = await case_of(shared)
        before = {(row["tenant"], row["number"]) for row in rows(shared)}
        await act(case)
        made = [row for row in rows(shared) if (row["tenant"], row["number"]) not in before]
        assert sorted((row["tenant"], row["kind"]) for row in made) == sorted(
            (line.chain, line.kind) for line in wanted
        )
        for line in wanted:
            (row,) = [row for row in made if (row["tenant"], row["kind"]) == (line.chain, line.kind)]
            assert row["actor"] == (f"Olive-{case.sub}" if line.actor == OPERATOR else line.actor)
            assert row["subject"] == (shared.pseudonym(case.sub) if line.about_somebody else "")
            details = msgspec.json.decode(row["details"])
            assert {key: details[key] for key in line.details} == line.details

    async def test_sec7_after_all_of_it_the_chains_hold_and_no_row_says_too_much(self, shared: World) -> None:
        for act, _ in ACTS.values():
            await act(await case_of(shared))
        assert await shared.inside.audit.verify() == []
        found = rows(shared)
        assert {row["kind"] for row in found} | {"keys.made", "db.migrated"} == kinds_in_the_code()
        text = repr([row | {"actor": ""} if row["actor"].startswith("Olive") else row for row in found])
        for planted in ("planted", "Name of", "sid of", "localhost:8802/"):
            assert planted not in text
        for row in found:
            for name, number in _numbers(msgspec.json.decode(row["details"])):
                assert name in MOMENTS_AND_COUNTS, (row["kind"], name, number)

    async def test_sec7_a_replayed_call_is_no_row_and_forgets_nobody(self, shared: World) -> None:
        """The key of a new account went when an old call to forget was sent again; only then was the call refused."""
        case = await case_of(shared)
        body = msgspec.json.encode({"type": "account_deleted"} | case.person)
        token = shared.idp.token("/v1/events", body)
        assert (await shared.idp.post("/v1/events", body, token=token)).status_code == 204
        await shared.enroll(case.sub, OWNER)
        before = rows(shared)
        assert (await shared.idp.post("/v1/events", body, token=token)).json()["error"] == "token_replayed"
        assert rows(shared) == before
        assert (await shared.idp.profiles(case.sub))["password"]["state"] == "ready"


def _numbers(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _numbers(part, key)
    elif isinstance(value, list):
        for part in value:
            yield from _numbers(part, name)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield name, value


async def test_sec7_another_policy_is_a_row_and_the_same_one_is_not(tmp_path: Path) -> None:
    text = (policy_directory() / "default.yaml").read_text()
    policy = tmp_path / "policy.yaml"
    for wanted in (text, text, text + "\n# another wording\n", text):
        policy.write_text(wanted)
        async with World.running(tmp_path, policy=policy) as world:
            loaded = [row for row in rows(world) if row["kind"] == "policy.loaded"]
    digests = [msgspec.json.decode(row["details"])["sha256"] for row in loaded]
    assert len(digests) == 3
    assert digests[0] == digests[2] != digests[1]
    assert {row["tenant"] for row in loaded} == {"*"}


async def test_sec7_keys_made_are_a_row(tmp_path: Path) -> None:
    from support.world import make_settings

    settings, _ = make_settings(tmp_path)
    await asyncio.to_thread(key_commands.init, settings)
    made = build(settings)
    try:
        (row,) = await made.audit.entries("*", 0, 10)
        assert (row.entry.kind, row.entry.actor) == ("keys.made", SHELL)
    finally:
        made.close()


@contextmanager
def failing(world: World) -> Iterator[None]:
    """Let the database refuse every row of the audit chains, and nothing else."""
    connection = connect(str(world.path), isolation_level=None)
    connection.execute("CREATE TRIGGER refusing BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no more room'); END")
    try:
        yield
    finally:
        connection.execute("DROP TRIGGER refusing")
        connection.close()


class TestStrict:
    async def test_sec7_a_decision_without_its_row_is_no_decision(self, worlds: Any) -> None:
        world: World = await worlds(operator=True)
        await world.enroll("ann", OWNER)
        capture = carried(OWNER, 1)
        with failing(world):
            before = world.dump()
            answer = await world.idp.evaluate("ann", capture, headers={"Idempotency-Key": "the-same-key"})
            assert (answer["source"], answer["decision_id"], answer["decision"]) == ("degraded", None, False)
            assert world.dump() == before
        again = await world.idp.evaluate("ann", capture)  # nothing was used up either
        assert (again["source"], again["decision"]) == ("scored", True)

    async def test_sec7_nothing_else_happens_or_is_shown_without_its_row(self, worlds: Any) -> None:
        world: World = await worlds(operator=True)
        case = Case(world, "ann", await known_person(world, "ann"))
        open_decision = await world.idp.evaluate("ann", carried(OWNER, 1))
        silent = {"decision", "consent told in a login", "withdrawal told in a login", "completion", "logout",
                  "completion that comes again", "samples imported"}  # fmt: skip
        last = [name for name, (_, wanted) in ACTS.items() if any(line.kind == "subject.forgotten" for line in wanted)]
        with failing(world):
            before = world.dump("assertions")
            response = await world.idp.complete(open_decision["decision_id"], second_factor=True)
            assert (response.status_code, response.json()["error"]) == (503, "storage_failed")
            for name, (act, _) in ACTS.items():
                if name not in silent and name not in last and not name.startswith("keys"):
                    with pytest.raises(Exception, match=r"storage_failed|no more room"):
                        await act(case)
                    assert world.dump("assertions") == before, name
            # Forgetting is the exception: the key goes whatever happens, and the row comes with the call that is repeated.
            with pytest.raises(AssertionError, match="storage_failed"):
                await ACTS["forget"][0](case)
        assert not await world.inside.keys.destroy("one", world.pseudonym("ann"))
        await ACTS["forget"][0](case)
        assert [row["kind"] for row in rows(world)].count("subject.forgotten") == 1


class TestBuffered:
    @pytest.fixture
    def small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Three rows may wait, and they wait for three seconds."""
        monkeypatch.setattr("sidecar.storage.audit.MAX_LATER", 3)
        monkeypatch.setattr("sidecar.main.FLUSH_SECONDS", 3.0)

    def decided(self, world: World) -> tuple[int, int]:
        return world.counts()["decisions"], sum(row["kind"] == "decision" for row in rows(world))

    async def test_sec7_rows_follow_soon_and_all_of_them_at_the_end(self, tmp_path: Path) -> None:
        async with World.running(tmp_path, audit=AuditSettings(mode="buffered")) as world:
            for number in range(5):
                assert (await world.idp.evaluate("ann", carried(OWNER, number)))["source"] == "scored"
            await asyncio.sleep(0.8)
            assert self.decided(world) == (5, 5)
            with failing(world):
                assert (await world.idp.evaluate("ann", carried(OWNER, 5)))["source"] == "scored"
                await asyncio.sleep(0.8)
                assert self.decided(world) == (6, 5)  # what cannot be written waits on
            await world.idp.evaluate("ann", carried(OWNER, 6))
        assert self.decided(world) == (7, 7)
        inside = build(world.settings)
        assert await inside.audit.verify() == []
        inside.close()

    @pytest.mark.usefixtures("small")
    async def test_sec7_full_under_error_decides_nothing_unrecorded(self, worlds: Any) -> None:
        """The decision was kept although it was answered as an error; asked again by its key, it was answered as scored."""
        world: World = await worlds(audit=AuditSettings(mode="buffered"))
        for number in range(3):
            assert (await world.idp.evaluate("ann", carried(OWNER, number)))["source"] == "scored"
        before = world.dump()
        body = world.idp.request("ann", carried(OWNER, 3))
        for _ in range(2):
            response = await world.idp.post("/access/v1/evaluation", body, headers={"Idempotency-Key": "the-same-key"})
            assert response.json()["context"]["source"] == "degraded"
        assert world.dump() == before
        await asyncio.sleep(3.3)
        response = await world.idp.post("/access/v1/evaluation", body, headers={"Idempotency-Key": "the-same-key"})
        assert response.json()["context"]["source"] == "scored"
        await asyncio.sleep(3.3)
        assert self.decided(world) == (4, 4)

    @pytest.mark.usefixtures("small")
    async def test_sec7_full_under_continue_decides_on(self, worlds: Any, tmp_path: Path) -> None:
        policy = tmp_path / "policy.yaml"
        text = (policy_directory() / "default.yaml").read_text()
        assert "audit: {full: error}" in text
        policy.write_text(text.replace("audit: {full: error}", "audit: {full: continue}"))
        world: World = await worlds(audit=AuditSettings(mode="buffered"), policy=policy)
        for number in range(5):
            assert (await world.idp.evaluate("ann", carried(OWNER, number)))["source"] == "scored"
        await asyncio.sleep(3.3)
        assert self.decided(world) == (5, 3)
        assert await world.inside.audit.verify() == []

    @pytest.mark.usefixtures("small")
    async def test_of_many_at_once_no_more_are_let_in_than_there_is_room_for(self, worlds: Any) -> None:
        world: World = await worlds(audit=AuditSettings(mode="buffered"))
        asked = (world.idp.evaluate("ann", carried(OWNER, number)) for number in range(8))
        sources = [answer["source"] for answer in await asyncio.gather(*asked)]
        assert sorted(sources) == ["degraded"] * 5 + ["scored"] * 3
        assert world.counts()["decisions"] == 3
