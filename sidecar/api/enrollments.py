"""Where accounts and passwords are made: the provider sends what was typed there, to begin a profile with."""

from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from msgspec import Meta, Struct

from sidecar.api.hooks import CaptureText, Consented, Identifier, Subject, captures_of
from sidecar.api.requests import Callers, answering, decoded
from sidecar.domain.decisions import Attempt, ToldConsent
from sidecar.usecases.enroll import Enroller, Occasion


class _Enrollment(Struct, forbid_unknown_fields=True):
    subject: Subject
    client: Identifier
    attempt: Annotated[str, Meta(min_length=8, max_length=128)]
    capture: CaptureText | Annotated[list[CaptureText], Meta(max_length=4)]
    consent: Consented | None = None
    attempt_started_at: Annotated[float, Meta(ge=0)] | None = None
    occasion: Occasion = "password_changed"


def routes(callers: Callers, enroller: Enroller) -> APIRouter:
    """Return the routes."""
    router = APIRouter(route_class=answering(callers.settings))

    @router.post("/v1/enrollments")
    async def enrollment(request: Request) -> Response:
        caller = await callers.verify(request)
        told = decoded(caller.body, _Enrollment)
        attempt = Attempt(
            tenant=caller.idp.tenant,
            issuer=caller.idp.issuer,
            subject=told.subject.id,
            name=told.subject.properties.name,
            action="enrollment",
            client=told.client,
            attempt=told.attempt,
            started_at=told.attempt_started_at,
            captures=captures_of(told.capture),
            sid=None,
            ip=None,
            user_agent=None,
            consent=ToldConsent(said.given, said.version, said.recording, said.answered_at)
            if (said := told.consent)
            else None,
        )
        begun = await enroller.enroll(attempt, told.occasion, caller.assertion)
        return JSONResponse({"learned": begun}, headers={"Cache-Control": "no-store"})

    return router
