"""What the operator page shows to whom, and the notes in the audit chain that something was shown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sidecar.console.login import Operator
from sidecar.console.rows import Row, row
from sidecar.console.typing import worded
from sidecar.domain.roles import Permission
from sidecar.errors import SealBroken
from sidecar.ports import Audit, AuditEntry, Decisions, Directory, Outbox, StoredDecision
from sidecar.usecases.watching import TypingWatch

SHOWN = 50
NOTED_SECONDS = 300.0  # a page that stays open asks every second; one note in five minutes says that it was open


@dataclass(frozen=True, slots=True)
class Readings:
    """Notes who was shown decisions, before they are shown. ``noted``: when which reading of a list was noted last."""

    audit: Audit
    clock: Callable[[], float]
    noted: dict[tuple[str, str, bool, bool], float] = field(default_factory=dict)

    async def listed(self, who: Operator, tenants: Sequence[str], *, names: bool, why: bool) -> None:
        """Note that the newest decisions were shown, with names and reasons or without."""
        now = self.clock()
        keys = [(who.name, tenant, names, why) for tenant in tenants]
        due = [key for key in keys if now - self.noted.get(key, -1e12) >= NOTED_SECONDS]
        if due:
            details = {"names": names, "why": why}
            await self.audit.add([AuditEntry(key[1], "decisions.read", who.name, "", details, now) for key in due])
            self.noted.update(dict.fromkeys(due, now))

    async def opened(self, who: Operator, decision: StoredDecision) -> None:
        """Note that one decision was shown with its reasons."""
        details = {"decision": decision.id}
        entry = AuditEntry(decision.tenant, "decision.read", who.name, decision.subject, details, self.clock())
        await self.audit.add([entry])


@dataclass(frozen=True, slots=True)
class Pages:
    """What showing needs; built once by ``main``."""

    tenants: Sequence[str]
    decisions: Decisions
    directory: Directory
    outbox: Outbox
    may_disable: Callable[[str], bool]
    readings: Readings
    watch: TypingWatch

    def typing(self, who: Operator) -> list[dict[str, Any]]:
        """Return how well typing tells people apart in the tenants that the operator may see, worded."""
        known = ((tenant, self.watch.found.get(tenant)) for tenant in who.among(self.tenants))
        return [worded(tenant, found) for tenant, found in known if found is not None and found.people]

    async def rows(self, who: Operator) -> list[Row]:
        """Return the newest decisions of the tenants that the operator may see, worded; names only to who may see them."""
        tenants = who.among(self.tenants)
        found = await self.decisions.recent(tenants, SHOWN)
        ends = await self.outbox.fates(tenants, [item.id for item in found])
        names = {}
        if who.may(Permission.PEOPLE_NAMES):
            for item in found:
                names[item.tenant, item.subject] = await self._name(item)
        shown = {"names": who.may(Permission.PEOPLE_NAMES), "why": who.may(Permission.DECISIONS_WHY)}
        await self.readings.listed(who, tenants, **shown)
        return [
            row(
                item,
                names.get((item.tenant, item.subject), ""),
                ends.get(item.id),
                disables=self.may_disable(item.issuer),
            )
            for item in found
        ]

    async def _name(self, item: StoredDecision) -> str:
        try:
            return (await self.directory.person(item.tenant, item.subject)).get("name", "")
        except SealBroken:  # one changed row must not hide the decisions about others
            return ""
