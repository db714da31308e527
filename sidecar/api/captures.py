"""The widget's two endpoints. They never tell a score, or whether anybody is known (CAP10, SEC6)."""

from collections.abc import Callable

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from sidecar.api.requests import answering, bounded_body, error_response, origin_of
from sidecar.config import Settings
from sidecar.errors import GaitkeeperError, SiteUnknown
from sidecar.keyring import Keyring
from sidecar.ports import Captures
from sidecar.usecases.observe import observe
from sidecar.usecases.open_capture import CAPTURE_SECONDS, open_capture
from sidecar.wire import MAX_BATCH_BYTES, decode_open, decode_send


def routes(settings: Settings, keyring: Keyring, captures: Captures, clock: Callable[[], float]) -> APIRouter:
    """Return the routes. Bodies are JSON sent as text/plain, so that browsers ask no preflight."""
    router = APIRouter(route_class=answering(settings))
    origins = {origin for idp in settings.idps for origin in idp.origins}

    def allowed(request: Request) -> dict[str, str]:
        origin = request.headers.get("origin", "")
        return {"Access-Control-Allow-Origin": origin, "Vary": "Origin"} if origin in origins else {}

    @router.post("/v1/captures")
    async def open_(request: Request) -> Response:
        try:
            asked = decode_open(await bounded_body(request, 1024))
            site, origin = settings.site(asked.site), origin_of(request)
            if site is None or origin not in site.origins:
                raise SiteUnknown("no such site for this origin")
        except GaitkeeperError as error:
            return _with(error_response(error), allowed(request))
        gpc = request.headers.get("sec-gpc") == "1"
        capture, token = open_capture(site, origin, asked.attempt, keyring.captures, now=clock(), gpc=gpc)
        body = {"capture": capture, "token": token, "expires_in": CAPTURE_SECONDS, "secret": site.secret_fields}
        return JSONResponse(body, 201, allowed(request) | {"Cache-Control": "no-store"})

    @router.post("/v1/captures/{capture}/batches")
    async def batch(capture: str, request: Request) -> Response:
        try:
            sent = decode_send(await bounded_body(request, MAX_BATCH_BYTES + 4096))
            await observe(captures, keyring.captures, capture, origin_of(request), sent, now=clock())
        except GaitkeeperError as error:
            return _with(error_response(error), allowed(request))
        return Response(status_code=204, headers=allowed(request))

    @router.options("/v1/captures")
    @router.options("/v1/captures/{capture}/batches")
    async def preflight(request: Request) -> Response:
        ask = {"Access-Control-Allow-Methods": "POST", "Access-Control-Allow-Headers": "Content-Type"}
        headers = allowed(request)
        return Response(status_code=204, headers=headers | ask if headers else {})

    return router


def _with(response: JSONResponse, headers: dict[str, str]) -> JSONResponse:
    response.headers.update(headers)
    return response
