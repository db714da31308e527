"""``gaitkeeper policy publish | approve | enforce | withdraw | rollback | emergency | restore | history | status``, and
recorded decisions for ``explain``, ``what-if`` and ``backtest``.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sidecar.administration.opened import by, run
from sidecar.compiler import signature_beside
from sidecar.config import Settings
from sidecar.drafting.files import tests_beside
from sidecar.errors import NotFound
from sidecar.main import Sidecar
from sidecar.policy.backtest import Recorded
from sidecar.policy.language import read_bytes
from sidecar.ports import Audience, AuditEntry, PolicyVersion, SlotName, StoredDecision
from sidecar.usecases.publish import whom
from sidecar.usecases.rehearse import as_recorded

PAGE = 500


def version_of(path: Path, note: str) -> PolicyVersion:
    """Read a policy file with its tests and its signature."""
    tests = tuple((str(test.name), test.read_text()) for test in tests_beside(path))
    return PolicyVersion(0, "", str(path), read_bytes(path), tests, signature_beside(path), by(), 0.0, note)


def publish(settings: Settings, path: Path, *, note: str, meant: Audience, band: float | None) -> tuple[int, SlotName]:
    """Check a policy file and put it where it may go; return its number and slot. Raises PolicyInvalid, PolicyConflict."""
    version = version_of(path, note)
    return run(settings, lambda sidecar: sidecar.publisher.propose(version, audience=meant, band=band))


def approve(settings: Settings, number: int, who: str | None) -> SlotName:
    """Approve what was proposed. ``who``: on whose behalf, where one account serves several people."""
    return run(settings, lambda sidecar: sidecar.publisher.approve(number, who or by()))


def enforce(settings: Settings) -> int:
    """Let the staged version decide for everybody."""
    return run(settings, lambda sidecar: sidecar.publisher.enforce_staged(by()))


def withdraw(settings: Settings, slot: SlotName) -> int:
    """Take a proposed, staged or emergency version away."""
    return run(settings, lambda sidecar: sidecar.publisher.withdraw(slot, by()))


def roll_back(settings: Settings, why: str) -> int:
    """Put what was enforced before back."""
    return run(settings, lambda sidecar: sidecar.publisher.roll_back(by(), why))


def emergency(settings: Settings, path: Path, *, note: str, hours: float) -> int:
    """Let a policy decide at once for everybody, for a time."""
    version = version_of(path, note)
    return run(settings, lambda sidecar: sidecar.publisher.break_glass(version, hours * 3600))


def restore(settings: Settings, number: int, note: str) -> tuple[int, SlotName]:
    """Publish an earlier version again, with all its checks. Raises NotFound."""

    async def job(sidecar: Sidecar) -> tuple[int, SlotName]:
        version = await sidecar.published.version(number)
        if version is None:
            raise NotFound(f"there is no version {number}")
        again = replace(version, author=by(), note=note or f"version {number} again")
        return await sidecar.publisher.propose(again)

    return run(settings, job)


def history(settings: Settings, count: int) -> list[PolicyVersion]:
    """Return the newest versions, newest first."""
    return run(settings, lambda sidecar: sidecar.published.history(count))


def source(settings: Settings, number: int) -> bytes:
    """Return the text of a version. Raises NotFound."""

    async def job(sidecar: Sidecar) -> bytes:
        version = await sidecar.published.version(number)
        if version is None:
            raise NotFound(f"there is no version {number}")
        return version.source

    return run(settings, job)


def status(settings: Settings) -> list[dict[str, Any]]:
    """Return what stands in which slot, how people fared under what is enforced, and what cannot be used."""

    async def job(sidecar: Sidecar) -> list[dict[str, Any]]:
        await sidecar.policies.refresh()
        rows: list[dict[str, Any]] = []
        for name, slot in sorted((await sidecar.published.slots()).items()):
            version = await sidecar.published.version(slot.number)
            row = {
                "slot": name,
                "number": slot.number,
                "policy": version.name if version else "?",
                "for": whom(slot.audience),
                "percent": slot.audience.percent,
                "groups": list(slot.audience.groups),
                "author": slot.author,
                "approver": slot.approver,
                "at": slot.at,
                "ends": slot.ends,
                "band": slot.band,
                "refused": sidecar.policies.refused.get(name),
            }
            if version and name in ("enforced", "staged"):
                people, passed = await sidecar.published.fares(version.digest, slot.at)
                row |= {"ready_people": people, "challenged_and_passed": passed}
            rows.append(row)
        if not any(row["slot"] == "enforced" for row in rows):
            first = {"slot": "file", "number": 0, "policy": sidecar.policies.first.id}
            rows.insert(0, first)
        return rows

    return run(settings, job)


def decision(settings: Settings, tenant: str, identity: str) -> tuple[StoredDecision, bytes | None]:
    """Return a recorded decision, and the text of the policy that decided it where it was published. Raises NotFound.

    The reading is a row of the audit chain.
    """

    async def job(sidecar: Sidecar) -> tuple[StoredDecision, bytes | None]:
        found = await sidecar.decisions.get(tenant, identity)
        if found is None:
            raise NotFound("no such decision")
        await sidecar.audit.add([_read(sidecar, tenant, found.subject, {"decision": identity})])
        digest = found.body.get("policy_digest")
        for version in await sidecar.published.history(1000):
            if version.digest == digest:
                return found, version.source
        return found, None

    return run(settings, job)


def recorded(settings: Settings, tenants: Sequence[str], since: float, until: float, *, names: bool) -> list[Recorded]:
    """Return recorded decisions as a backtest takes them; ``names``: people by the provider's ids instead of pseudonyms."""

    async def job(sidecar: Sidecar) -> list[Recorded]:
        found: list[Recorded] = []
        for tenant in tenants:
            people: dict[str, str] = {}
            after = 0
            while page := await sidecar.decisions.page(tenant, after, since, until, PAGE):
                after = page[-1][0]
                for _, stored in page:
                    if names and stored.subject not in people:
                        person = await sidecar.decisions.person(tenant, stored.subject)
                        people[stored.subject] = person.get("name") or person.get("id") or stored.subject
                found += [as_recorded(stored, people.get(stored.subject, stored.subject)) for _, stored in page]
            details = {"since": since, "until": until, "names": names}
            await sidecar.audit.add([_read(sidecar, tenant, "", details)])
        return found

    return run(settings, job)


def _read(sidecar: Sidecar, tenant: str, subject: str, details: dict[str, Any]) -> AuditEntry:
    return AuditEntry(tenant, "decisions.read", by(), subject, details, sidecar.assessor.clock())
