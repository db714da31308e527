"""The one call that comes from the sidecar: end a session, or all of a user's."""

import json
import time
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from idp_adapters.demo.services import Services
from idp_adapters.demo.settings import REVOKE_PATH, DemoSettings
from idp_adapters.demo.web import FormError, read_body
from sidecar.errors import TokenInvalid
from sidecar.tokens import Jwk, RequestClaims, verify_request

MAX_HOOK_BYTES = 64 * 1024
JWKS_SECONDS = 300
JWKS_COOL_DOWN_SECONDS = 10


class Revocation(BaseModel):
    """What the sidecar sends."""

    model_config = ConfigDict(strict=True)
    id: str = Field(min_length=1, max_length=128)
    scope: str = Field(pattern="^(session|all)$")
    subject: str = Field(min_length=1, max_length=255)
    sid: str | None = Field(default=None, max_length=255)
    reason: str | None = Field(default=None, max_length=500)


@dataclass
class SidecarKeys:
    """The sidecar's public keys: pinned by the settings, else fetched and kept for five minutes.

    A signature that does not verify is one reason to look again (the key may have been rotated), but not more
    often than every ten seconds, or anybody could make us hammer the sidecar.
    """

    settings: DemoSettings
    http: httpx.AsyncClient
    _keys: list[Jwk] | None = None
    _fetched: float = float("-inf")

    async def get(self, *, renew: bool = False) -> dict[str, list[Jwk]]:
        """Keys by issuer. Raises httpx.HTTPError, ValueError when they cannot be had."""
        issuer = self.settings.sidecar_issuer or self.settings.sidecar_url
        if self.settings.sidecar_jwks is not None:
            return {issuer: list(self.settings.sidecar_jwks["keys"])}
        age = time.monotonic() - self._fetched
        if self._keys is None or age > (JWKS_COOL_DOWN_SECONDS if renew else JWKS_SECONDS):
            answer = await self.http.get(self.settings.sidecar_url + "/.well-known/jwks.json")
            answer.raise_for_status()
            document = answer.json()
            if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
                raise ValueError("not a JWK set")
            self._keys, self._fetched = (
                [key for key in document["keys"] if isinstance(key, dict)],
                time.monotonic(),
            )
        return {issuer: self._keys}


class HookRoutes:
    """The handler of revocations."""

    def __init__(self, services: Services, http: httpx.AsyncClient) -> None:
        self._s, self._keys = services, SidecarKeys(services.settings, http)

    def router(self) -> APIRouter:
        """The route."""
        router = APIRouter()
        router.add_api_route(REVOKE_PATH, self.revoke, methods=["POST"], response_model=None)
        return router

    async def revoke(self, request: Request) -> Response:  # noqa: PLR0911 - one return a check
        """Verify over the raw bytes first, read afterwards; a repetition gets the stored answer."""
        try:
            body = await read_body(request, MAX_HOOK_BYTES)
        except FormError as refused:
            return _problem(refused.status, refused.message)
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return _problem(415, "application/json expected")
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return _problem(401, "a bearer assertion is required")
        try:
            caller = await self._verified(token.strip(), body)
            revocation = Revocation.model_validate(json.loads(body))
        except TokenInvalid as problem:
            return _problem(401, problem.message)
        except httpx.HTTPError:
            return _problem(503, "the caller's keys cannot be had")
        except (ValidationError, ValueError):
            return _problem(400, "not a revocation")
        if revocation.scope == "session" and not revocation.sid:
            return _problem(400, "sid is required for scope session")
        return self._apply(caller, revocation)

    async def _verified(self, token: str, body: bytes) -> RequestClaims:
        url = self._s.settings.revoke_url

        def verify(keys: dict[str, list[Jwk]]) -> RequestClaims:
            return verify_request(token, keys, audience=url, method="POST", url=url, body=body, now=time.time())

        try:
            return verify(await self._keys.get())
        except TokenInvalid:
            return verify(await self._keys.get(renew=True))

    def _apply(self, caller: RequestClaims, revocation: Revocation) -> Response:
        """Once per id. The id, the assertion's jti and the effect are stored together or not at all."""
        s, notices, ended = self._s, [], 0
        wanted = json.dumps([revocation.scope, revocation.subject, revocation.sid])
        with s.db.transaction():
            s.db.run("DELETE FROM seen_jti WHERE expires < ?", time.time() - 60)
            known = s.db.one("SELECT body, ended FROM revocation WHERE id = ?", revocation.id)
            if known:
                same = known["body"] == wanted
                return (
                    JSONResponse({"ended": known["ended"]}) if same else _problem(409, "this id meant something else")
                )
            fresh = s.db.run(
                "INSERT INTO seen_jti (issuer, jti, expires) VALUES (?,?,?) ON CONFLICT DO NOTHING",
                caller.issuer, caller.jti, caller.expires,
            )  # fmt: skip
            if not fresh:
                return _problem(401, "this assertion was used before")
            for session in s.sessions.of_user(revocation.subject):
                if revocation.scope == "all" or session.sid == revocation.sid:
                    notices += s.sessions.end(session)
                    ended += 1
            s.logins.close_unfinished(revocation.subject, revocation.sid if revocation.scope == "session" else None)
            s.db.run("INSERT INTO revocation (id, body, ended) VALUES (?,?,?)", revocation.id, wanted, ended)
        s.logout.send(notices)
        return JSONResponse({"ended": ended})


def _problem(status: int, detail: str) -> Response:
    body: dict[str, Any] = {
        "error": {400: "bad_request", 401: "token_invalid"}.get(status, "refused"),
        "detail": detail,
    }
    return JSONResponse(body, status)
