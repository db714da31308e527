"""Every route, tried with another tenant's ids: nothing is given, changed or revealed, not even that it is there (SEC7).

A route that nobody tries here fails ``test_every_route_is_tried``. The stores below have ``test_tenants_in_stores.py``.
"""

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from pysqlite3.dbapi2 import connect
from support.operators import acting, known_person
from support.routes import http_routes
from support.tenants import untouched
from support.world import World, carried, rows_of

from sidecar.console.api import ACTS
from sidecar.shipped import policy_directory

pytestmark = pytest.mark.anyio
EVALUATION = "/access/v1/evaluation"
OWNER = 7
KEY = {"Idempotency-Key": "the-key-of-tenant-one"}
API = "/operator/api"


@dataclass
class Place:
    """A running sidecar. Tenant ``one`` knows ann, who let somebody in with ``decision``; the tries are tenant ``two``'s."""

    world: World
    decision: str
    answer: dict[str, Any]
    token: str

    @property
    def pseudonym(self) -> str:
        return self.world.pseudonym("ann")

    async def told(self, path: str, payload: Any, **extra: Any) -> tuple[int, str]:
        """Call as tenant two's provider; return status and text."""
        response = await self.world.other.post(path, payload, **extra)
        return response.status_code, response.text

    async def asked(self, method: str, path: str, **extra: Any) -> tuple[int, str]:
        """Call as an operator who may do everything, at tenant two only."""
        headers = acting(self.world, tenants=["two"])
        response = await self.world.http.request(method, path, headers=headers, **extra)
        return response.status_code, response.text

    def nothing_of_one(self, text: str) -> None:
        for secret in ("Name of ann", self.pseudonym[:10], self.decision, self.world.idp.issuer):
            assert secret not in text


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    async with World.running(tmp_path_factory.mktemp("tenants"), operator=True) as world:
        decision = await known_person(world, "ann")
        await known_person(world, "zoe", other=True)
        body = json.dumps(world.idp.request("ann", carried(OWNER, 1))).encode()
        token = world.idp.token(EVALUATION, body)
        answer = await world.idp.post(EVALUATION, body, token=token, headers=KEY)
        yield Place(world, decision, answer.json(), token)


Try = Callable[[Place], Awaitable[None]]
TRIES: dict[tuple[str, str], Try] = {}


def trying(*routes: str) -> Callable[[Try], Try]:
    def kept(attempt: Try) -> Try:
        TRIES.update({(method, path): attempt for method, _, path in (route.partition(" ") for route in routes)})
        return attempt

    return kept


# What is everybody's: it holds nothing of any tenant.
EVERYBODYS = {
    "/health/live", "/health/ready", "/widget/gaitkeeper.js", "/.well-known/jwks.json",
    "/.well-known/authzen-configuration", "/operator/static/operator.js", "/operator/api/policy", "/operator/whoami",
}  # fmt: skip


@trying("GET /health/live", "GET /health/ready", "GET /widget/{name}", "GET /.well-known/jwks.json",
        "GET /.well-known/authzen-configuration", "GET /operator/static/{name}", "GET /operator/api/policy",
        "GET /operator/whoami")  # fmt: skip
async def _(at: Place) -> None:
    for path in EVERYBODYS:
        status, text = await at.asked("GET", path)
        assert status == 200
        at.nothing_of_one(text)


@trying("GET /", "GET /operator/login", "GET /operator/callback", "POST /operator/logout")
async def _(at: Place) -> None:
    """The ways in and out name no tenant; what a login may see is tested where it is made."""
    for method, path in (("GET", "/"), ("GET", "/operator/callback"), ("POST", "/operator/logout")):
        at.nothing_of_one((await at.asked(method, path))[1])


@trying("POST /access/v1/evaluation")
async def _(at: Place) -> None:
    """One's user id, key, jti, capture and timings: for two they are new, each of them."""
    page = await at.world.page()
    hidden = await page.typed(rows_of(OWNER, 2))
    asked = at.world.other.request("ann", hidden, attempt=page.attempt)
    response = await at.world.other.post(EVALUATION, asked, headers=KEY)
    assert response.status_code == 200
    assert response.json()["context"]["decision_id"] != at.answer["context"]["decision_id"]
    at.nothing_of_one(response.text)
    facts = (await at.world.last_body())["facts"]
    assert (facts["profile.state"], facts["keystroke.cause"], facts["profile.samples"]) == ("none", "foreign", 0)
    assert len(await at.world.inside.captures.waiting(page.capture)) == 1  # it still waits for the login it belongs to
    again = await at.world.other.evaluate("ann", carried(OWNER, 1))  # timings that served one's decision
    body = await at.world.last_body()
    assert (again["action"], body["facts"]["keystroke.cause"]) == ("step_up", None)
    jti = {"now": at.world.clock(), "issuer": at.world.other.issuer}
    payload = json.dumps(at.world.other.request("ann")).encode()
    for key, claimed in ((at.world.other.key, at.world.idp.issuer), (at.world.idp.key, at.world.other.issuer)):
        forger = replace(at.world.other, key=key)
        token = forger.token(EVALUATION, payload, **(jti | {"issuer": claimed}))
        assert (await at.told(EVALUATION, payload, token=token))[0] == 401
    assert (await at.told(EVALUATION, payload, token=at.token))[0] == 401  # made for one's body


@trying("POST /v1/decisions/{decision_id}/completion")
async def _(at: Place) -> None:
    payload = {"outcome": "succeeded", "second_factor": True, "sid": "of two"}
    yours, nobodys = [await at.told(f"/v1/decisions/{name}/completion", payload) for name in (at.decision, "A" * 16)]
    assert yours == nobodys
    assert yours[0] == 404


@trying("POST /v1/events")
async def _(at: Place) -> None:
    for event in ("password_changed", "logout", "account_deleted"):
        yours, nobodys = [
            await at.told("/v1/events", {"type": event, "subject": {"id": who}}) for who in ("ann", "nobody")
        ]
        assert yours == nobodys == (204, "")


@trying("POST /v1/profiles")
async def _(at: Place) -> None:
    yours, nobodys = [await at.told("/v1/profiles", {"subject": {"id": who}}) for who in ("ann", "nobody")]
    assert yours == nobodys == (200, '{"profiles":[]}')


@trying("POST /v1/enrollments")
async def _(at: Place) -> None:
    body = {"client": "app", "attempt": "another tenant's attempt", "capture": "{}", "occasion": "registration"}
    answers = []
    for who in ("ann", "nobody"):
        named = {"subject": {"id": who}, "attempt": f"an attempt of {who}"}
        answers.append(await at.told("/v1/enrollments", body | named))
    assert answers == [(200, '{"learned":[]}')] * 2
    for who in ("ann", "nobody"):  # whom two itself came to know by it
        await at.told("/v1/subjects/forget", {"subject": {"id": who}})


@trying("POST /v1/subjects/show", "POST /v1/subjects/export")
async def _(at: Place) -> None:
    await at.told("/v1/subjects/forget", {"subject": {"id": "ann"}})  # whatever two itself came to know of an ann
    for call in ("show", "export"):
        yours, nobodys = [await at.told(f"/v1/subjects/{call}", {"subject": {"id": who}}) for who in ("ann", "nobody")]
        assert yours == nobodys
        assert yours[0] == 404


@trying("POST /v1/subjects/consent", "POST /v1/subjects/{act}")
async def _(at: Place) -> None:
    for act, told in (("consent", {"given": False}), ("pause", {}), ("resume", {}), ("forget", {})):
        path = f"/v1/subjects/{act}"
        yours, nobodys = [await at.told(path, {"subject": {"id": who}} | told) for who in ("ann", "nobody")]
        assert yours == nobodys
        assert yours[0] == 200
    standing = await at.world.inside.subjects.consent("one", at.pseudonym)
    assert (str(standing.state), standing.paused_at) == ("given", None)


@trying("POST /v1/captures", "OPTIONS /v1/captures")
async def _(at: Place) -> None:
    """A page of two's origin cannot open a capture at one's site, nor learn that the site is there."""
    body = {"attempt": "attempt-of-two"}
    headers = {"Origin": at.world.other.origin, "Content-Type": "text/plain"}
    yours, nobodys = [
        (response.status_code, response.text)
        for site in (at.world.idp.site, "site-nowhere")
        for response in [
            await at.world.http.post("/v1/captures", content=json.dumps(body | {"site": site}), headers=headers)
        ]
    ]
    assert yours == nobodys
    assert yours[0] == 403


@trying("POST /v1/captures/{capture}/batches", "OPTIONS /v1/captures/{capture}/batches")
async def _(at: Place) -> None:
    mine, other = await at.world.page(), await at.world.page(at.world.other)
    batch = other.batch(rows_of(OWNER, 3))
    yours, nobodys = [
        (response.status_code, response.text)
        for capture in (mine.capture, "A" * 22)
        for response in [await other.send(batch, capture=capture)]
    ]
    assert yours == nobodys
    assert yours[0] == 403
    stolen = await other.send(batch, capture=mine.capture, token=mine.token)  # one's token, but from two's page
    assert (stolen.status_code, stolen.json()["error"]) == (403, "capture_refused")


@trying("GET /operator", "GET /operator/rows", "GET /operator/api/decisions")
async def _(at: Place) -> None:
    for path in ("/operator", "/operator/rows", f"{API}/decisions"):
        status, text = await at.asked("GET", path)
        assert status == 200
        assert at.world.pseudonym("zoe", at.world.other)[:10] in text or "Name of zoe" in text
        at.nothing_of_one(text)
        headers = acting(at.world, tenants=[])
        at.nothing_of_one((await at.world.http.get(path, headers=headers)).text)


@trying("GET /operator/api/decisions/{tenant}/{decision_id}")
async def _(at: Place) -> None:
    await alike(at, "GET", API + "/decisions/{}/{}", decisions=True)


@trying(
    "POST /operator/api/decisions/{tenant}/{decision_id}/end", "POST /operator/decisions/{tenant}/{decision_id}/end"
)
async def _(at: Place) -> None:
    await alike(at, "POST", API + "/decisions/{}/{}/end", decisions=True, json={"scope": "all"})
    form = {"csrf": "right", "scope": "all"}
    await alike(at, "POST", "/operator/decisions/{}/{}/end", decisions=True, data=form)


@trying(
    "POST /operator/api/decisions/{tenant}/{decision_id}/disable",
    "POST /operator/decisions/{tenant}/{decision_id}/disable",
)
async def _(at: Place) -> None:
    await alike(at, "POST", API + "/decisions/{}/{}/disable", decisions=True)
    form = {"csrf": "right", "scope": "disable"}
    await alike(at, "POST", "/operator/decisions/{}/{}/disable", decisions=True, data=form)


@trying("GET /operator/api/subjects/{tenant}/{subject}", "GET /operator/api/subjects/{tenant}/{subject}/export")
async def _(at: Place) -> None:
    await alike(at, "GET", API + "/subjects/{}/{}")
    await alike(at, "GET", API + "/subjects/{}/{}/export")


@trying("POST /operator/api/subjects/{tenant}/{subject}/{act}")
async def _(at: Place) -> None:
    for act in ACTS:
        await alike(at, "POST", API + "/subjects/{}/{}/" + act, json={"since": 0, "field": "password"})
        own = [
            await at.asked("POST", f"{API}/subjects/two/{who}/{act}", json={"since": 0}) for who in ("ann", "nobody")
        ]
        assert own[0] == own[1]


@trying("GET /operator/api/audit/{tenant}")
async def _(at: Place) -> None:
    answers = [await at.asked("GET", f"{API}/audit/{tenant}") for tenant in ("one", "*", "nowhere")]
    assert len(set(answers)) == 1
    assert answers[0][0] == 404
    status, text = await at.asked("GET", f"{API}/audit/two")
    assert status == 200
    assert {row["entry"]["tenant"] for row in json.loads(text)["rows"]} == {"two"}
    at.nothing_of_one(text)


@trying("GET /operator/policies", "GET /operator/policies/try", "GET /operator/api/shadow")
async def _(at: Place) -> None:
    """The policy is everybody's; what rules in shadow would have done is told of two's logins only."""
    for path in ("/operator/policies", "/operator/policies/try", API + "/shadow"):
        status, text = await at.asked("GET", path)
        assert status == 200
        at.nothing_of_one(text)


@trying("POST /operator/policies/try", "POST /operator/policies/publish", "POST /operator/policies/{act}")
async def _(at: Place) -> None:
    """A candidate is tried on two's logins; what holds for all tenants is changed by who stands for all."""
    source = (policy_directory() / "strict.yaml").read_text()
    form = {"csrf": "right", "source": source, "act": "backtest", "days": "30"}
    status, text = await at.asked("POST", "/operator/policies/try", data=form)
    assert status == 200
    at.nothing_of_one(text)
    for act in ("publish", "approve", "enforce", "withdraw", "rollback", "restore"):
        status, text = await at.asked("POST", f"/operator/policies/{act}", data=form | {"why": "to see", "number": "1"})
        assert status == 403
        at.nothing_of_one(text)


@trying("GET /operator/policies/diff")
async def _(at: Place) -> None:
    """A published text may name one's people."""
    status, text = await at.asked("GET", "/operator/policies/diff?old=1&new=1")
    assert status == 403
    at.nothing_of_one(text)


@trying("GET /operator/api/typing")
async def _(at: Place) -> None:
    """How well typing tells one's people apart is not two's to know."""
    watch = at.world.inside.assessor.watch
    await watch.refresh()
    assert set(watch.found) == {"one", "two"}
    status, text = await at.asked("GET", f"{API}/typing")
    assert status == 200
    assert set(json.loads(text)["tenants"]) <= {"two"}
    at.nothing_of_one(text)


@trying("GET /operator/api/audit")
async def _(at: Place) -> None:
    """That somebody tampered with one's chain is for those who may see one."""
    connection = connect(str(at.world.path), isolation_level=None)
    try:
        connection.execute("UPDATE audit SET actor = 'x' || actor WHERE tenant IN ('one', '*') AND number = 1")
        assert await at.asked("GET", f"{API}/audit") == (200, '{"faults":[]}')
        everything = (await at.world.http.get(f"{API}/audit", headers=acting(at.world))).json()["faults"]
        assert {fault["tenant"] for fault in everything} == {"one", "*"}
    finally:
        connection.execute("UPDATE audit SET actor = substr(actor, 2) WHERE tenant IN ('one', '*') AND number = 1")
        connection.close()


async def alike(at: Place, method: str, path: str, *, decisions: bool = False, **extra: Any) -> None:
    """What is one's, what is not there at one, and what is nowhere: one answer for all of them."""
    there, missing = (at.decision, "A" * 16) if decisions else ("ann", "nobody")
    wanted = [("one", there), ("one", missing), ("nowhere", there), ("*", there), ("ONE", there)]
    answers = [await at.asked(method, path.format(*which), **extra) for which in wanted]
    assert len(set(answers)) == 1, answers
    assert answers[0][0] == 404
    if method == "GET" or decisions:  # in one's own tenant, one's ids are as unknown as any
        own = [await at.asked(method, path.format("two", name), **extra) for name in (there, missing)]
        assert own[0] == own[1]
        assert own[0][0] == 404


async def test_every_route_is_tried(place: Place) -> None:
    assert http_routes(place.world.app) == set(TRIES)


@pytest.mark.parametrize("attempt", list(dict.fromkeys(TRIES.values())), ids=lambda attempt: next(
    f"{method} {path}" for (method, path), tried in TRIES.items() if tried is attempt
))  # fmt: skip
async def test_sec7_another_tenants_ids_give_change_and_reveal_nothing(place: Place, attempt: Try) -> None:
    with untouched(place.world.inside):
        await attempt(place)


@pytest.mark.parametrize("what", ["completion", "profile", "decision"])
async def test_sec7_what_is_not_yours_takes_as_long_as_what_is_not_there(place: Place, what: str) -> None:
    """The fastest of calls in turn, which a busy machine does not change. A class of time, not a stopwatch."""
    world = place.world
    calls: dict[str, Callable[[bool], Awaitable[Any]]] = {
        "completion": lambda there: world.other.complete(place.decision if there else "A" * 16),
        "profile": lambda there: world.other.post(
            "/v1/subjects/show", {"subject": {"id": "ann" if there else "nobody"}}
        ),
        "decision": lambda there: place.asked("GET", f"{API}/decisions/one/{place.decision if there else 'A' * 16}"),
    }
    took: dict[bool, list[float]] = {True: [], False: []}
    for number in range(60):
        began = time.perf_counter()
        await calls[what](number % 2 == 0)
        took[number % 2 == 0].append(time.perf_counter() - began)
    there, missing = (min(took[which]) for which in (True, False))
    assert 0.5 < there / missing < 2.0


async def test_prv6_one_person_at_two_tenants_is_two_strangers(place: Place) -> None:
    """The same id at both providers: no value of the one's rows is found in the other's."""
    world = place.world
    await known_person(world, "both")
    await known_person(world, "both", other=True)
    assert world.pseudonym("both") != world.pseudonym("both", world.other)
    for sub in ("both", "Name of both"):
        assert sub not in repr(world.dump())
    per_tenant: dict[str, set[str]] = {"one": set(), "two": set()}
    for number, tenant in ((0, "one"), (0, "two")):
        for row in world.rows("directory") + world.rows("probe_digests"):
            if row[number] == tenant:
                per_tenant[tenant] |= {repr(value) for value in row[1:3]}
    assert per_tenant["one"].isdisjoint(per_tenant["two"])
