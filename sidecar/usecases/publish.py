"""Publishing: check, propose, approve, stage, enforce, take back, restore. Every step is a row of the audit chain.

A version is checked before anything is kept: compiled in a process of its own (whatever a file does to the compiler, it
does not do to logins), run through its tests, and, where keys are configured, verified. With four eyes, somebody other than the
author must approve it. What was in force before is kept at hand, and comes back by
itself when too many people had to be challenged.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from sidecar.errors import BadRequest, Forbidden, NotFound, PolicyInvalid
from sidecar.policy.language import Policy
from sidecar.ports import Audience, AuditEntry, Policies, PolicyFares, PolicySlot, PolicyVersion, SlotName

INSTALLATION = "*"
LONGEST_EMERGENCY_SECONDS = 7 * 86_400
FEWEST_PEOPLE = 30  # before fewer have logged in, a share says nothing
EVERYBODY = Audience()

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
    check: Callable[[PolicyVersion], Awaitable[Policy]]
    four_eyes: bool
    clock: Callable[[], float]

    async def propose(
        self, version: PolicyVersion, *, audience: Audience = EVERYBODY, band: float | None = None
    ) -> tuple[int, SlotName]:
        """Check and keep a version, and put it where it may go; return its number and slot.

        Raises PolicyInvalid, PolicyConflict. With four eyes it waits as ``proposed``; else it is ``staged`` for an audience
        that is not everybody, or ``enforced``.
        """
        policy = await self.check(version)
        now = self.clock()
        seen = await self.policies.slots()
        number = await self.policies.add(
            replace(version, digest=policy.digest, name=policy.id, at=now),
            self._entry("policy.checked", version.author, policy.digest, {"name": policy.id, "note": version.note}),
        )
        slot = PolicySlot(number, audience, version.author, None, now, None, band)
        if self.four_eyes:
            entry = self._entry("policy.proposed", version.author, policy.digest, _told(slot))
            await self.policies.move(seen, {"proposed": slot}, entry)
            return number, "proposed"
        return number, await self._enter(seen, slot, policy.digest, version.author)

    async def approve(self, number: int, by: str) -> SlotName:
        """Approve what was proposed. Raises NotFound, Forbidden (one's own), PolicyConflict."""
        seen = await self.policies.slots()
        proposed = seen.get("proposed")
        if proposed is None or proposed.number != number:
            raise NotFound("this version is not proposed")
        if proposed.author == by:
            raise Forbidden("four eyes: somebody else must approve")
        slot = replace(proposed, approver=by, at=self.clock())
        return await self._enter(seen, slot, await self._digest(number), by)

    async def enforce_staged(self, by: str) -> int:
        """Let the staged version decide for everybody; return its number. Raises NotFound, PolicyConflict."""
        seen = await self.policies.slots()
        staged = seen.get("staged")
        if staged is None:
            raise NotFound("nothing is staged")
        await self._enter(
            seen, replace(staged, audience=EVERYBODY, at=self.clock()), await self._digest(staged.number), by
        )
        return staged.number

    async def withdraw(self, slot: SlotName, by: str) -> int:
        """Take a proposed, staged or emergency version away; return its number. Raises NotFound, PolicyConflict."""
        seen = await self.policies.slots()
        found = seen.get(slot)
        if found is None or slot not in ("proposed", "staged", "emergency"):
            raise NotFound(f"nothing is {slot}")
        entry = self._entry(
            "policy.withdrawn", by, await self._digest(found.number), {"slot": slot, "number": found.number}
        )
        await self.policies.move(seen, {slot: None}, entry)
        return found.number

    async def roll_back(self, by: str, why: str) -> int:
        """Put what was enforced before back; return its number. Raises NotFound, PolicyConflict."""
        seen = await self.policies.slots()
        before, now = seen.get("previous"), seen.get("enforced")
        if before is None:
            raise NotFound("there is nothing to go back to")
        entry = self._entry(
            "policy.rolled_back", by, await self._digest(before.number),
            {"number": before.number, "from": now.number if now else None, "why": why},
        )  # fmt: skip
        slot = replace(before, at=self.clock(), band=None)
        await self.policies.move(seen, {"enforced": slot, "previous": None, "staged": None}, entry)
        return before.number

    async def break_glass(self, version: PolicyVersion, seconds: float) -> int:
        """Let a version decide at once for everybody, for a time. It needs no second pair of eyes, and says so in the chain.

        Raises PolicyInvalid, also for more than seven days.
        """
        if not 0 < seconds <= LONGEST_EMERGENCY_SECONDS:
            raise PolicyInvalid("an emergency lasts seven days at most")
        policy = await self.check(version)
        now = self.clock()
        seen = await self.policies.slots()
        kept = replace(version, digest=policy.digest, name=policy.id, at=now)
        told = {"name": policy.id, "note": version.note}
        number = await self.policies.add(kept, self._entry("policy.checked", version.author, policy.digest, told))
        slot = PolicySlot(number, EVERYBODY, version.author, None, now, now + seconds)
        entry = self._entry("policy.emergency", version.author, policy.digest, _told(slot) | {"ends": slot.ends})
        await self.policies.move(seen, {"emergency": slot}, entry)
        return number

    async def watch(self) -> int | None:
        """Roll the enforced version back when it left its band; return the number that came back.

        What counts is how many distinct people with a ready profile had to pass a second factor and did. An attacker does
        not pass it, so no attack, however large, can loosen a policy.
        """
        seen = await self.policies.slots()
        enforced = seen.get("enforced")
        if enforced is None or enforced.band is None or "previous" not in seen:
            return None
        people, passed = await self.fares.fares(await self._digest(enforced.number), enforced.at)
        if people < FEWEST_PEOPLE or passed <= enforced.band * people:
            return None
        return await self.roll_back(
            "sidecar", f"{passed} of {people} ready people challenged, {enforced.band:.0%} allowed"
        )

    async def _enter(self, seen: Slots, slot: PolicySlot, digest: str, by: str) -> SlotName:
        if slot.audience != EVERYBODY:
            entry = self._entry("policy.staged", by, digest, _told(slot))
            await self.policies.move(seen, {"staged": slot, "proposed": None}, entry)
            return "staged"
        entry = self._entry("policy.enforced", by, digest, _told(slot))
        after: dict[SlotName, PolicySlot | None] = {"enforced": slot, "staged": None, "proposed": None}
        if "enforced" in seen:
            after["previous"] = seen["enforced"]
        await self.policies.move(seen, after, entry)
        return "enforced"

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
