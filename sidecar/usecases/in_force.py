"""Which policy decides for whom, on every sidecar alike: emergency before staged before enforced.

Each sidecar looks at the store every second. What it cannot use (unreadable, not signed by a configured key, refused by
the compiler) it leaves where it is: the last good policy stays in force. Over a restart too: each sidecar keeps the enforced
version that it used last in a file of its own, checks it like any other, and begins with it when the store's is refused.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog

from sidecar.domain.decisions import Facts, Verdict, strictness
from sidecar.errors import GaitkeeperError, StorageFailed
from sidecar.policy.backtest import ASKED
from sidecar.policy.bands import rebanded
from sidecar.policy.evaluate import decide
from sidecar.policy.language import Policy
from sidecar.ports import CONFIGURED_FILE, Audience, AuditEntry, LastGood, Policies, PolicySlot, PolicyVersion, SlotName
from sidecar.usecases.publish import INSTALLATION, LONGEST_EMERGENCY_SECONDS

log = structlog.get_logger()

RETRY_SECONDS = 30.0  # a refused version is compiled again no sooner: each try is a process of its own

# What stood before first: from then on a version that takes its place is compared with it.
SLOTS: tuple[SlotName, ...] = ("previous", "enforced", "staged", "emergency")

Compile = Callable[[PolicyVersion], Awaitable[Policy]]


@dataclass(frozen=True, slots=True)
class Placed:
    """A compiled policy in its slot. ``own``: it came from this sidecar's own file, not from the store."""

    slot: PolicySlot
    policy: Policy
    source: bytes
    own: bool = False


@dataclass(slots=True)
class InForce:
    """The policies of a running sidecar. ``first``: what holds while nothing was published (the configured file).

    ``refused``: slots whose version could not be used, with the reason; the page shows it. ``last``: what was enforced before
    a restart. ``noted``: what this sidecar has put into the audit chain.
    """

    first: Policy
    policies: Policies
    compile: Compile
    clock: Callable[[], float]
    first_source: bytes = b""
    placed: dict[SlotName, Placed] = field(default_factory=dict)
    refused: dict[SlotName, str] = field(default_factory=dict)
    last: LastGood | None = None
    tried: dict[SlotName, tuple[PolicySlot, float]] = field(default_factory=dict)
    noted: set[tuple[str, str]] = field(default_factory=set)

    @property
    def enforced(self) -> Policy:
        """The policy of everybody for whom nothing else was staged."""
        found = self.placed.get("enforced")
        return found.policy if found else self.first

    @property
    def source(self) -> bytes:
        """The text of that policy."""
        found = self.placed.get("enforced")
        return found.source if found else self.first_source

    def of(self, subject: str, groups: Sequence[str] | None) -> Policy:
        """Return the policy that decides for one person (a pseudonym), at this moment."""
        emergency = self.placed.get("emergency")
        if emergency and not self.over(emergency.slot):
            return emergency.policy
        staged = self.placed.get("staged")
        if staged and meant(staged.slot.audience, staged.policy.digest, subject, groups):
            return staged.policy
        return self.enforced

    def over(self, slot: PolicySlot) -> bool:
        """Tell whether an emergency has ended. One that names no end never began."""
        return slot.ends is None or self.clock() >= slot.ends

    def fare(self, policy: Policy, facts: Facts, verdict: Verdict, now: float) -> Mapping[str, float | bool] | None:
        """Return what a decision says about the version that made it: which, since when it stands in its place, and whether
        it asks where the policy before it, on the same facts, would not. None where the version is watched by nobody.
        """
        for name in ("staged", "enforced"):
            found = self.placed.get(name)
            if found is not None and found.policy is policy:
                newly = strictness(verdict.consequence) >= ASKED and self._spared(name, facts, now)
                return {"number": found.slot.number, "since": found.slot.at, "newly": newly}
        return None

    def _spared(self, name: SlotName, facts: Facts, now: float) -> bool:
        before = self.enforced if name == "staged" else self._previous
        if before is None:
            return False
        verdict = decide(before, rebanded(facts, before.mismatch_from, before.prior), now)
        return strictness(verdict.consequence) < ASKED

    @property
    def _previous(self) -> Policy | None:
        """What stood before the enforced version; None where that cannot be used."""
        found = self.placed.get("previous")
        if found is not None:
            return found.policy
        return None if "previous" in self.refused else self.first

    async def refresh(self) -> bool:
        """Take over what was published; tell whether anything changed. Raises StorageFailed, and keeps what it has."""
        slots, had = await self.policies.slots(), tuple(self.placed.values())
        changed = False
        for name in SLOTS:
            wanted = slots.get(name)
            has = self.placed.get(name)
            if wanted is None or wanted.number == CONFIGURED_FILE:
                self.refused.pop(name, None)
                changed = self.placed.pop(name, None) is not None or changed
            elif (has is None or has.slot != wanted or has.own) and self._due(name, wanted):
                changed = await self._place(name, wanted, had) or changed
        emergency = self.placed.get("emergency")
        if emergency and self.over(emergency.slot):
            details = {"number": emergency.slot.number, "ends": emergency.slot.ends}
            await self._note("policy.emergency_ended", emergency.policy.digest, details)
        return changed

    def _due(self, name: SlotName, slot: PolicySlot) -> bool:
        """Tell whether a slot should be tried: what was refused a moment ago is refused still."""
        before = self.tried.get(name)
        now = self.clock()
        if before is not None and before[0] == slot and name in self.refused and now - before[1] < RETRY_SECONDS:
            return False
        self.tried[name] = (slot, now)
        return True

    async def _place(self, name: SlotName, slot: PolicySlot, had: Sequence[Placed]) -> bool:
        has = self.placed.get(name)
        try:
            if name == "emergency" and (slot.ends is None or slot.ends > slot.at + LONGEST_EMERGENCY_SECONDS):
                raise GaitkeeperError("an emergency ends within seven days; this one was not made by publishing")
            placed, version = _moved(had, slot), None
            if placed is None:
                version = await self.policies.version(slot.number)
                if version is None:
                    raise GaitkeeperError("the version is not in the store")
                placed = Placed(slot, await self.compile(version), version.source)
        except GaitkeeperError as error:
            if self.refused.get(name) != error.message:
                log.error("policy_refused", slot=name, number=slot.number, code=error.code, message=error.message[:300])
            self.refused[name] = error.message
            told = {
                "slot": name,
                "number": slot.number,
                "since": slot.at,
                "code": error.code,
                "why": error.message[:300],
            }
            if not isinstance(error, StorageFailed):
                await self._note("policy.refused", "", told)
            return name == "enforced" and has is None and await self._fall_back(slot)
        self.refused.pop(name, None)
        self.placed[name] = placed
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
        told = {"to": version.number, "instead_of": wanted.number, "since": wanted.at}
        await self._note("policy.fell_back", policy.digest, told)
        self.placed["enforced"] = Placed(replace(wanted, number=version.number), policy, version.source, own=True)
        return True

    async def _note(self, kind: str, digest: str, details: Mapping[str, object]) -> None:
        """Note something in the installation's audit chain, once, whichever sidecar meets it first."""
        known = (kind, repr(sorted(details.items())))
        if known in self.noted:
            return
        entry = AuditEntry(INSTALLATION, kind, "sidecar", "", {"sha256": digest, **details}, self.clock())
        try:
            await self.policies.note_once(entry)
        except StorageFailed as error:  # tried again with the next look
            log.error("policy_not_noted", kind=kind, error=error.message[:200])
            return
        self.noted.add(known)


def _moved(had: Sequence[Placed], slot: PolicySlot) -> Placed | None:
    """Return a version that is compiled already, in the slot where it now stands."""
    found = next((has for has in had if has.slot.number == slot.number and not has.own), None)
    return replace(found, slot=slot) if found else None


def meant(audience: Audience, digest: str, subject: str, groups: Sequence[str] | None) -> bool:
    """Tell whether a staged policy is for a person: by group, or by a share that is stable per person and policy."""
    if groups and set(groups) & set(audience.groups):
        return True
    bucket = int.from_bytes(hashlib.sha256(f"{digest} {subject}".encode()).digest()[:4]) / 2**32
    return bucket * 100.0 < audience.percent
