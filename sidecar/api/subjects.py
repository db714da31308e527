"""People's rights, asked for by their identity provider: every call is signed, and names a user of the provider's tenant."""

from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from msgspec import Meta, Struct

from sidecar.api.requests import Caller, Callers, answering, decoded
from sidecar.usecases.rights import Rights

HEADERS = {"Cache-Control": "no-store"}
Text = Annotated[str, Meta(min_length=1, max_length=255)]


class _Subject(Struct):
    id: Text


class _Whose(Struct, forbid_unknown_fields=True):
    subject: _Subject


class _Told(Struct, forbid_unknown_fields=True):
    subject: _Subject
    given: bool
    version: Annotated[str, Meta(max_length=64)] | None = None
    recording: Annotated[str, Meta(max_length=64)] | None = None
    second_factor: bool = False
    answered_at: Annotated[float, Meta(ge=0)] | None = None


def routes(callers: Callers, rights: Rights) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/v1/subjects", route_class=answering(callers.settings))

    async def whose(request: Request) -> tuple[Caller, str]:
        caller = await callers.verify(request)
        return caller, decoded(caller.body, _Whose).subject.id

    @router.post("/show")
    async def show(request: Request) -> Response:
        caller, subject = await whose(request)
        return _answer(await rights.show(caller.idp.tenant, subject, caller.idp.issuer, caller.assertion))

    @router.post("/export")
    async def export(request: Request) -> Response:
        caller, subject = await whose(request)
        return _answer(await rights.export(caller.idp.tenant, subject, caller.idp.issuer, caller.assertion))

    @router.post("/consent")
    async def consent(request: Request) -> Response:
        caller = await callers.verify(request)
        told = decoded(caller.body, _Told)
        standing = await rights.stand(
            caller.idp.tenant,
            told.subject.id,
            caller.idp.issuer,
            given=told.given,
            version=told.version,
            recording=told.recording,
            confirmed=told.second_factor,
            answered_at=told.answered_at,
            assertion=caller.assertion,
        )
        return _answer({"consent": str(standing.state), "confirmed": standing.confirmed})

    @router.post("/{act}")
    async def pause(act: str, request: Request) -> Response:
        caller, subject = await whose(request)
        who = (caller.idp.tenant, subject, caller.idp.issuer)
        if act == "forget":
            return _answer({"forgotten": await rights.forget(*who, caller.assertion)})
        if act in ("pause", "resume"):
            await rights.pause(*who, paused=act == "pause", assertion=caller.assertion)
            return _answer({"paused": act == "pause"})
        return JSONResponse({"error": "not_found", "message": "no such call"}, 404)

    return router


def _answer(content: dict[str, Any]) -> Response:
    return JSONResponse(content, headers=HEADERS)
