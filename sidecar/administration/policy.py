"""``gaitkeeper policy publish | approve | enforce | withdraw | rollback | emergency | restore | history | status``, and
recorded decisions for ``explain``, ``what-if`` and ``backtest``.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sidecar.administration.opened import by, run
from sidecar.compiler import signature_beside
from sidecar.config import Settings
from sidecar.drafting.files import tests_beside
from sidecar.errors import NotFound, PolicyInvalid
from sidecar.main import Sidecar, build
from sidecar.policy.backtest import Recorded
from sidecar.policy.language import read_bytes
from sidecar.ports import Audience, AuditEntry, PolicyHead, PolicyVersion, SlotName, StoredDecision
from sidecar.usecases.publish import whom
from sidecar.usecases.rehearse import recorded as stored


def version_of(path: Path, note: str) -> PolicyVersion:
    """Read a policy file with its tests and its signature."""
    tests = tuple((str(test.name), _text(test)) for test in tests_beside(path))
    return PolicyVersion(0, "", str(path), read_bytes(path), tests, signature_beside(path), by(), 0.0, note)


def _text(path: Path) -> str:
    """Return the text of a test file. Raises PolicyInvalid where it is not UTF-8."""
    raw = read_bytes(path)
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line, column = before.count(b"\n") + 1, len(before) - before.rfind(b"\n")
        raise PolicyInvalid(f"{path}:{line}:{column}: not UTF-8; hint: save the file as UTF-8") from None


def publish(settings: Settings, path: Path, *, note: str, meant: Audience, band: float | None) -> tuple[int, SlotName]:
    """Check a policy file and put it where it may go; return its number and slot. Raises PolicyInvalid, PolicyConflict."""
    version = version_of(path, note)
    return run(settings, lambda sidecar: sidecar.publisher.propose(version, audience=meant, band=band))


def approve(settings: Settings, number: int, meant: Audience) -> SlotName:
    """Approve what was proposed, for the audience it was proposed for."""
    return run(settings, lambda sidecar: sidecar.publisher.approve(number, by(), meant))


def enforce(settings: Settings) -> tuple[int, SlotName]:
    """Let the staged version decide for everybody; with four eyes that is proposed."""
    return run(settings, lambda sidecar: sidecar.publisher.enforce_staged(by()))


def withdraw(settings: Settings, slot: SlotName) -> int:
    """Take a proposed, staged or emergency version away."""
    return run(settings, lambda sidecar: sidecar.publisher.withdraw(slot, by()))


def roll_back(settings: Settings, why: str, *, to_file: bool) -> int:
    """Put what was enforced before back, or the configured file (0)."""
    return run(settings, lambda sidecar: sidecar.publisher.roll_back(by(), why, to_file=to_file))


def emergency(settings: Settings, path: Path, *, note: str, hours: float) -> int:
    """Let a policy decide at once for everybody, for a time."""
    version = version_of(path, note)
    return run(settings, lambda sidecar: sidecar.publisher.break_glass(version, hours * 3600))


def restore(settings: Settings, number: int, note: str) -> tuple[int, SlotName]:
    """Publish an earlier version again, with all its checks. Raises NotFound."""

    async def job(sidecar: Sidecar) -> tuple[int, SlotName]:
        version = await _version(sidecar, number)
        again = replace(version, author=by(), note=note or f"version {number} again")
        return await sidecar.publisher.propose(again)

    return run(settings, job)


def history(settings: Settings, count: int) -> list[PolicyHead]:
    """Return the newest versions, newest first."""
    return run(settings, lambda sidecar: sidecar.published.history(count))


def sources(settings: Settings, numbers: Sequence[int]) -> dict[int, bytes]:
    """Return the texts of versions. Raises NotFound."""

    async def job(sidecar: Sidecar) -> dict[int, bytes]:
        return {number: (await _version(sidecar, number)).source for number in numbers}

    return run(settings, job)


async def _version(sidecar: Sidecar, number: int) -> PolicyVersion:
    version = await sidecar.published.version(number)
    if version is None:
        raise NotFound(f"there is no version {number}")
    return version


def status(settings: Settings) -> list[dict[str, Any]]:
    """Return what stands in which slot, how people fared under what is enforced, and what cannot be used."""

    async def job(sidecar: Sidecar) -> list[dict[str, Any]]:
        await sidecar.policies.refresh()
        rows: list[dict[str, Any]] = []
        for name, slot in sorted((await sidecar.published.slots()).items()):
            version = await sidecar.published.version(slot.number)
            row: dict[str, Any] = {
                "slot": name,
                "number": slot.number,
                "policy": version.name if version else "?" if slot.number else sidecar.policies.first.id,
                "for": whom(slot.audience),
                "percent": slot.audience.percent,
                "groups": list(slot.audience.groups),
                "author": slot.author,
                "approver": slot.approver,
                "at": slot.at,
                "ends": slot.ends,
                "over": name == "emergency" and sidecar.policies.over(slot),
                "band": slot.band,
                "refused": sidecar.policies.refused.get(name),
            }
            if version and name in ("enforced", "staged"):
                fares = await sidecar.published.fares(slot)
                row |= {"ready_people": {tenant: fare.people for tenant, fare in fares.items()}}
                row |= {"challenged_anew_and_passed": {tenant: fare.passed for tenant, fare in fares.items()}}
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
        version = await sidecar.published.of_digest(str(found.body.get("policy_digest")))
        return found, version.source if version else None

    return run(settings, job)


@contextmanager
def recorded(settings: Settings, tenants: Sequence[str], since: float, until: float) -> Iterator["Replay"]:
    """Open an installation's recorded decisions for a backtest; the reading is a row of each tenant's audit chain."""
    sidecar = build(settings)
    try:
        with asyncio.Runner() as runner:
            yield Replay(sidecar, runner, tenants, since, until)
    finally:
        sidecar.close()


@dataclass(frozen=True, slots=True)
class Replay:
    """Recorded decisions, read page by page as they are asked for: a million need no memory."""

    sidecar: Sidecar
    runner: asyncio.Runner
    tenants: Sequence[str]
    since: float
    until: float

    def decisions(self) -> Iterator[Recorded]:
        """Yield every decision, people by their pseudonyms."""
        self._note(names=False)
        pages = stored(self.sidecar.decisions, self.tenants, self.since, self.until, sys.maxsize)
        while page := self.runner.run(_next(pages)):
            yield from page

    def names(self, subjects: Sequence[str]) -> dict[str, str]:
        """Return how the provider calls people, by pseudonym."""
        self._note(names=True)
        return self.runner.run(self._names(subjects))

    async def _names(self, subjects: Sequence[str]) -> dict[str, str]:
        found = {}
        for subject in subjects:
            for tenant in self.tenants:
                if person := await self.sidecar.decisions.person(tenant, subject):
                    found[subject] = person.get("name") or person.get("id") or subject
        return found

    def _note(self, *, names: bool) -> None:
        details = {"since": self.since, "until": self.until, "names": names}
        entries = [_read(self.sidecar, tenant, "", details) for tenant in self.tenants]
        self.runner.run(self.sidecar.audit.add(entries))


async def _next(pages: AsyncIterator[list[Recorded]]) -> list[Recorded]:
    return await anext(pages, [])


def _read(sidecar: Sidecar, tenant: str, subject: str, details: dict[str, Any]) -> AuditEntry:
    return AuditEntry(tenant, "decisions.read", by(), subject, details, sidecar.assessor.clock())
