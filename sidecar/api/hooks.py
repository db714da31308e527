"""What identity providers call: evaluation (AuthZEN 1.0), completion, events, profiles. Every call is signed."""

import asyncio
import time
from typing import Annotated, Any, Literal

import msgspec
import structlog
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from msgspec import Meta, Struct

from sidecar.api.requests import Caller, Callers, answering, decoded
from sidecar.domain.decisions import Action, Answer, Attempt, ToldConsent
from sidecar.errors import BadRequest, StorageFailed
from sidecar.keyring import Keyring
from sidecar.ports import Assertions, Audit, AuditEntry, Correction, Keys, Profiles, Surroundings
from sidecar.usecases.assess import Assessor, request_digest
from sidecar.usecases.complete import Completer
from sidecar.usecases.profiles import describe
from sidecar.usecases.reasons import FOR_USERS
from sidecar.usecases.tell import tell

log = structlog.get_logger()

Identifier = Annotated[str, Meta(min_length=1, max_length=255)]
DeviceText = Annotated[str, Meta(max_length=1024)]
CaptureText = Annotated[str, Meta(max_length=64 * 1024)]


class _Properties(Struct):
    name: Annotated[str, Meta(max_length=255)] | None = None
    realm: Annotated[str, Meta(max_length=255)] | None = None
    roles: Annotated[list[Identifier], Meta(max_length=256)] | None = None
    groups: Annotated[list[Identifier], Meta(max_length=256)] | None = None


class Subject(Struct):
    """A person, as the provider names them."""

    id: Identifier
    type: str = "user"
    properties: _Properties = msgspec.field(default_factory=_Properties)


class _Named(Struct):
    name: Literal["login", "session_check"]


class _Resource(Struct):
    id: Identifier
    type: str = "client"


class Consented(Struct, forbid_unknown_fields=True):
    """What a person answered."""

    given: bool
    version: Annotated[str, Meta(max_length=64)] | None = None
    recording: Annotated[str, Meta(max_length=64)] | None = None
    answered_at: Annotated[float, Meta(ge=0)] | None = None


class _Context(Struct):
    attempt: Annotated[str, Meta(min_length=8, max_length=128)] | None = None
    attempt_started_at: Annotated[float, Meta(ge=0)] | None = None
    capture: CaptureText | Annotated[list[CaptureText], Meta(max_length=4)] | None = None
    sid: Identifier | None = None
    ip: Annotated[str, Meta(max_length=64)] | None = None
    user_agent: Annotated[str, Meta(max_length=1024)] | None = None
    consent: Consented | None = None
    second_factor: bool | None = None
    without_second_factor: Literal["allow", "deny"] | None = None
    gpc: bool = False
    device: DeviceText | None = None
    session_started_at: Annotated[float, Meta(ge=0)] | None = None


class _Evaluation(Struct):
    subject: Subject
    action: _Named
    resource: _Resource
    context: _Context = msgspec.field(default_factory=_Context)


class _Completion(Struct, forbid_unknown_fields=True):
    outcome: str
    second_factor: bool = False
    sid: Identifier | None = None


class _Event(Struct, forbid_unknown_fields=True):
    type: str
    subject: Subject
    sid: Identifier | None = None
    at: Annotated[float, Meta(ge=0)] | None = None
    device: DeviceText | None = None


class _Whose(Struct, forbid_unknown_fields=True):
    subject: Subject


def routes(
    callers: Callers,
    assessor: Assessor,
    completer: Completer,
    *,
    profiles: Profiles,
    correction: Correction,
    audit: Audit,
    assertions: Assertions,
    keys: Keys,
    keyring: Keyring,
    surroundings: Surroundings,
) -> APIRouter:
    """Return the routes."""
    settings = callers.settings
    router = APIRouter(route_class=answering(settings))

    @router.post("/access/v1/evaluation")
    async def evaluation(request: Request) -> Response:
        caller = await callers.verify(request)
        attempt = _attempt(caller, decoded(caller.body, _Evaluation))
        key = request.headers.get("idempotency-key")
        if key is not None and not 8 <= len(key) <= 128:
            raise BadRequest("an Idempotency-Key has 8 to 128 characters")
        idempotency = (key, request_digest(caller.body)) if key else None
        began = time.perf_counter()
        try:
            async with asyncio.timeout(settings.deadline_ms / 1000):
                answer = await assessor.assess(attempt, caller.assertion, idempotency)
        except (TimeoutError, StorageFailed) as failure:
            answer = assessor.degraded(attempt)
            log.warning(
                "decision_degraded", cause=type(failure).__name__, why=str(failure)[:200], client=attempt.client
            )
        log.info("decision", id=answer.decision_id, action=answer.consequence.action, rule=answer.rule_id,
                 source=answer.source, ms=round((time.perf_counter() - began) * 1000, 1))  # fmt: skip
        return JSONResponse(_encode(answer, attempt), headers={"Cache-Control": "no-store"})

    @router.post("/v1/decisions/{decision_id}/completion")
    async def completion(decision_id: str, request: Request) -> Response:
        caller = await callers.verify(request)
        told = decoded(caller.body, _Completion)
        closed = await completer.complete(
            caller.idp.tenant,
            caller.idp.issuer,
            decision_id,
            outcome=told.outcome,
            second_factor=told.second_factor,
            sid=told.sid,
            assertion=caller.assertion,
        )
        return JSONResponse({"closed": closed})

    @router.post("/v1/events")
    async def event(request: Request) -> Response:
        caller = await callers.verify(request)
        told = decoded(caller.body, _Event)
        await tell(
            correction,
            assertions,
            keys,
            keyring,
            profiles,
            tenant=caller.idp.tenant,
            event=told.type,
            subject=told.subject.id,
            assertion=caller.assertion,
            by=caller.idp.issuer,
            now=callers.clock(),
            happened=told.at,
            surroundings=surroundings,
            device=assessor.watcher.device(caller.idp.tenant, told.device, callers.clock()),
        )
        return Response(status_code=204)

    @router.post("/v1/profiles")
    async def profile(request: Request) -> Response:
        caller = await callers.verify(request)
        whose = decoded(caller.body, _Whose)
        await assertions.spend(caller.assertion)
        tenant, subject = caller.idp.tenant, whose.subject.id
        rows = await describe(profiles, keyring, settings.learning, tenant, subject, callers.clock)
        read = AuditEntry(
            tenant,
            "subject.read",
            caller.idp.issuer,
            keyring.pseudonym(tenant, subject),
            {"what": "states"},
            callers.clock(),
        )
        await audit.add([read])
        return JSONResponse({"profiles": rows}, headers={"Cache-Control": "no-store"})

    return router


def captures_of(sent: str | list[str] | None) -> tuple[str, ...]:
    """Return the hidden fields that were sent, one a page."""
    return tuple(sent) if isinstance(sent, list) else (sent,) if sent else ()


def _attempt(caller: Caller, asked: _Evaluation) -> Attempt:
    context = asked.context
    return Attempt(
        tenant=caller.idp.tenant,
        issuer=caller.idp.issuer,
        subject=asked.subject.id,
        name=asked.subject.properties.name,
        action=asked.action.name,
        client=asked.resource.id,
        attempt=context.attempt,
        started_at=context.attempt_started_at,
        captures=captures_of(context.capture),
        sid=context.sid,
        ip=context.ip,
        user_agent=context.user_agent,
        consent=ToldConsent(told.given, told.version, told.recording, told.answered_at)
        if (told := context.consent)
        else None,
        second_factor=context.second_factor,
        without_second_factor=context.without_second_factor,
        gpc=context.gpc,
        realm=asked.subject.properties.realm,
        roles=None if (roles := asked.subject.properties.roles) is None else tuple(roles),
        groups=None if (groups := asked.subject.properties.groups) is None else tuple(groups),
        device=context.device,
        session_started_at=context.session_started_at,
    )


def _encode(answer: Answer, attempt: Attempt) -> dict[str, Any]:
    """Encode an AuthZEN answer: a challenge is a ``false`` whose context says how to turn it into a ``true``.

    It names whom and what it is about, so that a provider can tell an answer that a cache or a proxy mixed up.
    """
    consequence = answer.consequence
    context: dict[str, Any] = {
        "decision_id": answer.decision_id,
        "subject": attempt.subject,
        "attempt": attempt.attempt,
        "action": consequence.action,
        "source": answer.source,
        "risk_level": answer.risk_level,
        "trust": answer.trust,
        "effects": list(consequence.effects),
        "reason_admin": {"en": f"{answer.rule_id}: {answer.reason}"},
    }
    if answer.unmet:
        context["unmet"] = True
    if answer.cookie is not None:
        context["device_cookie"] = {"value": answer.cookie.value, "max_age": answer.cookie.seconds}
    if consequence.action is Action.STEP_UP:
        context |= {"acr_values": consequence.acr_values, "factor": consequence.factor}
    if consequence.action is not Action.ALLOW:
        context["reason_user"] = {"en": FOR_USERS}
    return {"decision": consequence.action is Action.ALLOW, "context": context}
