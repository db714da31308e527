"""The demo provider against a scripted sidecar, and a browser in front of it."""

import asyncio
import base64
import hashlib
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
from joserfc import jwt
from joserfc.jwk import KeySet

from idp_adapters.demo.idp import create_idp
from idp_adapters.demo.seed import seed
from idp_adapters.demo.settings import DemoSettings, SeedConsent, SeedUser, demo_client
from sidecar.tokens import SigningKey, load_signing_key, new_signing_key, sign_request, verify_request

IDP, APP, SIDECAR = "http://localhost:8801", "http://localhost:8802", "http://localhost:8803"
REVOKE = IDP + "/gaitkeeper/sessions/revoke"
TOTP = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
VERIFIER = "v" * 43
CALLBACK = f"{APP}/callback"
AGREED = SeedConsent(True, "seeded")
ADA = SeedUser("ada", "Ada Lovelace", "engine-number-one", ("admin",), TOTP, sub="sub-ada", consent=AGREED)
PLAIN = SeedUser("plain", "Plain User", "no-second-factor", sub="sub-plain", consent=AGREED)
KEPT = {"profiles": [{"field": "password", "state": "learning", "samples": 3}]}


def answer(action: str) -> dict[str, Any]:
    """An evaluation as the sidecar gives it."""
    context = {
        "decision_id": "dec-1",
        "action": action,
        "acr_values": "2",
        "factor": "second_factor",
        "source": "scored",
        "risk_level": "low",
        "reason_user": {"en": "Your typing was looked at."},
        "reason_admin": {"en": "for the log"},
        "trust": False,
    }
    return {"decision": action == "allow", "context": context}


@dataclass
class World:
    """The network around the provider: a scripted sidecar and the application's logout endpoint."""

    settings: DemoSettings
    sidecar_key: SigningKey
    reply: Callable[[], httpx.Response] = lambda: httpx.Response(200, json=answer("allow"))
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    idempotency: list[str] = field(default_factory=list)
    logout_tokens: list[str] = field(default_factory=list)
    app: Any = None
    report_status: list[int] = field(default_factory=list)
    rights: Callable[[str], httpx.Response] = lambda act: httpx.Response(
        200, json=KEPT if act == "show" else {"done": act}
    )

    def says(self, action: str) -> None:
        self.reply = lambda: httpx.Response(200, json=answer(action))

    def told(self, path: str) -> list[dict[str, Any]]:
        return [body for seen, body in self.calls if path in seen]

    def provider_key(self) -> SigningKey:
        return load_signing_key(Path(self.settings.assertion_key_path).read_text())

    async def handle(self, request: httpx.Request) -> httpx.Response:
        url = str(request.url)
        if url.startswith(APP):
            self.logout_tokens.append(dict(parse_qsl(request.content.decode()))["logout_token"])
            return httpx.Response(200)
        if request.url.path == "/.well-known/jwks.json":
            return httpx.Response(200, json={"keys": [self.sidecar_key.jwk]})
        key = self.provider_key()
        verify_request(
            request.headers["authorization"].removeprefix("Bearer "),
            {IDP: [key.jwk]},
            audience=SIDECAR,
            method="POST",
            url=url,
            body=request.content,
            now=time.time(),
        )
        self.calls.append((request.url.path, json.loads(request.content)))
        if request.url.path == "/access/v1/evaluation":
            self.idempotency.append(request.headers["idempotency-key"])
            return self.reply()
        if request.url.path.startswith("/v1/subjects/"):
            return self.rights(request.url.path.rpartition("/")[2])
        return httpx.Response(self.report_status.pop(0) if self.report_status else 200, json={})

    async def revoke(self, browser: httpx.AsyncClient, key: SigningKey | None = None, **body: Any) -> httpx.Response:
        """Call the hook the way the sidecar does."""
        content = json.dumps(
            {"id": "out-1", "scope": "all", "subject": ADA.sub, "sid": None, "reason": None} | body
        ).encode()
        token = sign_request(
            key or self.sidecar_key,
            issuer=SIDECAR,
            audience=REVOKE,
            method="POST",
            url=REVOKE,
            body=content,
            now=time.time(),
        )
        return await self.post_revocation(browser, content, token)

    async def post_revocation(self, browser: httpx.AsyncClient, content: bytes, token: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        return await browser.post("/gaitkeeper/sessions/revoke", content=content, headers=headers)


class Browser:
    """A browser that stays at the provider and remembers cookies, like a visitor's."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app=world.app), base_url=IDP)

    async def start(self, **extra: str) -> httpx.Response:
        challenge = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
        parameters = {
            "response_type": "code",
            "client_id": "harbour-bank",
            "redirect_uri": CALLBACK,
            "scope": "openid profile",
            "state": "st",
            "nonce": "no",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return await self.http.get("/authorize", params=parameters | extra)

    async def login_page(self, **extra: str) -> str:
        started = await self.start(**extra)
        assert started.status_code == 303
        return (await self.http.get(started.headers["location"])).text

    async def submit(self, page: str, **typed: str) -> httpx.Response:
        form = dict(re.findall(r'name="(txn|csrf)" value="([^"]*)"', page)) | typed
        return await self.http.post(re.search(r'<form method="post" action="(/[\w/]+)', page)[1], data=form)  # type: ignore[index]

    async def sign_in(self, user: SeedUser = ADA, **extra: str) -> httpx.Response:
        return await self.submit(await self.login_page(**extra), username=user.username, password=user.password)

    async def otp_page(self, **extra: str) -> str:
        """Sign in where a second factor is asked, and go to its page."""
        step = await self.sign_in(**extra)
        assert step.headers["location"].startswith("/otp?")
        return (await self.http.get(step.headers["location"])).text

    async def tokens(self, redirect: httpx.Response) -> dict[str, Any]:
        code = query(redirect)["code"]
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
        reply = await self.http.post("/token", data=form, auth=("harbour-bank", "app-secret"))
        assert reply.status_code == 200, reply.text
        found: dict[str, Any] = reply.json()
        return found

    async def claims(self, redirect: httpx.Response) -> dict[str, Any]:
        token = (await self.tokens(redirect))["id_token"]
        keys = KeySet.import_key_set((await self.http.get("/jwks")).json())
        return jwt.decode(token, keys, ["ES256"]).claims

    async def told(self, path: str) -> list[dict[str, Any]]:
        """What the sidecar heard, once everything in the background has arrived."""
        await self.world.app.state.services.settled()
        return self.world.told(path)


def query(response: httpx.Response) -> dict[str, str]:
    assert response.status_code == 303, response.text
    return {name: values[0] for name, values in parse_qs(urlsplit(response.headers["location"]).query).items()}


Scenario = Callable[[World, Browser], Coroutine[Any, Any, None]]


def play(directory: Path, scenario: Scenario, **client: Any) -> None:
    """Run a scenario against a fresh provider; keyword arguments change the client's settings."""

    async def whole() -> None:
        async with _stage(directory, client) as (world, browser):
            await scenario(world, browser)

    asyncio.run(whole())


@asynccontextmanager
async def _stage(directory: Path, client: dict[str, Any]) -> AsyncIterator[tuple[World, Browser]]:
    for name in ("assertion", "oidc"):
        (directory / f"{name}.pem").write_text(new_signing_key().pem)
    settings = DemoSettings(
        idp_url=IDP,
        app_url=APP,
        sidecar_url=SIDECAR,
        db_path=str(directory / "idp.db"),
        site_key="site",
        assertion_key_path=str(directory / "assertion.pem"),
        oidc_key_path=str(directory / "oidc.pem"),
        clients=(replace(demo_client(APP, secret="app-secret"), **client),),
        users=(ADA, PLAIN),
        deadline_ms=300,
    )
    assert seed(settings) == 2
    world = World(settings, new_signing_key())
    world.app = create_idp(settings, transport=httpx.MockTransport(world.handle))
    browser = Browser(world)
    try:
        yield world, browser
    finally:
        await browser.http.aclose()
        await world.app.state.aclose()
