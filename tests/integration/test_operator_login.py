"""Operators sign in at a real OpenID provider over real sockets: which claims make a role, and which make nothing (ADM5)."""

import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from support.sockets import served
from support.world import World

from sidecar.config import OperatorSettings

pytestmark = pytest.mark.anyio


@dataclass
class Provider:
    """An OpenID provider with one account, whose claims the test says. It insists on PKCE and its client's secret."""

    url: str
    key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256", auto_kid=True))
    claims: dict[str, Any] = field(default_factory=dict)
    asked: dict[str, str] = field(default_factory=dict)
    status: int = 200
    signing: ECKey | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        answer = self._answer(scope["path"], {name: value[0] for name, value in parse_qs(body.decode()).items()})
        status = self.status if answer is not None else 400
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(answer or {"error": "invalid_grant"}).encode()})

    def _answer(self, path: str, form: dict[str, str]) -> dict[str, Any] | None:
        if path == "/.well-known/openid-configuration":
            ends = {"authorization_endpoint": "/authorize", "token_endpoint": "/token", "jwks_uri": "/jwks"}
            return {"issuer": self.url} | {name: self.url + end for name, end in ends.items()}
        if path == "/jwks":
            return {"keys": [self.key.as_dict(private=False)]}
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if form.get("code") != "a-code" or challenge != self.asked["code_challenge"]:
            return None
        now = int(time.time())
        claims = {"iss": self.url, "aud": "operator", "sub": "olive", "iat": now, "exp": now + 60}
        claims |= {"nonce": self.asked["nonce"]} | self.claims
        token = jwt.encode({"alg": "ES256", "kid": self.key.kid}, claims, self.signing or self.key)
        return {"access_token": "unused", "token_type": "Bearer", "id_token": token}


def serving() -> AbstractAsyncContextManager[Provider]:
    return served(Provider)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[World, Provider]]:
    base = tmp_path_factory.mktemp("login")
    (base / "secret").write_text("a secret")
    async with serving() as provider:
        settings = OperatorSettings(
            issuer=provider.url, client_id="operator", client_secret_file=base / "secret", tenants_claim="tenants"
        )
        async with World.running(base, operator=settings) as world:
            yield world, provider


async def signed_in(place: tuple[World, Provider], **claims: Any) -> Any:
    """Sign in with an ID token of these claims; return the callback's answer."""
    world, provider = place
    world.http.cookies.clear()
    begun = await world.http.get("/operator/login")
    assert begun.status_code == 302
    query = {name: value[0] for name, value in parse_qs(urlsplit(begun.headers["location"]).query).items()}
    assert query["code_challenge_method"] == "S256"
    provider.asked, provider.claims = query, claims
    return await world.http.get("/operator/callback", params={"code": "a-code", "state": query["state"]})


async def whoami(place: tuple[World, Provider]) -> dict[str, Any]:
    return dict((await place[0].http.get("/operator/whoami")).json())


@pytest.mark.parametrize(
    "roles", [["viewer"], ["auditor", "help_desk"], ["administrator", "staff", 7, None, "Administrator"]]
)
async def test_sec7_roles_come_from_the_claim_and_those_unknown_are_dropped(
    place: tuple[World, Provider], roles: list[Any]
) -> None:
    assert (await signed_in(place, roles=roles, tenants=["one"])).status_code == 303
    known = {"viewer", "help_desk", "analyst", "policy_author", "administrator", "auditor"}
    assert (await whoami(place))["roles"] == [role for role in roles if role in known]
    assert (await place[0].http.get("/operator")).status_code == 200


@pytest.mark.parametrize(
    "roles",
    [
        None,
        [],
        "administrator",
        {"administrator": True},
        ["admin"],
        ["Administrator"],
        ["administrator "],
        [["viewer"]],
        1,
    ],
)
async def test_sec7_nobody_comes_in_without_a_role(place: tuple[World, Provider], roles: Any) -> None:
    claims = {} if roles is None else {"roles": roles}
    refused = await signed_in(place, **claims, tenants=["one"])
    assert refused.status_code == 403
    assert "none of the roles" in refused.text
    assert (await whoami(place))["error"] == "login_required"
    assert (await place[0].http.get("/operator")).status_code == 401


@pytest.mark.parametrize(
    ("claim", "seen"),
    [
        (["one"], ["one"]),
        (["two", "nowhere"], ["two", "nowhere"]),
        ([], []),
        ("one", []),
        (None, []),
        ("*", []),
        (["*"], ["*"]),
    ],
)
async def test_sec7_tenants_come_from_the_claim_and_without_it_there_are_none(
    place: tuple[World, Provider], claim: Any, seen: list[str]
) -> None:
    world = place[0]
    await world.idp.evaluate("ann")
    await world.other.evaluate("ben")
    claims = {} if claim is None else {"tenants": claim}
    assert (await signed_in(place, roles=["administrator"], **claims)).status_code == 303
    assert (await whoami(place))["tenants"] == seen
    found = (await world.http.get("/operator/api/decisions")).json()["decisions"]
    assert {item["tenant"] for item in found} == set(seen) & {"one", "two"}
    for tenant in ("one", "two", "*"):
        status = (await world.http.get(f"/operator/api/audit/{tenant}")).status_code
        assert status == (200 if tenant in seen and tenant != "*" else 404)


@pytest.mark.parametrize(
    "changed",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "somebody else"},
        {"iss": "http://elsewhere"},
        {"exp": 1},
        {"exp": None},
    ],
)
async def test_sec7_a_token_for_another_login_client_or_time_is_refused(
    place: tuple[World, Provider], changed: dict[str, Any]
) -> None:
    refused = await signed_in(place, roles=["administrator"], tenants=["one"], **changed)
    assert refused.status_code == 403
    assert (await place[0].http.get("/operator/whoami")).status_code == 401


async def test_sec7_a_token_of_a_strangers_key_is_refused(place: tuple[World, Provider]) -> None:
    world, provider = place
    own = provider.key
    world.http.cookies.clear()
    begun = await world.http.get("/operator/login")
    query = {name: value[0] for name, value in parse_qs(urlsplit(begun.headers["location"]).query).items()}
    provider.asked, provider.claims = query, {"roles": ["administrator"]}
    provider.signing = ECKey.generate_key("P-256", {"kid": own.kid})
    try:
        refused = await world.http.get("/operator/callback", params={"code": "a-code", "state": query["state"]})
        assert refused.status_code == 403
        assert (await whoami(place))["error"] == "login_required"
    finally:
        provider.signing = None


async def test_sec7_a_callback_nobody_began_here_is_refused(place: tuple[World, Provider]) -> None:
    world, provider = place
    for params in ({}, {"code": "a-code"}, {"code": "a-code", "state": "made-up"}, {"state": "é", "code": "a-code"}):
        world.http.cookies.clear()
        assert (await world.http.get("/operator/callback", params=params)).status_code == 403
        await world.http.get("/operator/login")
        assert (await world.http.get("/operator/callback", params=params)).status_code == 403
        assert (await world.http.get("/operator/whoami")).status_code == 401
    # A code that was redeemed does not work a second time: what began the login is gone.
    assert (await signed_in(place, roles=["viewer"], tenants=["one"])).status_code == 303
    again = {"code": "a-code", "state": provider.asked["state"]}
    assert (await world.http.get("/operator/callback", params=again)).status_code == 403


async def test_a_provider_that_fails_lets_nobody_in(place: tuple[World, Provider]) -> None:
    provider = place[1]
    provider.status = 500
    try:
        assert (await signed_in(place, roles=["administrator"], tenants=["one"])).status_code == 502
    finally:
        provider.status = 200
    assert (await place[0].http.get("/operator/whoami")).status_code == 401
