"""Which policy decides for whom, on every sidecar alike: emergency before staged before enforced.

Each sidecar looks at the store every second. What it cannot use (unreadable, not signed by a configured key, refused by
the compiler) it leaves where it is: the last good policy stays in force. Over a restart too: each sidecar keeps the enforced
version that it used last in a file of its own, checks it like any other, and begins with it when the store's is refused.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

import structlog

from sidecar.errors import GaitkeeperError
from sidecar.policy.language import Policy
from sidecar.ports import Audience, LastGood, Policies, PolicySlot, PolicyVersion, SlotName

log = structlog.get_logger()

RETRY_SECONDS = 30.0  # a refused version is compiled again no sooner: each try is a process of its own

Compile = Callable[[PolicyVersion], Awaitable[Policy]]


@dataclass(frozen=True, slots=True)
class Placed:
    """A compiled policy in its slot."""

    slot: PolicySlot
    policy: Policy


@dataclass(slots=True)
class InForce:
    """The policies of a running sidecar. ``first``: what holds while nothing was published (the configured file).

    ``refused``: slots whose version could not be used, with the reason; the page shows it. ``last``: what was enforced before
    a restart.
    """

    first: Policy
    policies: Policies
    compile: Compile
    clock: Callable[[], float]
    placed: dict[SlotName, Placed] = field(default_factory=dict)
    refused: dict[SlotName, str] = field(default_factory=dict)
    last: LastGood | None = None
    tried: dict[SlotName, tuple[PolicySlot, float]] = field(default_factory=dict)

    @property
    def enforced(self) -> Policy:
        """The policy of everybody for whom nothing else was staged."""
        found = self.placed.get("enforced")
        return found.policy if found else self.first

    def of(self, subject: str, groups: Sequence[str] | None) -> Policy:
        """Return the policy that decides for one person (a pseudonym), at this moment."""
        emergency = self.placed.get("emergency")
        if emergency and (emergency.slot.ends is None or self.clock() < emergency.slot.ends):
            return emergency.policy
        staged = self.placed.get("staged")
        if staged and meant(staged.slot.audience, staged.policy.digest, subject, groups):
            return staged.policy
        return self.enforced

    async def refresh(self) -> bool:
        """Take over what was published; tell whether anything changed. Raises StorageFailed, and keeps what it has."""
        slots = await self.policies.slots()
        changed = False
        for name in ("enforced", "staged", "emergency"):
            wanted = slots.get(name)
            has = self.placed.get(name)
            if wanted is None:
                self.refused.pop(name, None)
                changed = self.placed.pop(name, None) is not None or changed
            elif (has is None or has.slot != wanted) and self._due(name, wanted):
                changed = await self._place(name, wanted) or changed
        return changed

    def _due(self, name: SlotName, slot: PolicySlot) -> bool:
        """Tell whether a slot should be tried: what was refused a moment ago is refused still."""
        before = self.tried.get(name)
        now = self.clock()
        if before is not None and before[0] == slot and name in self.refused and now - before[1] < RETRY_SECONDS:
            return False
        self.tried[name] = (slot, now)
        return True

    async def _place(self, name: SlotName, slot: PolicySlot) -> bool:
        has = self.placed.get(name)
        try:
            if has is not None and has.slot.number == slot.number:
                policy, version = has.policy, None
            else:
                version = await self.policies.version(slot.number)
                if version is None:
                    raise GaitkeeperError("the version is not in the store")
                policy = await self.compile(version)
        except GaitkeeperError as error:
            if self.refused.get(name) != error.message:
                log.error("policy_refused", slot=name, number=slot.number, code=error.code, message=error.message[:300])
            self.refused[name] = error.message
            return name == "enforced" and has is None and await self._fall_back(slot)
        self.refused.pop(name, None)
        self.placed[name] = Placed(slot, policy)
        if version is not None and name == "enforced" and self.last:
            await asyncio.to_thread(self.last.keep, version)
        return True

    async def _fall_back(self, wanted: PolicySlot) -> bool:
        """After a restart: begin with what was enforced last, checked like any other. Without it the configured file holds."""
        version = await asyncio.to_thread(self.last.load) if self.last else None
        if version is None:
            return False
        try:
            policy = await self.compile(version)
        except GaitkeeperError as error:
            log.error("last_good_refused", number=version.number, code=error.code, message=error.message[:300])
            return False
        log.error("policy_fell_back", to=version.number, instead_of=wanted.number)
        self.placed["enforced"] = Placed(replace(wanted, number=version.number), policy)
        return True


def meant(audience: Audience, digest: str, subject: str, groups: Sequence[str] | None) -> bool:
    """Tell whether a staged policy is for a person: by group, or by a share that is stable per person and policy."""
    if groups and set(groups) & set(audience.groups):
        return True
    bucket = int.from_bytes(hashlib.sha256(f"{digest} {subject}".encode()).digest()[:4]) / 2**32
    return bucket * 100.0 < audience.percent
