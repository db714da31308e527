"""Recorded decisions as rehearsals take them: for backtests, and for what rules in shadow would have done."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sidecar.policy.backtest import Recorded
from sidecar.ports import StoredDecision
from sidecar.usecases.kept import consequence_of

PAGE = 500


class Archive(Protocol):
    """Recorded decisions by time."""

    async def page(
        self, tenant: str, after: int, since: float, until: float, limit: int
    ) -> list[tuple[int, StoredDecision]]:
        """Return decisions of a tenant within a time, oldest first, with their numbers; ``after``: the last number seen."""


@dataclass(frozen=True, slots=True)
class Shadowed:
    """What one rule in shadow would have done to one login. ``would``: the answer the login would have got."""

    decision: str
    tenant: str
    subject: str
    client: str
    at: float
    rule: str
    result: str
    reached: bool
    changed: bool
    was: Mapping[str, Any]
    would: Mapping[str, Any]


async def recorded(
    archive: Archive, tenants: Sequence[str], since: float, until: float, most: int
) -> AsyncIterator[list[Recorded]]:
    """Yield recorded decisions page by page, oldest first, ``most`` at most; people by their pseudonyms."""
    left = most
    for tenant in tenants:
        after = 0
        while left > 0 and (page := await archive.page(tenant, after, since, until, min(PAGE, left))):
            after = page[-1][0]
            left -= len(page)
            yield [as_recorded(stored, stored.subject) for _, stored in page]


def as_recorded(stored: StoredDecision, subject: str) -> Recorded:
    """Return a stored decision as a backtest takes it; ``subject``: what to call the person."""
    facts = stored.body["facts"]
    return Recorded(
        id=stored.id,
        subject=subject,
        client=str(stored.body["client"]),
        groups=tuple(facts.get("user.groups") or ()),
        at=stored.at,
        facts=facts,
        consequence=consequence_of(stored.body.get("verdict", stored.body["answer"])),
        rule=str(stored.body["answer"]["rule_id"]),
    )


async def shadowed(
    archive: Archive,
    tenants: Sequence[str],
    since: float,
    until: float,
    *,
    most: int,
    rule: str | None = None,
    changed: bool | None = None,
) -> tuple[list[Shadowed], int]:
    """Return what rules in shadow would have done, newest first, and how many decisions were looked at (``most`` at most).

    ``rule``: of this rule only; ``changed``: only where the answer would have been another one, or the same.
    """
    found: list[Shadowed] = []
    left = most
    for tenant in tenants:
        after = 0
        while left > 0 and (page := await archive.page(tenant, after, since, until, min(PAGE, left))):
            after = page[-1][0]
            left -= len(page)
            found += [
                item
                for _, stored in page
                for item in of_decision(stored)
                if rule in (None, item.rule) and changed in (None, item.changed)
            ]
    return sorted(found, key=lambda item: -item.at), most - left


def of_decision(stored: StoredDecision) -> list[Shadowed]:
    """Return what each rule in shadow said of one decision."""
    was = stored.body.get("verdict", stored.body["answer"])
    return [
        Shadowed(
            decision=stored.id,
            tenant=stored.tenant,
            subject=stored.subject,
            client=str(stored.body["client"]),
            at=stored.at,
            rule=would["rule_id"],
            result=would["result"],
            reached=bool(would["reached"]),
            changed=bool(would["changed"]),
            was=was,
            would=would["consequence"],
        )
        for would in stored.body.get("shadow", [])
    ]
