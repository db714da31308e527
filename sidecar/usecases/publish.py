"""Publishing: check, propose, approve, stage, enforce, take back, restore. Every step is a row of the audit chain.

A version is checked before anything is kept: compiled in a process of its own (whatever a file does to the compiler, it
does not do to logins), run through its tests, and, where keys are configured, verified. With four eyes, somebody other than
whoever asked for it must approve a version for an audience; a larger audience is asked for and approved anew. What was in
force before is kept at hand, and comes back by itself when too many people were challenged whom it would have left alone.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from sidecar.errors import BadRequest, Forbidden, NotFound, PolicyConflict, PolicyInvalid
from sidecar.ports import (
    CONFIGURED_FILE,
    Audience,
    AuditEntry,
    Checked,
    Fare,
    Policies,
    PolicyFares,
    PolicySlot,
    PolicyVersion,
    SlotName,
)

INSTALLATION = "*"
LONGEST_EMERGENCY_SECONDS = 7 * 86_400
FEWEST_PEOPLE = 30  # before fewer have logged in, a share says nothing
EVERYBODY = Audience()
COMMAND_LINE = "command line"  # how the names of those begin who publish there

Slots = Mapping[SlotName, PolicySlot]


def audience(percent: float | None, groups: Sequence[str]) -> Audience:
    """Return whom a publication is for. Groups without a share are for those groups and nobody else; neither is everybody.

    Raises BadRequest where the two say nothing together.
    """
    named = tuple(dict.fromkeys(groups))
    share = percent if percent is not None else (0.0 if named else 100.0)
    if named and share >= 100.0:
        raise BadRequest("100 percent are everybody: leave the groups out, or make the share smaller")
    if not named and share <= 0.0:
        raise BadRequest("0 percent and no group are nobody")
    return Audience(share, named)


def whom(meant: Audience) -> str:
    """Return an audience in words."""
    if meant == EVERYBODY:
        return "everybody"
    groups = f"the group{'s' if len(meant.groups) > 1 else ''} {', '.join(meant.groups)}" if meant.groups else ""
    share = f"{meant.percent:g}% of people" if meant.percent or not groups else ""
    return " and ".join(part for part in (share, groups) if part)


@dataclass(frozen=True, slots=True)
class Publisher:
    """What publishing needs; built once by ``main``. ``check``: compile, test and verify a version; raises PolicyInvalid."""

    policies: Policies
    fares: PolicyFares
    check: Callable[[PolicyVersion], Awaitable[Checked]]
    four_eyes: bool
    clock: Callable[[], float]

    async def propose(
        self, version: PolicyVersion, *, audience: Audience = EVERYBODY, band: float | None = None
    ) -> tuple[int, SlotName]:
        """Check and keep a version, and put it where it may go; return its number and slot.

        Raises PolicyInvalid, PolicyConflict. With four eyes it waits as ``proposed``; else it is ``staged`` for an audience
        that is not everybody, or ``enforced``.
        """
        seen = await self.policies.slots()
        number, digest = await self._kept(version)
        slot = PolicySlot(number, audience, version.author, None, self.clock(), None, band)
        return number, await self._enter(seen, slot, digest, version.author)

    async def approve(self, number: int, by: str, audience: Audience) -> SlotName:
        """Approve a proposed version for the audience it is proposed for. Raises NotFound, Forbidden, PolicyConflict."""
        seen = await self.policies.slots()
        proposed = seen.get("proposed")
        if proposed is None or proposed.number != number:
            raise NotFound("this version is not proposed")
        if proposed.audience != audience:
            raise PolicyConflict(f"it is proposed for {whom(proposed.audience)}, not for {whom(audience)}")
        if proposed.author == by:
            raise Forbidden("four eyes: somebody else must approve")
        if proposed.author.startswith(COMMAND_LINE) is not by.startswith(COMMAND_LINE):
            # An account of the machine and one of the provider may be one person, and nothing here could tell.
            raise Forbidden("four eyes: approve where it was proposed, on the command line or on the page")
        slot = replace(proposed, approver=by, at=self.clock())
        return await self._enter(seen, slot, await self._digest(number), by)

    async def enforce_staged(self, by: str) -> tuple[int, SlotName]:
        """Let the staged version decide for everybody, or propose that; return its number and new slot.

        Raises NotFound, PolicyConflict.
        """
        seen = await self.policies.slots()
        staged = seen.get("staged")
        if staged is None:
            raise NotFound("nothing is staged")
        wider = replace(staged, audience=EVERYBODY, at=self.clock())
        if self.four_eyes:
            wider = replace(wider, author=by, approver=None)
        return staged.number, await self._enter(seen, wider, await self._digest(staged.number), by)

    async def withdraw(self, slot: SlotName, by: str, why: str = "") -> int:
        """Take a proposed, staged or emergency version away; return its number. Raises NotFound, PolicyConflict."""
        seen = await self.policies.slots()
        found = seen.get(slot)
        if found is None or slot not in ("proposed", "staged", "emergency"):
            raise NotFound(f"nothing is {slot}")
        told = {"slot": slot, "number": found.number, "why": why}
        entry = self._entry("policy.withdrawn", by, await self._digest(found.number), told)
        await self.policies.move(seen, {slot: None}, entry)
        return found.number

    async def roll_back(self, by: str, why: str, *, to_file: bool = False) -> int:
        """Put what was enforced before back, or the configured file; return its number, ``CONFIGURED_FILE`` for the file.

        It needs no second pair of eyes where it was in force before. Raises NotFound, Forbidden, PolicyConflict.
        """
        seen = await self.policies.slots()
        before, now = seen.get("previous"), seen.get("enforced")
        if to_file and now is not None and (before is None or before.number != CONFIGURED_FILE):
            if self.four_eyes:
                raise Forbidden("four eyes: publish the file instead, so that somebody else approves it")
            before = self._file()
        if before is None or now is None:
            raise NotFound("there is nothing to go back to")
        entry = self._entry(
            "policy.rolled_back", by, await self._digest(before.number),
            {"number": before.number, "from": now.number, "why": why},
        )  # fmt: skip
        back = None if before.number == CONFIGURED_FILE else replace(before, at=self.clock(), band=None)
        await self.policies.move(seen, {"enforced": back, "previous": None, "staged": None}, entry)
        return before.number

    async def break_glass(self, version: PolicyVersion, seconds: float) -> int:
        """Let a version decide at once for everybody, for a time. It needs no second pair of eyes, and says so in the chain.

        Raises PolicyInvalid, also for more than seven days.
        """
        if not 0 < seconds <= LONGEST_EMERGENCY_SECONDS:
            raise PolicyInvalid("an emergency lasts seven days at most")
        number, digest = await self._kept(version)
        now, seen = self.clock(), await self.policies.slots()
        slot = PolicySlot(number, EVERYBODY, version.author, None, now, now + seconds)
        entry = self._entry("policy.emergency", version.author, digest, _told(slot) | {"ends": slot.ends})
        await self.policies.move(seen, {"emergency": slot}, entry)
        return number

    async def watch(self) -> int | None:
        """Take the enforced or staged version back when it left its band; return the number that came back or went.

        What counts is how many distinct people with a ready profile passed a second factor that the policy before would not
        have asked for. Whoever does not pass counts for nothing, and so does whoever the policy before would ask as well.
        What comes back was in force before: nothing can be made looser than it was.
        """
        seen = await self.policies.slots()
        try:
            for name in ("staged", "enforced"):
                slot = seen.get(name)
                if slot is None or slot.band is None:
                    continue
                fares = await self.fares.fares(slot)
                if out_of_band(fares, slot.band):
                    found = _summed(fares)
                    why = f"{found.passed} of {found.people} ready people challenged anew, {slot.band:.0%} allowed"
                    back = self.withdraw(name, "sidecar", why) if name == "staged" else self.roll_back("sidecar", why)
                    return await back
        except (PolicyConflict, NotFound):  # another sidecar, or somebody, was faster
            return None
        return None

    async def _kept(self, version: PolicyVersion) -> tuple[int, str]:
        """Check a version and keep it; return its number and digest. Raises PolicyInvalid."""
        found = await self.check(version)
        kept = replace(version, digest=found.digest, name=found.id, at=self.clock())
        told = {"name": found.id, "note": version.note}
        return await self.policies.add(
            kept, self._entry("policy.checked", version.author, found.digest, told)
        ), found.digest

    async def _enter(self, seen: Slots, slot: PolicySlot, digest: str, by: str) -> SlotName:
        if self.four_eyes and slot.approver is None:
            await self.policies.move(seen, {"proposed": slot}, self._entry("policy.proposed", by, digest, _told(slot)))
            return "proposed"
        if slot.audience != EVERYBODY:
            entry = self._entry("policy.staged", by, digest, _told(slot))
            await self.policies.move(seen, {"staged": slot, "proposed": None}, entry)
            return "staged"
        entry = self._entry("policy.enforced", by, digest, _told(slot))
        before = seen.get("enforced") or self._file()
        await self.policies.move(seen, {"enforced": slot, "previous": before, "staged": None, "proposed": None}, entry)
        return "enforced"

    def _file(self) -> PolicySlot:
        return PolicySlot(CONFIGURED_FILE, EVERYBODY, "settings", None, self.clock())

    async def _digest(self, number: int) -> str:
        version = await self.policies.version(number)
        return version.digest if version else ""

    def _entry(self, kind: str, by: str, digest: str, details: Mapping[str, object]) -> AuditEntry:
        return AuditEntry(INSTALLATION, kind, by, "", {"sha256": digest, **details}, self.clock())


def _told(slot: PolicySlot) -> dict[str, object]:
    return {
        "number": slot.number,
        "percent": slot.audience.percent,
        "groups": list(slot.audience.groups),
        "author": slot.author,
        "approver": slot.approver,
        "band": slot.band,
    }


def out_of_band(fares: Mapping[str, Fare], band: float) -> bool:
    """Tell whether more than the allowed share was challenged anew. ``fares``: by tenant.

    One tenant's people alone take nothing back from the others, where those are enough to speak for themselves: whoever
    can make accounts in one tenant must not choose the policy of all.
    """
    most = max(fares, key=lambda tenant: fares[tenant].passed, default=None)
    others = {tenant: fare for tenant, fare in fares.items() if tenant != most}
    return _beyond(fares, band) and (_summed(others).people < FEWEST_PEOPLE or _beyond(others, band))


def _beyond(fares: Mapping[str, Fare], band: float) -> bool:
    found = _summed(fares)
    return found.people >= FEWEST_PEOPLE and found.passed > band * found.people


def _summed(fares: Mapping[str, Fare]) -> Fare:
    return Fare(sum(fare.people for fare in fares.values()), sum(fare.passed for fare in fares.values()))
