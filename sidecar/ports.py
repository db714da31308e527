"""What the use cases need from the world, as narrow protocols. ``storage`` and the adapters implement them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from sidecar.domain.biometrics import Probe, ProfileState, Provenance, Sample, Template
from sidecar.domain.decisions import Evidence
from sidecar.keyring import Seal

Assertion = tuple[str, str, int]  # (issuer, jti, expires in epoch seconds) of a verified request


@dataclass(frozen=True, slots=True)
class ProfileKey:
    """What one template belongs to. ``subject`` is a pseudonym."""

    tenant: str
    subject: str
    modality: str
    field: str
    context: str


@dataclass(frozen=True, slots=True)
class Profile:
    """One stored template with what is known about it. ``confirmed``: its first samples had a second factor."""

    key: ProfileKey
    template: Template
    samples: int
    confirmed: bool
    last_at: float

    def state(self, *, now: float, ready_samples: int, stale_days: int) -> ProfileState:
        """Return how far the profile has come, at ``now`` (epoch seconds)."""
        if self.samples < ready_samples:
            return ProfileState.LEARNING
        if now - self.last_at > stale_days * 86_400:
            return ProfileState.STALE
        return ProfileState.READY


@dataclass(frozen=True, slots=True)
class OutboxItem:
    """An effect that must reach the outside, at least once. ``attempts`` counts failed deliveries."""

    id: str
    tenant: str
    issuer: str
    kind: str
    body: Mapping[str, Any]
    attempts: int
    created: float


Fate = Literal["waiting", "delivered", "failed"]


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """Everything that becomes durable with one decision, in one transaction.

    ``uses``: what this decision uses up (capture ids, form-carried attempts); ``digests``: of every scored probe.
    ``body``: trace, facts and contributions for the operator page. ``waiting``: probes that the completion may teach.
    """

    id: str
    tenant: str
    issuer: str
    subject: str
    at: float
    body: Mapping[str, Any]
    assertion: Assertion
    idempotency: tuple[str, str] | None
    uses: tuple[str, ...]
    digests: tuple[str, ...]
    waiting: tuple[Probe, ...]
    outbox: tuple[OutboxItem, ...]
    directory: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """A decision as it is remembered. ``completion`` is None until the identity provider reports how it ended."""

    id: str
    tenant: str
    issuer: str
    subject: str
    at: float
    body: Mapping[str, Any]
    completion: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a completed login may teach: the probe and what confirmed it.

    ``confirmed``: whether the profile, with this sample, rests on second factors from its first sample until it was ready.
    """

    key: ProfileKey
    probe: Probe
    evidence: Evidence
    at: float
    confirmed: bool


class Assertions(Protocol):
    """Request assertions, each of which works once."""

    async def spend(self, assertion: Assertion) -> None:
        """Use up an assertion on its own. Raises TokenReplayed, StorageFailed."""


class Keys(Protocol):
    """Every person's own data key. Destroying it makes all that is sealed under it unreadable, backups included."""

    def seal(self, tenant: str, subject: str) -> Seal:
        """Return a person's seal. Raises KeyUnknown, SealBroken."""

    async def ensure(self, tenant: str, subject: str) -> None:
        """Make a person's key if there is none; durable before anything is sealed under it."""

    async def destroy(self, tenant: str, subject: str) -> bool:
        """Destroy a person's key; tell whether there was one."""

    def open_mine(self, tenant: str, subject: str, sealed: bytes, *place: str) -> bytes | None:
        """Open a value under a person's key; None when its key was destroyed (rows of a restored backup).

        Raises SealBroken for a value that was changed, moved, or sealed for another person.
        """


class Captures(Protocol):
    """Batches that wait for their decision, sealed under a key that is not stored."""

    async def append(self, capture: str, seq: int, sealed: bytes, expires: int) -> None:
        """Keep a batch. Raises BatchOutOfOrder, CaptureUsed, StorageFailed; then nothing was kept."""

    def waiting(self, capture: str) -> list[tuple[int, bytes]]:
        """Return the kept batches of a capture as (seq, sealed)."""

    async def purge(self, now: float) -> int:
        """Drop what has expired; return how many rows."""


class Decisions(Protocol):
    """Decisions and everything that is one transaction with them."""

    async def record(self, record: DecisionRecord) -> None:
        """Make a decision durable. Raises TokenReplayed, CaptureUsed, IdempotencyConflict, StorageFailed; then no row."""

    def repeated(self, issuer: str, key: str) -> tuple[str, StoredDecision] | None:
        """Return (request digest, decision) of an idempotency key."""

    def get(self, tenant: str, decision_id: str) -> StoredDecision | None:
        """Return one decision of a tenant."""

    def recent(self, after: str | None, limit: int) -> list[StoredDecision]:
        """Return the newest decisions, newest first; only those newer than ``after`` if given."""

    def seen(self, tenant: str, digests: Sequence[str]) -> bool:
        """Tell whether any of these probe digests was scored before."""


class Profiles(Protocol):
    """What is known of people: templates, the samples they rest on, and how they usually log in."""

    def find(self, tenant: str, subject: str) -> list[Profile]:
        """Return every profile of a subject. Raises StorageFailed when one does not open."""

    def usual(self, tenant: str, subject: str) -> list[Provenance | None]:
        """Return the password provenance of the newest completed logins, newest first, five at most."""

    def samples(self, key: ProfileKey) -> list[Sample]:
        """Return the kept samples of a profile, oldest first."""


class Learning(Protocol):
    """How profiles come to be, grow and go."""

    def waiting(self, decision_id: str) -> list[Probe]:
        """Return the probes that wait for a decision's completion."""

    def taught_since(self, tenant: str, subject: str, since: float) -> Mapping[str, int]:
        """Return how many samples each field got since a moment (epoch seconds)."""

    async def complete(
        self,
        decision: StoredDecision,
        completion: Mapping[str, Any],
        lessons: Sequence[Lesson],
        assertion: Assertion,
        *,
        remember: bool = True,
    ) -> bool:
        """Close a decision and learn its lessons in one transaction; False when it was closed before.

        ``remember``: whether a success counts among the logins that say how the password usually gets there.
        """

    async def import_samples(self, lessons: Sequence[Lesson], origin: str) -> None:
        """Learn samples that did not come from a login (seeding, rehearsal); ``origin`` stands for the decision id."""

    async def reset(self, tenant: str, subject: str, field: str | None, assertion: Assertion) -> None:
        """Forget one field's profile, or with None everything about the subject."""


class Directory(Protocol):
    """Who a pseudonym is, for revocation and for people who may see it."""

    def person(self, tenant: str, subject: str) -> dict[str, str]:
        """Return {id, name} of a pseudonym, empty when unknown. Raises StorageFailed when it does not open."""


class Outbox(Protocol):
    """Effects on their way out."""

    def due(self, now: float, limit: int) -> list[OutboxItem]:
        """Return what should be tried now, oldest first."""

    async def add(self, items: Sequence[OutboxItem]) -> None:
        """Queue effects."""

    def fates(self, decisions: Sequence[str]) -> dict[str, Fate]:
        """Return what became of the newest session end of each of these decisions that has one."""

    async def settle(self, item_id: str, *, delivered: bool, error: str | None, again_at: float | None) -> None:
        """Note a delivery, or a failure with the time of the next try (None: given up)."""


class SessionEnder(Protocol):
    """An identity provider's way to end sessions. Implemented by adapters."""

    async def end(self, item: OutboxItem, subject: str) -> None:
        """End the session or sessions an outbox item names. Idempotent by the item's id. Raises DeliveryFailed."""
