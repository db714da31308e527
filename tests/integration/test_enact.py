"""Effects on their way out: to a real HTTP server over a real socket, at least once, signed, and no longer than useful."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support.sockets import served
from support.world import Clock, World, carried

from sidecar.errors import TokenInvalid
from sidecar.shipped import policy_directory
from sidecar.tokens import verify_request

pytestmark = pytest.mark.anyio
OWNER, STRANGER = 7, 18


@dataclass
class Provider:
    """The identity provider's end: answers as it is told, and keeps what it got."""

    url: str
    answers: list[int] = field(default_factory=list)
    got: list[tuple[dict[str, Any], dict[str, str], bytes]] = field(default_factory=list)
    slow: float = 0.0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        await asyncio.sleep(self.slow)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.got.append((json.loads(body), headers, body))
        status = self.answers.pop(0) if self.answers else 204
        extra = [(b"location", self.url.encode() + b"/elsewhere")] if 300 <= status < 400 else []
        await send({"type": "http.response.start", "status": status, "headers": extra})
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with served(lambda url: Provider(f"{url}/revoke")) as made:
        yield made


@asynccontextmanager
async def world_of(
    base: Path, url: str, effects: str = "revoke_session", clock: Clock | None = None
) -> AsyncIterator[World]:
    text = (policy_directory() / "default.yaml").read_text()
    mismatch = """      all: ['keystroke.outcome == "mismatch"']\n"""
    then = f"{mismatch}    then: step_up\n"
    assert text.count(then) == 1
    (base / "effects.yaml").write_text(
        text.replace(then, f"{mismatch}    then: {{action: step_up, effects: [{effects}]}}\n")
    )
    async with World.running(
        base, policy=base / "effects.yaml", idp={"revocation_url": url}, clock=clock, operator=True
    ) as running:
        yield running


async def until(condition: Callable[[], Any], seconds: float = 5.0) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)


async def mismatch(world: World, sub: str = "ann") -> dict[str, Any]:
    await world.enroll(sub, OWNER)
    answer = await world.idp.evaluate(sub, carried(STRANGER, 1), sid=f"sid-of-{sub}")
    assert (await world.last_body())["answer"]["rule_id"] == "keystroke-mismatch"
    return answer


def queued(world: World) -> list[dict[str, Any]]:
    names = (
        "number",
        "id",
        "tenant",
        "issuer",
        "kind",
        "subject",
        "decision",
        "body",
        "attempts",
        "due",
        "created",
        "delivered",
        "error",
        "delivered_at",
    )
    return [dict(zip(names, row, strict=True)) for row in world.rows("outbox")]


async def test_a_rule_ends_the_session_at_the_provider_with_a_verifiable_assertion(
    provider: Provider, tmp_path: Path
) -> None:
    async with world_of(tmp_path, provider.url) as world:
        answer = await mismatch(world)
        assert answer["effects"] == ["revoke_session"]
        await until(lambda: provider.got)
        sent, headers, body = provider.got[0]
        assert (sent["scope"], sent["subject"], sent["sid"]) == ("session", "ann", "sid-of-ann")
        assert sent["reason"] == "keystroke-mismatch"
        issuer = world.settings.base_url
        keys = {issuer: (await world.http.get("/.well-known/jwks.json")).json()["keys"]}
        token = headers["authorization"].removeprefix("Bearer ")
        claims = verify_request(
            token, keys, audience=provider.url, method="POST", url=provider.url, body=body, now=world.clock()
        )
        assert claims.issuer == issuer
        with pytest.raises(TokenInvalid):
            verify_request(
                token, keys, audience=provider.url, method="POST", url=provider.url, body=body + b" ", now=world.clock()
            )
        await until(lambda: queued(world)[0]["delivered"])
        assert queued(world)[0]["due"] is None
        await asyncio.sleep(0.4)
        assert len(provider.got) == 1


async def test_every_effect_of_a_rule_is_carried_out(provider: Provider, tmp_path: Path) -> None:
    async with world_of(tmp_path, provider.url, "revoke_session, revoke_all, notify") as world:
        await mismatch(world)
        await until(lambda: len(provider.got) == 2 and all(row["delivered"] for row in queued(world)))
        assert [sent["scope"] for sent, _, _ in provider.got] == ["session", "all"]
        assert len(queued(world)) == 3


@pytest.mark.parametrize("status", [500, 429, 302])
async def test_a_failure_is_tried_again_with_the_same_id(provider: Provider, tmp_path: Path, status: int) -> None:
    provider.answers = [status, status]
    clock = Clock()
    async with world_of(tmp_path, provider.url, clock=clock) as world:
        await mismatch(world)
        await until(lambda: queued(world)[0]["attempts"] == 1)
        (row,) = queued(world)
        assert row["error"] == f"answered {status}"
        assert 0.5 < row["due"] - clock() <= 1.0
        clock.forward(1.1)
        await until(lambda: queued(world)[0]["attempts"] == 2)
        assert 1.5 < queued(world)[0]["due"] - clock() <= 2.0
        clock.forward(2.1)
        await until(lambda: queued(world)[0]["delivered"])
        assert len({sent["id"] for sent, _, _ in provider.got}) == 1
        tokens = {headers["authorization"] for _, headers, _ in provider.got}
        assert len(tokens) == len(provider.got) == 3


@pytest.mark.parametrize("status", [400, 404])
async def test_a_refusal_is_given_up(provider: Provider, tmp_path: Path, status: int) -> None:
    provider.answers = [status]
    clock = Clock()
    async with world_of(tmp_path, provider.url, clock=clock) as world:
        await mismatch(world)
        await until(lambda: queued(world)[0]["attempts"] == 1)
        (row,) = queued(world)
        assert (row["due"], row["delivered"], row["error"]) == (None, 0, f"answered {status}")
        clock.forward(3600)
        await asyncio.sleep(0.4)
        assert len(provider.got) == 1


async def test_after_a_day_of_failures_it_is_given_up(provider: Provider, tmp_path: Path) -> None:
    provider.answers = [500] * 10
    clock = Clock()
    async with world_of(tmp_path, provider.url, clock=clock) as world:
        await mismatch(world)
        await until(lambda: queued(world)[0]["attempts"] == 1)
        clock.forward(86_401)
        await until(lambda: queued(world)[0]["due"] is None)
        assert queued(world)[0]["delivered"] == 0


async def test_a_provider_that_is_not_there_is_tried_again(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/revoke"
    async with world_of(tmp_path, url) as world:
        await mismatch(world)
        await until(lambda: queued(world)[0]["attempts"] == 1)
        assert queued(world)[0]["due"]
        assert queued(world)[0]["error"] == "ConnectError"


async def test_one_that_cannot_be_opened_does_not_stop_those_behind_it(provider: Provider, tmp_path: Path) -> None:
    """A damaged directory row ended every round of deliveries before those that came after it."""
    import pysqlite3.dbapi2 as sqlite3

    provider.answers = [500, 500]
    clock = Clock()
    async with world_of(tmp_path, provider.url, clock=clock) as world:
        await mismatch(world, "ann")
        await mismatch(world, "ben")
        await until(lambda: [row["attempts"] for row in queued(world)] == [1, 1])
        connection = sqlite3.connect(str(world.path), isolation_level=None)
        connection.execute("UPDATE directory SET sealed = x'00' WHERE subject = ?", (world.pseudonym("ann"),))
        connection.close()
        clock.forward(5)
        await until(lambda: queued(world)[1]["delivered"])
        assert queued(world)[0]["delivered"] == 0


async def test_what_was_queued_survives_a_restart(provider: Provider, tmp_path: Path) -> None:
    provider.answers = [500]
    async with world_of(tmp_path, provider.url) as world:
        await mismatch(world)
        await until(lambda: queued(world)[0]["attempts"] == 1)
        settings = world.settings
    from sidecar.main import application

    later = Clock()
    later.forward(10)
    app = application(settings, later)
    async with app.router.lifespan_context(app):
        await until(lambda: len(provider.got) == 2)
    assert provider.got[0][0]["id"] == provider.got[1][0]["id"]


async def test_an_operator_ends_the_session_a_decision_let_in(provider: Provider, tmp_path: Path) -> None:
    from sidecar.errors import NotFound
    from sidecar.usecases.enact import Enactor

    async with world_of(tmp_path, provider.url) as world:
        answer = await world.idp.login("ann", carried(OWNER, 1), second_factor=True, sid="sid-1")
        inside = world.inside
        enactor = Enactor(inside.outbox, inside.decisions, inside.decisions, {}, world.clock)
        for tenant, decision in (("two", answer["decision_id"]), ("one", "unknown")):
            with pytest.raises(NotFound):
                await enactor.end_session(tenant, decision, scope="session", by="Olive")
        await enactor.end_session("one", answer["decision_id"], scope="session", by="Olive")
        await until(lambda: provider.got)
        sent = provider.got[0][0]
        assert (sent["subject"], sent["sid"], sent["reason"]) == ("ann", "sid-1", "operator Olive")
        without = await world.idp.login("ben", carried(OWNER, 2), second_factor=True)
        with pytest.raises(NotFound):
            await enactor.end_session("one", without["decision_id"], scope="session", by="Olive")
        await enactor.end_session("one", without["decision_id"], scope="all", by="Olive")
        await until(lambda: len(provider.got) == 2)


async def test_whatever_an_adapter_raises_is_tried_again_later_and_holds_up_nobody(
    provider: Provider, tmp_path: Path
) -> None:
    from sidecar.usecases.enact import Enactor

    class Surprising:
        may_disable = False

        async def end(self, *_: Any) -> None:
            raise KeyError("ended")

    async with world_of(tmp_path, provider.url) as world:
        inside, issuer = world.inside, world.settings.idps[0].issuer
        answer = await world.idp.login("ann", carried(OWNER, 1), second_factor=True, sid="sid-1")
        later = world.clock() + 1000  # out of reach of the world's own deliveries
        enactor = Enactor(inside.outbox, inside.decisions, inside.decisions, {issuer: Surprising()}, lambda: later)
        await enactor.end_session("one", answer["decision_id"], scope="session", by="Olive")
        assert [await enactor.deliver_due() for _ in range(2)] == [0, 0]
        (row,) = queued(world)
        assert (row["attempts"], row["due"]) == (1, later + 1)


class AdminApi:
    """As much of Keycloak's Admin API as disabling an account asks for, and what it was asked."""

    def __init__(self, url: str) -> None:
        self.url, self.asked = url, list[str]()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.asked.append(
            f"{scope['method']} {scope['path']}" + (f" {body.decode()}" if scope["method"] == "PUT" else "")
        )
        answer = b'{"access_token": "t"}' if scope["path"].endswith("/token") else b"[]"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": answer})


async def test_an_operator_disables_an_account_where_the_provider_can(tmp_path: Path) -> None:
    from support.operators import acting, cookie, known_person

    async with served(AdminApi) as provider:
        idp = {"adapter": "keycloak", "revocation_url": f"{provider.url}/admin/realms/main"}
        async with World.running(tmp_path, idp=idp, operator=True) as world:
            decision = await known_person(world, "ann")
            page = (await world.http.get("/operator", headers=cookie(world))).text
            assert "Disable this account" in page
            assert (
                "Disable this account"
                not in (await world.http.get("/operator", headers=cookie(world, ["help_desk"]))).text
            )
            done = await world.http.post(f"/operator/api/decisions/one/{decision}/disable", headers=acting(world))
            assert done.status_code == 202
            user = "/admin/realms/main/users/ann"
            await until(lambda: queued(world)[0]["delivered"])
            assert f'PUT {user} {{"enabled":false}}' in provider.asked
            assert f"POST {user}/logout" in provider.asked
            (row,) = queued(world)
            assert 0 <= row["delivered_at"] - row["created"] < 10
            found = (await world.http.get("/operator/api/decisions", headers=cookie(world))).json()["decisions"][0]
            assert (found["end"]["scope"], found["end"]["fate"]) == ("disable", "delivered")
            seen = (await world.http.get("/operator", headers=cookie(world))).text
            assert "account disabled after" in seen
            assert "Disable this account" not in seen


async def test_effects_of_a_degraded_answer_do_not_happen(provider: Provider, tmp_path: Path) -> None:
    import pysqlite3.dbapi2 as sqlite3

    async with world_of(tmp_path, provider.url) as world:
        await world.enroll("ann", OWNER)
        connection = sqlite3.connect(str(world.path), isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        answer = await world.idp.evaluate("ann", carried(STRANGER, 1), sid="sid")
        connection.execute("ROLLBACK")
        connection.close()
        assert (answer["source"], answer["effects"]) == ("degraded", [])
        await asyncio.sleep(0.4)
        assert provider.got == []


async def test_a_slow_provider_does_not_delay_anothers_revocation(provider: Provider, tmp_path: Path) -> None:
    provider.slow = 2.0
    async with world_of(tmp_path, provider.url) as world:
        subs = ("ann", "ben", "cat", "dan", "eve", "fay")
        for sub in subs:
            await mismatch(world, sub)
        await until(
            lambda: len(provider.got) == len(subs), 9.0
        )  # one after the other would take twelve seconds and more
