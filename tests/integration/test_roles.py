"""Who may do what, over HTTP: one test for every cell of the table, and every route of the operators in it (SEC7, ADM5)."""

import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from support.operators import CSRF, acting, cookie, known_person
from support.routes import http_routes
from support.world import World

from sidecar.console.api import ACTS
from sidecar.domain.roles import MAY, MEANING, Permission, Role, allowed, known_roles
from sidecar.ports import PolicyVersion
from sidecar.shipped import policy_directory

pytestmark = pytest.mark.anyio
P = Permission
numbers = itertools.count()


@dataclass(frozen=True)
class Case:
    """Somebody to do something about: the world, their id and pseudonym, and a decision that let them in."""

    world: World
    sub: str
    decision: str

    @property
    def pseudonym(self) -> str:
        return self.world.pseudonym(self.sub)

    def rows(self, kind: str) -> list[tuple[Any, ...]]:
        """Audit rows of this kind about this person."""
        return [row for row in self.world.rows("audit") if row[3] == kind and row[5] == self.pseudonym]


Effect = Callable[[Case, Any], Awaitable[bool]]


@dataclass(frozen=True)
class Call:
    """One call of an operator. ``works`` tells, after an answer that allowed it, whether it did what it is for."""

    permission: Permission
    method: str
    route: str
    works: Effect
    path: str = ""
    body: Any = None
    form: bool = False
    status: int = 200
    extra: dict[str, str] = field(default_factory=dict)

    def url(self, case: Case) -> str:
        path = self.path or self.route
        for name, value in (("tenant", "one"), ("decision_id", case.decision), ("subject", case.sub)):
            path = path.replace("{" + name + "}", value)
        return path

    async def made(self, case: Case, headers: dict[str, str]) -> Any:
        sent: dict[str, Any] = {}
        if self.form:
            sent["data"] = {"csrf": headers.get("X-CSRF", ""), "scope": "session"} | self.extra
        elif self.body is not None:
            sent["json"] = self.body
        return await case.world.http.request(self.method, self.url(case), headers=headers, **sent)


async def _listed(case: Case, response: Any) -> bool:
    found = {item["id"]: item for item in response.json()["decisions"]}
    assert set(found[case.decision]) - {"end"} == {"id", "tenant", "at", "subject", "client", "action", "rule"}
    return bool(found[case.decision]["subject"] == case.pseudonym)


async def _shown(case: Case, response: Any) -> bool:
    return case.decision in response.text or case.pseudonym[:10] in response.text or case.sub in response.text


async def _explained(case: Case, response: Any) -> bool:
    found = response.json()
    assert "scores" not in found  # how many features there are tells how long the password is
    assert [row[6] for row in case.rows("decision.read")][-1] == f'{{"decision":"{case.decision}"}}'
    return bool(found["reason"] and found["trace"])


async def _named(case: Case, response: Any) -> bool:
    return f"Name of {case.sub}" in response.text


async def _states(case: Case, response: Any) -> bool:
    assert case.rows("subject.read")
    return bool(response.json()["profiles"][0]["state"] == "ready") and "timings_ms" not in response.text


async def _exported(case: Case, response: Any) -> bool:
    return len(response.json()["samples"]) > 10 and bool(case.rows("subject.read"))


async def _paused(case: Case, response: Any) -> bool:
    standing = await case.world.inside.subjects.consent("one", case.pseudonym)
    assert response.json()["paused"] is (standing.paused_at is not None)
    return len(case.rows("subject.stands")) > 0


async def _forgotten(case: Case, response: Any) -> bool:
    assert response.json() == {"forgotten": True}
    assert await case.world.inside.decisions.get("one", case.decision) is None
    return len(case.rows("subject.forgotten")) == 1


async def _reset(case: Case, response: Any) -> bool:
    return await case.world.inside.profiles.find("one", case.pseudonym) == [] and bool(case.rows("profile.reset"))


async def _unlearned(case: Case, response: Any) -> bool:
    assert await case.world.inside.profiles.find("one", case.pseudonym) == []
    return set(response.json()["profiles"].values()) == {"nothing"} and bool(case.rows("profile.unlearned"))


async def _rebuilt(case: Case, response: Any) -> bool:
    return set(response.json()["same"].values()) == {True} and bool(case.rows("profile.rebuilt"))


async def _vouched(case: Case, response: Any) -> bool:
    return "samples" in response.json() and bool(case.rows("profile.confirmed"))


async def _marked(case: Case, response: Any) -> bool:
    past = await case.world.inside.surroundings.past("one", case.pseudonym)
    return bool(past.mark and past.mark.kind == response.json()["mark"] and case.rows("subject.marked"))


async def _ended(case: Case, response: Any) -> bool:
    queued = [row for row in case.world.rows("outbox") if case.decision in row]
    return len(queued) == len(case.rows("session.ended_by_operator")) > 0


async def _cannot_be_disabled(case: Case, response: Any) -> bool:
    """A provider at a webhook: it says so, and nothing is queued."""
    queued = [row for row in case.world.rows("outbox") if case.decision in row]
    return response.json()["error"] == "cannot_disable" and not queued


async def _policy(case: Case, response: Any) -> bool:
    return bool(response.json()["sha256"] == case.world.inside.policies.enforced.digest)


async def _policies(case: Case, response: Any) -> bool:
    return "In force" in response.text and ("Try a candidate" in response.text) is ("policies/try" in response.text)


async def _shadowed(case: Case, response: Any) -> bool:
    return set(response.json()) == {"looked_at", "most", "found", "decisions"}


async def _tried(case: Case, response: Any) -> bool:
    return "Try a policy" in response.text


async def _compared(case: Case, response: Any) -> bool:
    return "They mean the same" in response.text


async def _published(case: Case, response: Any) -> bool:
    history = await case.world.inside.published.history(1)
    return f"version+{history[0].number}+" in response.headers["location"]


async def _typing(case: Case, response: Any) -> bool:
    """Looked at when the sidecar started, when nobody was there yet."""
    return {one["people"] for one in response.json()["tenants"].values()} <= {0, 1}


async def _chain(case: Case, response: Any) -> bool:
    first = response.json()["rows"][0]
    return bool(first["number"] == 1 and len(first["hash"]) == 64)


async def _verified(case: Case, response: Any) -> bool:
    return bool(response.json() == {"faults": []})


API = "/operator/api"
POLICY = (policy_directory() / "default.yaml").read_text()
DECISION, PERSON = API + "/decisions/{tenant}/{decision_id}", API + "/subjects/{tenant}/{subject}"
ACT = PERSON + "/{act}"
CALLS = (
    Call(P.DECISIONS_LIST, "GET", API + "/decisions", _listed),
    Call(P.DECISIONS_LIST, "GET", "/operator", _shown),
    Call(P.DECISIONS_LIST, "GET", "/operator/rows", _shown),
    Call(P.DECISIONS_WHY, "GET", DECISION, _explained),
    Call(P.DECISIONS_WHY, "GET", API + "/typing", _typing),
    Call(P.PEOPLE_STATES, "GET", PERSON, _states),
    Call(P.PEOPLE_EXPORT, "GET", PERSON + "/export", _exported),
    Call(P.PEOPLE_PAUSE, "POST", ACT, _paused, PERSON + "/pause"),
    Call(P.PEOPLE_PAUSE, "POST", ACT, _paused, PERSON + "/resume"),
    Call(P.PROFILES_CORRECT, "POST", ACT, _rebuilt, PERSON + "/rebuild"),
    Call(P.PROFILES_CORRECT, "POST", ACT, _vouched, PERSON + "/confirm"),
    Call(P.PROFILES_CORRECT, "POST", ACT, _unlearned, PERSON + "/unlearn", {"since": 0}),
    Call(P.PROFILES_CORRECT, "POST", ACT, _reset, PERSON + "/reset", {"field": "password"}),
    Call(P.PEOPLE_MARK, "POST", ACT, _marked, PERSON + "/mark", {"mark": "compromised"}),
    Call(P.PEOPLE_FORGET, "POST", ACT, _forgotten, PERSON + "/forget"),
    Call(P.SESSIONS_END, "POST", DECISION + "/end", _ended, body={"scope": "session"}, status=202),
    Call(P.SESSIONS_END, "POST", "/operator/decisions/{tenant}/{decision_id}/end", _ended, form=True, status=303),
    Call(P.PEOPLE_DISABLE, "POST", DECISION + "/disable", _cannot_be_disabled, status=409),
    Call(
        P.PEOPLE_DISABLE,
        "POST",
        "/operator/decisions/{tenant}/{decision_id}/disable",
        _cannot_be_disabled,
        form=True,
        status=409,
        extra={"scope": "disable"},
    ),
    Call(P.POLICY_READ, "GET", API + "/policy", _policy),
    Call(P.POLICY_READ, "GET", "/operator/policies", _policies),
    Call(P.POLICY_READ, "GET", API + "/shadow", _shadowed),
    Call(P.POLICY_TRY, "GET", "/operator/policies/try", _tried),
    Call(P.POLICY_TRY, "GET", "/operator/policies/diff", _compared, "/operator/policies/diff?old=1&new=1"),
    Call(P.POLICY_TRY, "POST", "/operator/policies/try", _tried, form=True, extra={"source": POLICY, "act": "check"}),
    Call(
        P.POLICY_PUBLISH,
        "POST",
        "/operator/policies/publish",
        _published,
        form=True,
        status=303,
        extra={"source": POLICY},
    ),
    Call(
        P.POLICY_PUBLISH,
        "POST",
        "/operator/policies/{act}",
        _published,
        "/operator/policies/restore",
        form=True,
        status=303,
        extra={"number": "1"},
    ),
    Call(P.AUDIT_READ, "GET", API + "/audit/{tenant}", _chain),
    Call(P.AUDIT_VERIFY, "GET", API + "/audit", _verified),
)
# What the table cannot say: the way in and out, the page's own files, and who one is.
OPEN = {
    ("GET", "/operator/login"),
    ("GET", "/operator/callback"),
    ("POST", "/operator/logout"),
    ("GET", "/operator/static/{name}"),
}
SIGNED_IN = {("GET", "/operator/whoami")}
CELLS = [(role, permission) for role in Role for permission in Permission]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """One world for all: every cell has a person of its own."""
    async with World.running(tmp_path_factory.mktemp("roles"), operator=True) as running:
        version = PolicyVersion(0, "", "first", POLICY.encode(), (), None, "ann", 0.0, "")
        await running.inside.publisher.propose(version)  # so that there is a history
        yield running


async def case_of(world: World) -> Case:
    sub = f"person-{next(numbers):04d}"
    return Case(world, sub, await known_person(world, sub))


def everything(world: World) -> tuple[Any, ...]:
    """What calls leave behind. Deliveries and expiry go on by themselves, so of effects only the number counts."""
    return world.dump("outbox", "assertions"), world.counts()["outbox"], world.rows("audit")


def calls_for(permission: Permission) -> list[Call]:
    return [call for call in CALLS if call.permission is permission]


class TestTable:
    async def test_every_route_of_operators_has_its_row_here(self, world: World) -> None:
        found = {(method, path) for method, path in http_routes(world.app) if path.startswith("/operator")}
        assert found == {(call.method, call.route) for call in CALLS} | OPEN | SIGNED_IN
        assert {call.path.rpartition("/")[2] for call in CALLS if call.route == ACT} == set(ACTS)

    def test_every_permission_is_needed_for_something_and_has_words(self) -> None:
        assert {call.permission for call in CALLS} | {P.PEOPLE_NAMES} == set(Permission) == set(MEANING)
        assert set(MAY) == set(Role)

    @pytest.mark.parametrize(("role", "permission"), CELLS)
    async def test_sec7_cell(self, world: World, role: Role, permission: Permission) -> None:
        """Allowed: it works. Forbidden: 403, and nothing anywhere shows that it was tried."""
        case = await case_of(world)
        if permission is P.PEOPLE_NAMES:  # not a call of its own, but what others show
            shown = await world.http.get("/operator/rows", headers=cookie(world, [role]))
            assert await _named(case, shown) is (permission in MAY[role])
            return
        for call in calls_for(permission):
            before = everything(world)
            response = await call.made(case, acting(world, [role]))
            if permission in MAY[role]:
                assert response.status_code == call.status, response.text
                assert await call.works(case, response)
            else:
                assert (response.status_code, response.json()["error"]) == (403, "forbidden")
                assert case.sub not in response.text
                assert everything(world) == before


class TestSessions:
    @pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.method} {call.path or call.route}")
    async def test_sec7_nobody_who_is_not_signed_in(self, world: World, call: Call) -> None:
        case = await case_of(world)
        over = acting(world, Role, until=int(time.time()) - 1)
        good = acting(world)[
            "Cookie"
        ]  # not its last character: two of the bits it stands for are no part of the signature
        broken = {"Cookie": good[:-6] + ("x" if good[-6] != "x" else "y") + good[-5:], "X-CSRF": CSRF}
        before = everything(world)
        for headers in ({}, {"X-CSRF": CSRF}, over, broken, {"Cookie": "gaitkeeper_operator=", "X-CSRF": CSRF}):
            response = await call.made(case, headers)
            assert response.status_code == 401
            assert case.pseudonym[:10] not in response.text
            if call.route not in ("/operator", "/operator/policies"):
                assert response.json()["error"] == "login_required"
        assert everything(world) == before

    @pytest.mark.parametrize(
        "call",
        [call for call in CALLS if call.method == "POST"],
        ids=lambda call: f"{call.method} {call.path or call.route}",
    )
    async def test_sec7_an_act_that_the_operators_own_page_did_not_ask_for(self, world: World, call: Call) -> None:
        case = await case_of(world)
        before = everything(world)
        for csrf in (None, "", "wrong", CSRF + CSRF, CSRF.upper()):
            headers = cookie(world) | ({} if csrf is None else {"X-CSRF": csrf})
            response = await call.made(case, headers)
            assert (response.status_code, response.json()["error"]) == (403, "forbidden"), csrf
        assert everything(world) == before

    async def test_who_one_is(self, world: World) -> None:
        assert (await world.http.get("/operator/whoami")).status_code == 401
        over = cookie(world, until=int(time.time()) - 1)
        assert (await world.http.get("/operator/whoami", headers=over)).status_code == 401
        told = (await world.http.get("/operator/whoami", headers=cookie(world, ["auditor"], tenants=["one"]))).json()
        assert told == {"name": "Olive", "roles": ["auditor"], "tenants": ["one"], "csrf": CSRF}

    async def test_signing_out_takes_the_cookie_away(self, world: World) -> None:
        response = await world.http.post("/operator/logout", headers=cookie(world))
        assert response.status_code == 303
        assert "gaitkeeper_operator=null" in response.headers["set-cookie"]

    async def test_only_the_pages_own_files_are_open(self, world: World) -> None:
        assert (await world.http.get("/operator/static/operator.js")).status_code == 200
        for name in ("login.py", "..%2Flogin.py", "operator.js.map", "%2e%2e"):
            assert (await world.http.get(f"/operator/static/{name}")).status_code == 404

    @pytest.mark.parametrize("after", ["x", "-1", "1e3", "9" * 30, "٣", "1 OR 1=1"])
    async def test_a_number_that_is_none_is_refused_after_the_role(self, world: World, after: str) -> None:
        where = f"{API}/audit/one"
        for headers, status in (({}, 401), (cookie(world, ["viewer"]), 403), (cookie(world), 400)):
            assert (await world.http.get(where, params={"after": after}, headers=headers)).status_code == status


class TestSeveralRoles:
    @pytest.mark.parametrize(("one", "two"), list(itertools.combinations(Role, 2)))
    def test_they_add_up(self, one: Role, two: Role) -> None:
        for permission in Permission:
            assert allowed([one, two], permission) is (permission in MAY[one] | MAY[two])

    async def test_sec7_an_auditor_at_the_help_desk(self, world: World) -> None:
        both = [Role.AUDITOR, Role.HELP_DESK]
        case = await case_of(world)
        for call in CALLS:
            response = await call.made(case, acting(world, both))
            assert response.status_code == (call.status if allowed(both, call.permission) else 403), call

    async def test_sec7_names_that_are_no_roles_give_nothing(self, world: World) -> None:
        names = ["admin", "root", "ADMINISTRATOR", "administrator ", "", "*", "Role.ADMINISTRATOR", "people.export"]
        assert known_roles([*names, 7, None, ["administrator"]]) == []
        case = await case_of(world)
        for call in CALLS:
            assert (await call.made(case, acting(world, names))).status_code == 403, call
            expected = call.status if call.permission in MAY[Role.VIEWER] else 403
            assert (await call.made(case, acting(world, [*names, "viewer"]))).status_code == expected, call


class TestPage:
    """The page keeps to the same table as the API."""

    @pytest.mark.parametrize("role", list(Role))
    @pytest.mark.parametrize("path", ["/operator", "/operator/rows"])
    async def test_sec7_shows_what_the_role_permits_and_nothing_else(self, world: World, role: Role, path: str) -> None:
        case = await case_of(world)
        text = (await world.http.get(path, headers=cookie(world, [role]))).text
        names, why, end = (item in MAY[role] for item in (P.PEOPLE_NAMES, P.DECISIONS_WHY, P.SESSIONS_END))
        assert (f"Name of {case.sub}" in text) is names
        assert (case.pseudonym[:10] in text) is not names
        for always in ("<time", ">app<", "badge allow", "outcome.match"):
            assert always in text
        for words in ("Risk", "Evidence", "<meter", "decided by", "owner&#39;s", "samples", "second factor passed"):
            assert (words in text) is why, words
        assert ("What differed most" in text) is why
        assert ("End session" in text) is end
        assert ("decisions/one/" in text) is end
        assert ("<details" in text) is (why or end)
        for hidden in (case.sub, " ms<", "sid of"):
            assert hidden not in text.replace(f"Name of {case.sub}", "")

    async def test_one_changed_name_does_not_hide_the_others(self, world: World) -> None:
        from pysqlite3.dbapi2 import connect

        bad, good = await case_of(world), await case_of(world)
        connection = connect(str(world.path), isolation_level=None)
        connection.execute("UPDATE directory SET sealed = x'00' WHERE subject = ?", (bad.pseudonym,))
        connection.close()
        page = await world.http.get("/operator/rows", headers=cookie(world))
        assert page.status_code == 200
        assert f"Name of {good.sub}" in page.text
        assert bad.pseudonym[:10] in page.text
