"""What the operator page shows to whom, and the note in the audit chain that it was shown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sidecar.console.login import Operator
from sidecar.console.rows import Row, row
from sidecar.domain.roles import Permission
from sidecar.ports import Audit, AuditEntry, Decisions, Directory, Outbox

SHOWN = 50
NOTED_SECONDS = 300.0  # a page that stays open asks every second; one note in five minutes says that it was open


@dataclass(frozen=True, slots=True)
class Pages:
    """What showing needs; built once by ``main``."""

    tenants: Sequence[str]
    decisions: Decisions
    directory: Directory
    outbox: Outbox
    audit: Audit
    clock: Callable[[], float]
    noted: dict[tuple[str, str], float] = field(default_factory=dict)

    async def rows(self, who: Operator) -> list[Row]:
        """Return the newest decisions of the tenants that the operator may see, worded; names only to who may see them."""
        tenants = who.among(self.tenants)
        found = await self.decisions.recent(tenants, SHOWN)
        fates = await self.outbox.fates(tenants, [item.id for item in found])
        names = {}
        if who.may(Permission.PEOPLE_NAMES):
            for item in found:
                person = await self.directory.person(item.tenant, item.subject)
                names[item.tenant, item.subject] = person.get("name", "")
        await self._note(who, tenants)
        return [row(item, names.get((item.tenant, item.subject), ""), fates.get(item.id)) for item in found]

    async def _note(self, who: Operator, tenants: Sequence[str]) -> None:
        now = self.clock()
        due = [tenant for tenant in tenants if now - self.noted.get((who.name, tenant), -1e12) >= NOTED_SECONDS]
        if due:
            details = {"names": who.may(Permission.PEOPLE_NAMES), "why": who.may(Permission.DECISIONS_WHY)}
            await self.audit.add([AuditEntry(tenant, "decisions.read", who.name, "", details, now) for tenant in due])
            self.noted.update({(who.name, tenant): now for tenant in due})
