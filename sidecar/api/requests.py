"""What every route shares: bounded raw bodies, verified callers, errors as JSON with a stable code."""

import asyncio
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import structlog
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sidecar.config import IdpSettings, Settings
from sidecar.errors import (
    BadRequest,
    BodyTooLarge,
    BodyTooSlow,
    Busy,
    GaitkeeperError,
    StorageFailed,
    TokenInvalid,
    UnsupportedMedia,
)
from sidecar.ports import Assertion
from sidecar.tokens import Jwk, verify_request

log = structlog.get_logger()
T = TypeVar("T")

MAX_HOOK_BYTES = 256 * 1024
BODY_SECONDS = 5.0
ANSWER_SECONDS = 3.0
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


@dataclass(frozen=True, slots=True)
class Caller:
    """A verified caller: the identity provider it is, its assertion, and the exact bytes it signed."""

    idp: IdpSettings
    assertion: Assertion
    body: bytes


@dataclass(frozen=True, slots=True)
class Callers:
    """Verifies that a request was signed by a configured identity provider."""

    settings: Settings
    keys: dict[str, list[Jwk]]
    clock: Callable[[], float]

    async def verify(self, request: Request) -> Caller:
        """Read and verify one request. Raises BodyTooLarge, UnsupportedMedia, TokenInvalid."""
        body = await bounded_body(request, MAX_HOOK_BYTES)
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise UnsupportedMedia("send application/json")
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise TokenInvalid("no bearer assertion")
        claims = verify_request(
            token,
            self.keys,
            audience=self.settings.base_url,
            method=request.method,
            url=self.settings.base_url + request.url.path,
            body=body,
            now=self.clock(),
        )
        return Caller(self.settings.idp(claims.issuer), (claims.issuer, claims.jti, claims.expires), body)


def answering(settings: Settings) -> type[APIRoute]:
    """Return a kind of route that always answers in the end: a frozen database must not collect open requests.

    What runs on in the writer thread may be kept all the same; every such request may be repeated.
    """
    seconds = BODY_SECONDS + max(ANSWER_SECONDS, settings.deadline_ms / 1000 + 1)

    class Answering(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handler = super().get_route_handler()

            async def within(request: Request) -> Response:
                try:
                    async with asyncio.timeout(seconds):
                        return await handler(request)
                except TimeoutError:
                    raise StorageFailed(f"no answer within {seconds:.0f} s") from None

            return within

    return Answering


def decoded(body: bytes, kind: type[T]) -> T:
    """Decode a JSON body. Raises BadRequest."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(str(error)[:200]) from None


async def bounded_body(request: Request, limit: int) -> bytes:
    """Read a body of at most ``limit`` bytes without ever holding more. Raises BodyTooLarge, BadRequest."""
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise BodyTooLarge(f"at most {limit} bytes")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise BodyTooLarge(f"at most {limit} bytes")
    except TimeoutError:
        raise BodyTooSlow(f"not there within {BODY_SECONDS:.0f} s") from None
    return bytes(body)


def error_response(error: GaitkeeperError) -> JSONResponse:
    """Encode an error: ``{"error": code, "message": text}``."""
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
    if isinstance(error, Busy):
        headers["Retry-After"] = str(error.again_seconds)
    return JSONResponse({"error": error.code, "message": error.message}, error.status, headers)


def install_error_handlers(app: FastAPI) -> None:
    """Answer every error with its stable code; the unforeseen with ``internal`` and nothing of its text."""

    @app.exception_handler(GaitkeeperError)
    async def known(_: Request, error: GaitkeeperError) -> JSONResponse:
        return error_response(error)

    @app.exception_handler(HTTPException)
    async def routing(_: Request, error: HTTPException) -> JSONResponse:
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
        return JSONResponse({"error": code, "message": str(error.detail)}, error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def unforeseen(request: Request, error: Exception) -> JSONResponse:
        log.error("unforeseen", path=request.url.path, error=type(error).__name__, exc_info=error)
        return error_response(GaitkeeperError("something went wrong here; it is logged"))

    app.add_middleware(_RequestId)


class _RequestId:
    """Echoes a request's id, as AuthZEN asks, and only what cannot forge a header or a log line."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = Headers(scope=scope).get("x-request-id", "") if scope["type"] == "http" else ""

        async def echoing(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-ID"] = given
            await send(message)

        await self._app(scope, receive, echoing if _REQUEST_ID.fullmatch(given) else send)


def origin_of(request: Request) -> str:
    """Return the page's origin. Raises BadRequest when the browser names none."""
    origin = request.headers.get("origin", "")
    if not origin or origin == "null":
        raise BadRequest("no Origin header")
    return origin
