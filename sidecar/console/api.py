"""The operators' API: what the page shows and more, as JSON. Same sign-in, same roles; acts carry the ``X-CSRF`` header.

Raises Forbidden without the permission, and NotFound for tenants that the operator may not see, as for those that do not
exist.
"""

import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from msgspec import Meta, Struct

from sidecar.api.requests import bounded_body, decoded
from sidecar.console.login import Operator, operator
from sidecar.console.pages import Readings
from sidecar.console.rows import row
from sidecar.console.typing import of_person
from sidecar.domain.roles import Permission
from sidecar.errors import BadRequest, Forbidden, NotFound
from sidecar.ports import Decisions, SessionEnd, StoredDecision
from sidecar.usecases.enact import Enactor
from sidecar.usecases.in_force import InForce
from sidecar.usecases.rights import Rights, moment
from sidecar.usecases.watching import TypingWatch

MOST = 200
HEADERS = {"Cache-Control": "no-store"}
WHY = ("risk", "confidence", "reason", "source", "ended", "contributions", "would_pass", "absences", "trace")
ACTS = {
    "pause": Permission.PEOPLE_PAUSE,
    "resume": Permission.PEOPLE_PAUSE,
    "forget": Permission.PEOPLE_FORGET,
    "mark": Permission.PEOPLE_MARK,
    "reset": Permission.PROFILES_CORRECT,
    "unlearn": Permission.PROFILES_CORRECT,
    "rebuild": Permission.PROFILES_CORRECT,
    "confirm": Permission.PROFILES_CORRECT,
}


class _Act(Struct, forbid_unknown_fields=True):
    field: Annotated[str, Meta(max_length=64)] = "password"
    since: Annotated[float, Meta(ge=0)] | None = None
    mark: Literal["safe", "compromised"] | None = None
    until: Annotated[float, Meta(ge=0)] | None = None


class _End(Struct, forbid_unknown_fields=True):
    scope: str = "session"


@dataclass(frozen=True, slots=True)
class OperatorApi:
    """What the routes need; built once by ``main``."""

    tenants: Sequence[str]
    policies: InForce
    decisions: Decisions
    rights: Rights
    enactor: Enactor
    audit: Any
    readings: Readings
    watch: TypingWatch

    def routes(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/operator/api")
        router.add_api_route("/decisions", self.list, methods=["GET"])
        router.add_api_route("/decisions/{tenant}/{decision_id}", self.why, methods=["GET"])
        router.add_api_route("/decisions/{tenant}/{decision_id}/end", self.end, methods=["POST"])
        router.add_api_route("/decisions/{tenant}/{decision_id}/disable", self.disable, methods=["POST"])
        router.add_api_route("/subjects/{tenant}/{subject}", self.show, methods=["GET"])
        router.add_api_route("/subjects/{tenant}/{subject}/export", self.export, methods=["GET"])
        router.add_api_route("/subjects/{tenant}/{subject}/{act}", self.act, methods=["POST"])
        router.add_api_route("/typing", self.typing, methods=["GET"])
        router.add_api_route("/policy", self.read_policy, methods=["GET"])
        router.add_api_route("/audit/{tenant}", self.read_audit, methods=["GET"])
        router.add_api_route("/audit", self.verify, methods=["GET"])
        return router

    async def list(self, request: Request) -> Response:
        """Decisions without reasons; pseudonyms for everybody."""
        who = operator(request, Permission.DECISIONS_LIST)
        tenants = who.among(self.tenants)
        found = await self.decisions.recent(tenants, MOST)
        await self.readings.listed(who, tenants, names=False, why=False)
        lines = [_line(item) for item in found]
        if who.may(Permission.DECISIONS_WHY):  # what became of a login is part of why
            ends = await self.enactor.outbox.fates(tenants, [item.id for item in found])
            lines = [line | {"end": _end(ends.get(line["id"]))} for line in lines]
        return _json({"decisions": lines})

    async def why(self, request: Request, tenant: str, decision_id: str) -> Response:
        """One decision with its reasons, worded as on the page: raw scores would tell how long the password is."""
        who = operator(request, Permission.DECISIONS_WHY)
        found = await self.decisions.get(self._mine(who, tenant), decision_id)
        if found is None:
            raise NotFound("no such decision")
        await self.readings.opened(who, found)
        end = (await self.enactor.outbox.fates([tenant], [found.id])).get(found.id)
        worded = asdict(row(found, "", end))
        return _json(
            _line(found) | {"end": _end(end)} | {"facts": found.body["facts"]} | {name: worded[name] for name in WHY}
        )

    async def end(self, request: Request, tenant: str, decision_id: str) -> Response:
        """End the session a decision let in, or all of its user's."""
        who = self._acting(request, Permission.SESSIONS_END)
        asked = decoded(await bounded_body(request, 1024) or b"{}", _End)
        if asked.scope not in ("session", "all"):
            raise NotFound("scope is session or all")
        await self.enactor.end_session(self._mine(who, tenant), decision_id, scope=asked.scope, by=who.name)
        return Response(status_code=202)

    async def disable(self, request: Request, tenant: str, decision_id: str) -> Response:
        """Disable the account that a decision let in, and end all its sessions."""
        who = self._acting(request, Permission.PEOPLE_DISABLE)
        await self.enactor.end_session(self._mine(who, tenant), decision_id, scope="disable", by=who.name)
        return Response(status_code=202)

    async def show(self, request: Request, tenant: str, subject: str) -> Response:
        """One person's consent and states; the name only for who may see names."""
        who = operator(request, Permission.PEOPLE_STATES)
        found = await self.rights.show(self._mine(who, tenant), subject, who.name)
        if not who.may(Permission.PEOPLE_NAMES):
            found["name"] = None
        limit = self.watch.correction(tenant).before(self.policies.enforced.mismatch_from)
        profiles = await self.watch.source.person(tenant, found["pseudonym"])
        others = self.watch.others(tenant)(found["pseudonym"])
        return _json(found | {"typing": msgspec.to_builtins(of_person(profiles, limit, others))})

    async def export(self, request: Request, tenant: str, subject: str) -> Response:
        """Everything kept about one person."""
        who = operator(request, Permission.PEOPLE_EXPORT)
        return _json(await self.rights.export(self._mine(who, tenant), subject, who.name))

    async def act(self, request: Request, tenant: str, subject: str, act: str) -> Response:
        """Do one of ``ACTS``."""
        if act not in ACTS:
            raise NotFound("no such act")
        who = self._acting(request, ACTS[act])
        whose = (self._mine(who, tenant), subject, who.name)
        asked = decoded(await bounded_body(request, 1024) or b"{}", _Act)
        if act == "unlearn" and asked.since is None:
            raise NotFound("unlearn needs since, in epoch seconds")
        return _json(await self._done(act, whose, asked))

    async def _done(self, act: str, whose: tuple[str, str, str], asked: _Act) -> dict[str, Any]:
        done: dict[str, Any] = {}
        if act in ("pause", "resume"):
            await self.rights.pause(*whose, paused=act == "pause")
            done = {"paused": act == "pause"}
        elif act == "forget":
            done = {"forgotten": await self.rights.forget(*whose)}
        elif act == "mark":
            await self.rights.mark(*whose, asked.mark, asked.until)
            done = {"mark": asked.mark, "until": asked.until}
        elif act == "reset":
            await self.rights.reset(*whose, asked.field)
            done = {"reset": asked.field}
        elif act == "confirm":
            done = {"samples": await self.rights.confirm(*whose)}
        elif act == "unlearn" and asked.since is not None:
            done = {"profiles": dict(await self.rights.unlearn(*whose, asked.since))}
        elif act == "rebuild":
            done = {"same": dict(await self.rights.rebuild(*whose))}
        return done

    async def typing(self, request: Request) -> Response:
        """How well typing tells people apart: rates with intervals, warnings, people of whom something is to be said."""
        who = operator(request, Permission.DECISIONS_WHY)
        known = ((tenant, self.watch.found.get(tenant)) for tenant in who.among(self.tenants))
        found = {tenant: asdict(one) | {"warnings": one.warnings} for tenant, one in known if one is not None}
        return _json({"tenants": found})

    async def read_policy(self, request: Request) -> Response:
        """The policy in force."""
        operator(request, Permission.POLICY_READ)
        policy = self.policies.enforced
        rules = [{"id": rule.id, "action": str(rule.then.action), "mode": rule.mode} for rule in policy.rules]
        slots = {name: msgspec.to_builtins(slot) for name, slot in (await self.policies.policies.slots()).items()}
        refused = dict(self.policies.refused)
        return _json({"id": policy.id, "sha256": policy.digest, "rules": rules, "slots": slots, "refused": refused})

    async def read_audit(self, request: Request, tenant: str) -> Response:
        """Rows of a tenant's audit chain, oldest first; the installation's chain is named ``*``."""
        who = operator(request, Permission.AUDIT_READ)
        after = request.query_params.get("after", "0")
        if not (after.isascii() and after.isdigit() and len(after) <= 15):
            raise BadRequest("after is the number of a row")
        rows = await self.audit.entries(
            tenant if tenant == "*" and who.tenants is None else self._mine(who, tenant), int(after), MOST
        )
        return _json({"rows": msgspec.to_builtins(rows)})

    async def verify(self, request: Request) -> Response:
        """Verify every chain that the operator may see."""
        who = operator(request, Permission.AUDIT_VERIFY)
        seen = {*who.among(self.tenants), *(["*"] if who.tenants is None else [])}
        faults = [fault for fault in await self.audit.verify() if fault.tenant in seen]
        return _json({"faults": msgspec.to_builtins(faults)})

    def _mine(self, who: Operator, tenant: str) -> str:
        if tenant not in who.among(self.tenants):
            raise NotFound("no such tenant")
        return tenant

    def _acting(self, request: Request, permission: Permission) -> Operator:
        who = operator(request, permission)
        given = request.headers.get("x-csrf", "")
        if not secrets.compare_digest(given.encode(), who.csrf.encode()):
            raise Forbidden("the X-CSRF header does not carry the value of /operator/whoami")
        return who


def _end(end: SessionEnd | None) -> dict[str, Any] | None:
    return asdict(end) if end else None


def _line(item: StoredDecision) -> dict[str, Any]:
    answer = item.body["answer"]
    return {
        "id": item.id,
        "tenant": item.tenant,
        "at": moment(item.at),
        "subject": item.subject,
        "client": item.body["client"],
        "action": answer["action"],
        "rule": answer["rule_id"],
    }


def _json(content: Any) -> Response:
    return JSONResponse(content, headers=HEADERS)
