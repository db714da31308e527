"""The operators' policy pages: what is in force, the history, rules in shadow, and a candidate tried before it bites.

Plain forms that work without JavaScript. Reading, trying and publishing are three permissions.
"""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from fastapi.templating import Jinja2Templates

from sidecar.apart import Desk
from sidecar.api.requests import bounded_body
from sidecar.compiler import compiled
from sidecar.console.login import NotSignedIn, Operator, operator
from sidecar.console.pages import Readings
from sidecar.console.routes import HEADERS
from sidecar.domain.roles import Permission
from sidecar.errors import BadRequest, Busy, Forbidden, GaitkeeperError, NotFound, PolicyInvalid
from sidecar.policy.backtest import Recorded, percent, points
from sidecar.policy.language import Policy
from sidecar.ports import CONFIGURED_FILE, Audience, AuditEntry, Directory, PolicySlot, PolicyVersion, SlotName
from sidecar.shipped import policy_directory
from sidecar.trial import mistakes, rehearsed
from sidecar.usecases.in_force import InForce
from sidecar.usecases.publish import Publisher, audience, whom
from sidecar.usecases.rehearse import Archive, recorded, shadowed

MOST_BYTES = 4 * 1024 * 1024  # a form with a policy of 1 MiB, its tests and its signature, percent-encoded
HISTORY = 50
MOST_DECISIONS = 20_000
MOST_SHADOWED = 2_000
SHOWN = 100
DAY = 86_400.0
LONGEST_DAYS = 90.0
AGAIN_SECONDS = 10
SHIPPED = ("observe-only", "default", "strict")


@dataclass(slots=True)
class Form:
    """A candidate as the page holds it, and what came of trying it."""

    source: str = ""
    tests: str = ""
    signature: str = ""
    note: str = ""
    percent: str = ""
    groups: str = ""
    band: str = ""
    days: str = "30"
    mistakes: list[dict[str, Any]] = field(default_factory=list)
    problem: str = ""
    checked: str = ""
    figures: dict[str, Any] | None = None
    changes: list[dict[str, str]] | None = None


@dataclass(frozen=True, slots=True)
class PolicyPages:
    """What the routes need; built once by ``main``."""

    tenants: Sequence[str]
    policies: InForce
    publisher: Publisher
    archive: Archive
    directory: Directory
    readings: Readings
    clock: Callable[[], float]
    templates: Jinja2Templates
    trying: Desk = field(default_factory=lambda: Desk(AGAIN_SECONDS))
    publishing: Desk = field(default_factory=lambda: Desk(AGAIN_SECONDS))

    def routes(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/operator")
        router.add_api_route("/policies", self.show, methods=["GET"])
        router.add_api_route("/policies/diff", self.compare, methods=["GET"])
        router.add_api_route("/policies/try", self.candidate, methods=["GET"])
        router.add_api_route("/policies/try", self.trial, methods=["POST"])
        router.add_api_route("/policies/publish", self.publish, methods=["POST"])
        router.add_api_route("/policies/{act}", self.act, methods=["POST"])
        router.add_api_route("/api/shadow", self.shadows, methods=["GET"])
        return router

    async def show(self, request: Request) -> Response:
        """What stands where, what was published before, what rules in shadow would have done in the last week."""
        try:
            who = operator(request, Permission.POLICY_READ)
        except NotSignedIn:
            return self.templates.TemplateResponse(request, "signed_out.html", {}, 401, HEADERS)
        now, tenants = self.clock(), who.among(self.tenants)
        await self.readings.listed(who, tenants, names=False, why=False)
        found, looked = await shadowed(self.archive, tenants, now - 7 * DAY, now + 1, most=MOST_SHADOWED)
        why = who.may(Permission.DECISIONS_WHY)
        context = {
            "slots": await self._slots(tenants),
            "history": await self.policies.policies.history(HISTORY),
            "first": self.policies.first,
            "shadow": _by_rule(found, self.policies.enforced, now),
            "looked": looked,
            "newest": [item for item in found if item.changed][:20] if why else [],
            "may_try": who.may(Permission.POLICY_TRY),
            "may_read": who.tenants is None and who.may(Permission.POLICY_TRY),
            "may_publish": _may_publish(who),
            "who": who,
            "moment": _moment,
            "whom": whom,
            "four_eyes": self.publisher.four_eyes,
            "done": request.query_params.get("done", "")[:200],
        }
        return self.templates.TemplateResponse(request, "policies.html", context, headers=HEADERS)

    async def candidate(self, request: Request) -> Response:
        """A form, filled with a version of the history, a shipped policy, or what is in force."""
        who = operator(request, Permission.POLICY_TRY)
        chosen = request.query_params.get("from", "")
        form = Form()
        if chosen in SHIPPED:
            path = policy_directory() / f"{chosen}.yaml"
            form.source, form.tests = path.read_text(), path.with_name(f"{chosen}.test.yaml").read_text()
        elif chosen:
            _of_all(who)  # a text may name other tenants' people
            version = await self._version(chosen)
            form.source = version.source.decode(errors="replace")
            form.tests = version.tests[0][1] if version.tests else ""
        return await self._page(request, who, form)

    async def compare(self, request: Request) -> Response:
        """What a version of the history means beside another one."""
        who = _of_all(operator(request, Permission.POLICY_TRY))
        asked = request.query_params
        old, new = [await self._version(asked.get(name, "")) for name in ("old", "new")]
        context: dict[str, Any] = {"who": who, "old": old, "new": new, "problem": "", "changes": None}
        try:
            with self.trying.taken():
                text = replace(new, tests=())
                found = await compiled(text, f"version {new.number}", against=old.source, now=self.clock())
            context["changes"] = found.changes
        except GaitkeeperError as error:
            context |= {"problem": error.message, "status": error.status}
        return self.templates.TemplateResponse(request, "compared.html", context, context.get("status", 200), HEADERS)

    async def trial(self, request: Request) -> Response:
        """Check a candidate, run its tests, compare it with what is in force and, when asked, replay recorded logins."""
        who = operator(request, Permission.POLICY_TRY)
        sent = await self._sent(request, who)
        form = _form(sent)
        try:
            with self.trying.taken():
                if await self._checked(form) and sent.get("act") == "backtest":
                    form.figures = await self._replayed(who, form)
        except Busy as error:
            return await self._busy(request, who, form, error)
        except GaitkeeperError as error:
            form.problem = error.message
        return await self._page(request, who, form, status=422 if form.mistakes or form.problem else 200)

    async def publish(self, request: Request) -> Response:
        """Publish a candidate, for everybody or a part; with four eyes it then waits for somebody else."""
        who = _of_all(operator(request, Permission.POLICY_PUBLISH))
        form = _form(await self._sent(request, who))
        try:
            meant = _audience(form)
            with self.publishing.taken():
                number, slot = await self.publisher.propose(
                    _version(form, who.name), audience=meant, band=_number(form.band, 0, 1, "the band")
                )
        except Busy as error:
            return await self._busy(request, who, form, error)
        except PolicyInvalid as error:
            form.mistakes = _in_place(error, form.source)
            return await self._page(request, who, form, status=422)
        except GaitkeeperError as error:
            form.problem = error.message
            return await self._page(request, who, form, status=error.status)
        return _done(f"version {number} is {slot} for {whom(meant)}")

    async def act(self, request: Request, act: str) -> Response:
        """Approve, enforce, withdraw, roll back, restore."""
        who = _of_all(operator(request, Permission.POLICY_PUBLISH))
        sent = await self._sent(request, who)
        acts: dict[str, Callable[[], Awaitable[str]]] = {
            "approve": lambda: self._approve(sent, who),
            "enforce": lambda: self._enforce(who),
            "withdraw": lambda: self._withdraw(sent, who),
            "rollback": lambda: self._roll_back(sent, who),
            "restore": lambda: self._restore(sent, who),
        }
        if act not in acts:
            raise NotFound("no such act")
        return _done(await acts[act]())

    async def shadows(self, request: Request) -> Response:
        """What rules in shadow would have done: ``days``, ``rule``, ``changed`` (true or false) choose among it."""
        who = operator(request, Permission.POLICY_READ)
        asked = request.query_params
        days = _number(asked.get("days", "7"), 0, LONGEST_DAYS, "days") or 7.0
        changed = {"true": True, "false": False}.get(asked.get("changed", ""))
        now, tenants = self.clock(), who.among(self.tenants)
        await self.readings.listed(who, tenants, names=False, why=False)
        found, looked = await shadowed(
            self.archive, tenants, now - days * DAY, now + 1,
            most=MOST_SHADOWED, rule=asked.get("rule"), changed=changed,
        )  # fmt: skip
        content = {"looked_at": looked, "most": MOST_SHADOWED, "found": len(found)}
        rows = [asdict(item) for item in found[:SHOWN]]
        return JSONResponse(content | {"decisions": rows}, headers={"Cache-Control": "no-store"})

    async def _slots(self, tenants: Sequence[str]) -> list[dict[str, Any]]:
        rows = []
        for name, slot in sorted((await self.policies.policies.slots()).items()):
            row: dict[str, Any] = {"name": name, "slot": slot, "policy": await self._named(slot)}
            row["refused"] = self.policies.refused.get(name, "")
            row["over"] = name == "emergency" and self.policies.over(slot)
            row["audience"] = msgspec.json.encode(slot.audience).decode()
            fares = await self.publisher.fares.fares(slot) if name in ("enforced", "staged") else {}
            row["fares"] = {tenant: fare for tenant, fare in fares.items() if tenant in tenants}
            rows.append(row)
        return rows

    async def _named(self, slot: PolicySlot) -> str:
        if slot.number == CONFIGURED_FILE:
            return f"{self.policies.first.id}, the configured file"
        version = await self.policies.policies.version(slot.number)
        return f"{version.name if version else '?'}, version {slot.number}"

    async def _version(self, number: str) -> PolicyVersion:
        known = number.isascii() and number.isdigit() and len(number) < 10
        version = await self.policies.policies.version(int(number)) if known else None
        if version is None:
            raise NotFound("no such version")
        return version

    async def _checked(self, form: Form) -> bool:
        try:
            found = await compiled(_version(form, ""), "candidate", against=self.policies.source, now=self.clock())
        except PolicyInvalid as error:
            form.mistakes = _in_place(error, form.source)
            return False
        form.checked = found.id
        form.changes = None if found.changes is None else [asdict(change) for change in found.changes]
        return True

    async def _replayed(self, who: Operator, form: Form) -> dict[str, Any]:
        days = _number(form.days, 0, LONGEST_DAYS, "days") or 30.0
        tenants, now = who.among(self.tenants), self.clock()
        names = who.may(Permission.PEOPLE_NAMES)
        details = {"backtest": True, "days": days, "names": names}
        await self.readings.audit.add(
            [AuditEntry(tenant, "decisions.read", who.name, "", details, now) for tenant in tenants]
        )
        people: dict[str, str] = {}

        async def pages() -> AsyncIterator[Sequence[Recorded]]:
            async for page in recorded(self.archive, tenants, now - days * DAY, now + 1, MOST_DECISIONS):
                yield page

        figures = await rehearsed(form.source.encode(), pages())
        if names:
            for row in figures["most_affected"][:SHOWN]:
                people[row["name"]] = await self._name(tenants, row["name"])
        figures["people"] = people
        figures["cut"] = figures["decisions"] >= MOST_DECISIONS
        return figures

    async def _name(self, tenants: Sequence[str], subject: str) -> str:
        for tenant in tenants:
            if person := await self.directory.person(tenant, subject):
                return person.get("name") or person.get("id") or ""
        return ""

    async def _busy(self, request: Request, who: Operator, form: Form, error: Busy) -> Response:
        form.problem = error.message
        response = await self._page(request, who, form, error.status)
        response.headers["Retry-After"] = str(error.again_seconds)
        return response

    async def _page(self, request: Request, who: Operator, form: Form, status: int = 200) -> Response:
        context = {
            "form": form,
            "who": who,
            "may_publish": _may_publish(who),
            "versions": await self.policies.policies.history(HISTORY) if who.tenants is None else [],
            "shipped": SHIPPED,
            "moment": _moment,
        }
        return self.templates.TemplateResponse(request, "candidate.html", context, status, HEADERS)

    async def _sent(self, request: Request, who: Operator) -> dict[str, str]:
        body = await bounded_body(request, MOST_BYTES)
        try:
            sent = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=40))
        except ValueError:
            raise BadRequest("this is no form") from None
        if not secrets.compare_digest(sent.get("csrf", "").encode(), who.csrf.encode()):
            raise Forbidden("this form was not made for you")
        return sent

    async def _approve(self, sent: dict[str, str], who: Operator) -> str:
        version = await self._version(sent.get("number", ""))
        try:
            meant = msgspec.json.decode(sent.get("audience", ""), type=Audience)
        except msgspec.DecodeError:
            raise BadRequest("an approval names its audience") from None
        slot = await self.publisher.approve(version.number, who.name, meant)
        return f"version {version.number} is {slot} for {whom(meant)}"

    async def _enforce(self, who: Operator) -> str:
        number, slot = await self.publisher.enforce_staged(who.name)
        return f"version {number} is {slot} for everybody"

    async def _withdraw(self, sent: dict[str, str], who: Operator) -> str:
        slots: dict[str, SlotName] = {"proposed": "proposed", "staged": "staged", "emergency": "emergency"}
        if sent.get("slot") not in slots:
            raise NotFound("no such slot")
        return f"version {await self.publisher.withdraw(slots[sent['slot']], who.name)} is withdrawn"

    async def _roll_back(self, sent: dict[str, str], who: Operator) -> str:
        why = sent.get("note", "")[:500] or "by an operator"
        number = await self.publisher.roll_back(who.name, why, to_file=sent.get("to") == "file")
        return f"version {number} is enforced again" if number else "the configured file decides again"

    async def _restore(self, sent: dict[str, str], who: Operator) -> str:
        version = await self._version(sent.get("number", ""))
        note = f"version {version.number} again"
        with self.publishing.taken():
            number, slot = await self.publisher.propose(replace(version, author=who.name, note=note))
        return f"version {number} (version {version.number} again) is {slot}"


def _of_all(who: Operator) -> Operator:
    """Policies are the whole installation's: who sees some tenants only neither reads their texts nor changes them."""
    if who.tenants is not None:
        raise Forbidden("policies are the whole installation's, and you are an operator of some tenants")
    return who


def _may_publish(who: Operator) -> bool:
    return who.tenants is None and who.may(Permission.POLICY_PUBLISH)


def _form(sent: dict[str, str]) -> Form:
    form = Form()
    for name in ("source", "tests", "signature", "note", "percent", "groups", "band", "days"):
        # Browsers send CR LF; a policy is signed and compared by its bytes.
        setattr(form, name, sent.get(name, "").replace("\r\n", "\n"))
    return form


def _version(form: Form, author: str) -> PolicyVersion:
    tests = (("candidate.test.yaml", form.tests),) if form.tests.strip() else ()
    signature = form.signature.encode() if form.signature.strip() else None
    return PolicyVersion(
        0, "", "candidate", form.source.encode(errors="surrogateescape"), tests, signature, author, 0.0, form.note[:500]
    )


def _audience(form: Form) -> Audience:
    groups = tuple(part.strip() for part in form.groups.split(",") if part.strip())
    return audience(_number(form.percent, 0, 100, "the share of people"), groups)


def _number(text: str, low: float, high: float, what: str) -> float | None:
    if not text.strip():
        return None
    try:
        found = float(text)
    except ValueError:
        found = float("nan")
    if not low <= found <= high:
        raise BadRequest(f"{what} is a number from {low:g} to {high:g}")
    return found


def _in_place(error: PolicyInvalid, source: str) -> list[dict[str, Any]]:
    """Put each mistake beside its line; those of the test file name the file instead."""
    lines = source.splitlines()
    found = []
    for item in mistakes(error):
        own = item.file == "candidate" and 0 < item.line <= len(lines)
        found.append(asdict(item) | {"text": lines[item.line - 1][:300] if own else "", "own": own})
    return found


def _by_rule(found: Sequence[Any], policy: Policy, now: float) -> list[dict[str, Any]]:
    """Count by rule: how often true, how often another answer. Rules in force that nothing was told of count 0."""
    rows = {
        rule.id: {"rule": rule.id, "age": (now - rule.since) / DAY if rule.since else None, "true": 0, "changed": 0}
        for rule in policy.rules
        if rule.mode == "shadow"
    }
    for item in found:
        row = rows.setdefault(item.rule, {"rule": item.rule, "age": None, "true": 0, "changed": 0})
        row["true"] += item.result == "true"
        row["changed"] += item.changed
    return list(rows.values())


def _done(what: str) -> Response:
    return RedirectResponse("/operator/policies?" + urlencode({"done": what}), 303)


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def templates() -> Jinja2Templates:
    """Return the pages' templates with what they need to word figures."""
    made = Jinja2Templates(Path(__file__).parent / "templates")
    made.env.filters.update(percent=percent, points=points)
    return made
