"""Carry effects out: end sessions at the identity provider, at least once, retried with backoff, with a receipt."""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from sidecar.errors import CannotDisable, DeliveryFailed, NotFound, StorageFailed
from sidecar.ports import AuditEntry, Decisions, Directory, Outbox, OutboxItem, SessionEnder

log = structlog.get_logger()

FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 300.0
GIVE_UP_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Enactor:
    """What enacting needs; built once by ``main``. ``enders`` maps an issuer to its adapter."""

    outbox: Outbox
    decisions: Decisions
    directory: Directory
    enders: Mapping[str, SessionEnder]
    clock: Callable[[], float]

    async def deliver_due(self, limit: int = 20) -> int:
        """Try everything that is due once, all together, so that a slow provider delays a round and no more. Return how many
        were delivered."""
        delivered = await asyncio.gather(*(self._deliver(item) for item in await self.outbox.due(self.clock(), limit)))
        return sum(delivered)

    async def end_session(self, tenant: str, decision_id: str, *, scope: str, by: str) -> None:
        """Queue the end of the session that a decision let in, with the scope ``disable`` of its account, too.

        Raises NotFound when it names no session, and CannotDisable.
        """
        decision = await self.decisions.get(tenant, decision_id)
        completion = (decision.completion or {}) if decision else {}
        sid = completion.get("sid") or (decision.body["sid"] if decision else None)
        if decision is None or (scope == "session" and not sid):
            raise NotFound("this decision has no session to end")
        if scope == "disable" and not self.may_disable(decision.issuer):
            raise CannotDisable("accounts of this provider cannot be disabled from here: do it there")
        body = {
            "subject": decision.subject,
            "sid": sid,
            "scope": scope,
            "reason": f"operator {by}",
            "decision": decision_id,
        }
        item = OutboxItem(secrets.token_urlsafe(12), tenant, decision.issuer, "revoke", body, 0, self.clock())
        details = {"decision": decision_id, "scope": scope}
        kind = "account.disabled_by_operator" if scope == "disable" else "session.ended_by_operator"
        entry = AuditEntry(tenant, kind, by, decision.subject, details, self.clock())
        await self.outbox.add([item], entry)

    def may_disable(self, issuer: str) -> bool:
        """Whether accounts of a provider can be disabled."""
        return issuer in self.enders and self.enders[issuer].may_disable

    async def _deliver(self, item: OutboxItem) -> bool:
        try:
            if item.kind == "notify":
                log.info("notify", decision=item.body.get("decision"), rule=item.body.get("reason"))
            else:
                ender = self.enders.get(item.issuer)
                person = await self.directory.person(item.tenant, str(item.body["subject"]))
                if ender is None or "id" not in person:
                    raise DeliveryFailed("nobody to tell", permanent=True)
                await ender.end(item, person["id"])
        except (DeliveryFailed, StorageFailed) as failure:  # a damaged row must not stop those behind it
            await self._retry_later(item, failure)
            return False
        except Exception as surprise:  # whatever an adapter raises, or the row would be tried each second for ever
            await self._retry_later(item, DeliveryFailed(f"unexpected: {type(surprise).__name__}"))
            return False
        await self.outbox.settle(item.id, delivered_at=self.clock(), error=None, again_at=None)
        return True

    async def _retry_later(self, item: OutboxItem, failure: DeliveryFailed | StorageFailed) -> None:
        now = self.clock()
        again: float | None = now + min(FIRST_RETRY_SECONDS * 2**item.attempts, LONGEST_RETRY_SECONDS)
        if (isinstance(failure, DeliveryFailed) and failure.permanent) or now - item.created > GIVE_UP_SECONDS:
            again = None
        log.warning("delivery_failed", item=item.id, kind=item.kind, attempts=item.attempts + 1, given_up=again is None)
        await self.outbox.settle(item.id, delivered_at=None, error=failure.message, again_at=again)
