"""What the use cases need from the world, as narrow protocols. ``storage`` and the adapters implement them."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from sidecar.domain.biometrics import Probe, ProfileState, Provenance, Sample, Template
from sidecar.domain.consent import Consent
from sidecar.domain.decisions import Evidence
from sidecar.domain.entries import Entries, Entry
from sidecar.domain.surroundings import Failure, MarkKind, Past
from sidecar.keyring import Seal

if TYPE_CHECKING:
    from sidecar.policy.compare import Change

Assertion = tuple[str, str, int]  # (issuer, jti, expires in epoch seconds) of a verified request
NOTHING_PAST = Past()


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One event for a tenant's audit chain. ``subject`` is a pseudonym; ``details`` name nobody and hold no timing."""

    tenant: str
    kind: str
    actor: str
    subject: str
    details: Mapping[str, Any]
    at: float


@dataclass(frozen=True, slots=True)
class AuditRow:
    """An entry as it stands in its chain: ``hash`` covers everything else, ``previous`` is the hash before it."""

    number: int
    entry: AuditEntry
    previous: str
    hash: str


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
    """One stored template with what is known about it. ``confirmed``: its first samples had a second factor.

    ``serving``: it decides. A template of another model stands beside it in the shadow until it is as good: ``compared``
    confirmed logins were scored by both, in ``fitted`` of which it would not have asked for more.
    """

    key: ProfileKey
    template: Template
    samples: int
    confirmed: bool
    last_at: float
    serving: bool = True
    compared: int = 0
    fitted: int = 0

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
class SessionEnd:
    """What became of the end of a session. ``scope``: session, all or disable; ``seconds``: from the queue to the effect."""

    fate: Fate
    scope: str
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """Everything that becomes durable with one decision, in one transaction.

    ``uses``: what this decision uses up (capture ids, form-carried attempts); ``digests``: of every scored probe.
    ``body``: trace, facts and contributions for the operator page. ``waiting``: probes that the completion may teach.
    ``entry``: its row in the audit chain, None when that is written later (buffered). ``consent``: what the provider says of
    it, where that is news. ``entries``: what was typed, to be known again; ``watched``: the field in which a copy that came
    in between is refused. ``events``: the event stream, for the recording named first, where the person agreed to one.
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
    entry: AuditEntry | None = None
    consent: Consent | None = None
    entries: tuple[Entry, ...] = ()
    watched: str = ""
    events: tuple[str, bytes] | None = None


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
class Running:
    """What is known of a running session. ``login``: the decision it began with; ``factor_at``: when a second factor was last
    passed in it (epoch seconds).
    """

    login: StoredDecision | None
    factor_at: float | None


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a completed login may teach: the probe and what confirmed it.

    ``confirmed``: whether the profile, with this sample, rests on second factors from its first sample until it was ready.
    ``model``: the scorer whose template judged it. ``fits``: whether the template in the shadow, if there is one, would have
    asked for no more than the serving one; None without one.
    """

    key: ProfileKey
    probe: Probe
    evidence: Evidence
    at: float
    confirmed: bool
    model: str = ""
    fits: bool | None = None


@dataclass(frozen=True, slots=True)
class Enrollment:
    """What becomes durable where profiles are begun outside a login, in one transaction; fields as in ``DecisionRecord``."""

    id: str
    tenant: str
    subject: str
    at: float
    assertion: Assertion
    uses: tuple[str, ...]
    digests: tuple[str, ...]
    consent: Consent | None
    directory: Mapping[str, str]
    entry: AuditEntry


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is known of a person at the start of a login, read together. ``entries``: earlier ones, by (field, context)."""

    profiles: Sequence[Profile]
    usual: Sequence[Provenance | None]
    consent: Consent
    recordings: Sequence[str] = ()
    past: Past = NOTHING_PAST
    entries: Mapping[tuple[str, str], Entries] = field(default_factory=dict)


SlotName = Literal["enforced", "previous", "proposed", "staged", "emergency"]


@dataclass(frozen=True, slots=True)
class Audience:
    """Whom a staged policy is for: a share of people (0 to 100, always the same ones), and groups as the provider names
    them.
    """

    percent: float = 100.0
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """One published version. ``tests``: (file name, text) of the test files it passed. ``number`` is 0 until it is kept."""

    number: int
    digest: str
    name: str
    source: bytes
    tests: tuple[tuple[str, str], ...]
    signature: bytes | None
    author: str
    at: float
    note: str


@dataclass(frozen=True, slots=True)
class PolicyHead:
    """What the history says of a version."""

    number: int
    digest: str
    name: str
    author: str
    at: float
    note: str


@dataclass(frozen=True, slots=True)
class Checked:
    """A version that compiled and passed its tests. ``changes``: what it means beside another, None where that was not
    asked, or could not be told in time.
    """

    id: str
    digest: str
    changes: "tuple[Change, ...] | None" = None


CONFIGURED_FILE = 0  # the number that stands for the file of the settings, which no store holds


@dataclass(frozen=True, slots=True)
class PolicySlot:
    """A version in its place. ``approver``: the second pair of eyes. ``ends``: when an emergency is over (epoch seconds).

    ``number`` of ``previous`` is ``CONFIGURED_FILE`` where nothing was published before. ``at``: since when it stands there.
    ``band``: share of distinct ready people who may have been challenged anew and passed before it goes back; None for no
    limit.
    """

    number: int
    audience: Audience
    author: str
    approver: str | None
    at: float
    ends: float | None = None
    band: float | None = None


class Policies(Protocol):
    """Published policies: every version for good, and which of them is in force for whom."""

    async def slots(self) -> Mapping[SlotName, PolicySlot]:
        """Return which version stands in which slot."""

    async def version(self, number: int) -> PolicyVersion | None:
        """Return one version."""

    async def of_digest(self, digest: str) -> PolicyVersion | None:
        """Return the newest version of these bytes."""

    async def history(self, limit: int) -> list[PolicyHead]:
        """Return the newest versions without their texts, newest first."""

    async def add(self, version: PolicyVersion, entry: AuditEntry) -> int:
        """Keep a version; return its number."""

    async def move(
        self,
        seen: Mapping[SlotName, PolicySlot],
        after: Mapping[SlotName, PolicySlot | None],
        entry: AuditEntry,
    ) -> None:
        """Fill and empty slots, all of it or nothing. Raises PolicyConflict when they are no longer as they were seen."""

    async def note_once(self, entry: AuditEntry) -> bool:
        """Add a row to the audit chain unless one of this kind with these details is there; tell whether it was added."""


class LastGood(Protocol):
    """The last enforced policy that could be used, in a place of this sidecar's own. Both block."""

    def load(self) -> PolicyVersion | None:
        """Return the version that was kept, None where there is none that can be read."""

    def keep(self, version: PolicyVersion) -> None:
        """Keep a version in place of the one before."""


@dataclass(frozen=True, slots=True)
class Fare:
    """Distinct people with a ready profile who completed a login under a version while it stood in its place, and how many
    of them passed a second factor that the policy before it would not have asked for.
    """

    people: int
    passed: int


class PolicyFares(Protocol):
    """How people fared under a policy."""

    async def fares(self, slot: PolicySlot) -> Mapping[str, Fare]:
        """Return how people fared since the version came into this place, by tenant."""


class Assertions(Protocol):
    """Request assertions, each of which works once."""

    async def spend(self, assertion: Assertion) -> None:
        """Use up an assertion on its own. Raises TokenReplayed, StorageFailed."""


class Opener(Protocol):
    """Opens one person's sealed values."""

    def __call__(self, sealed: bytes, *place: str) -> bytes | None:
        """Do as ``Keys.open_mine`` does."""


class Keys(Protocol):
    """Every person's own data key. Destroying it makes all that is sealed under it unreadable, backups included.

    What is not ``async`` may block and belongs inside a store's reading or writing job.
    """

    def seal(self, tenant: str, subject: str) -> Seal:
        """Return a person's seal. Raises KeyUnknown, SealBroken."""

    async def ensure(self, tenant: str, subject: str) -> None:
        """Make a person's key if there is none; durable before anything is sealed under it."""

    async def destroy(self, tenant: str, subject: str) -> bool:
        """Destroy a person's key; tell whether there was one."""

    def opener(self, tenant: str, subject: str) -> "Opener":
        """Return what opens a person's values, having read the key once."""

    def open_mine(self, tenant: str, subject: str, sealed: bytes, *place: str) -> bytes | None:
        """Open a value under a person's key; None when its key was destroyed (rows of a restored backup).

        Raises SealBroken for a value that was changed, moved, or sealed for another person.
        """


class Captures(Protocol):
    """Batches that wait for their decision, sealed under a key that is not stored."""

    async def append(self, capture: str, seq: int, sealed: bytes, expires: int) -> None:
        """Keep a batch. Raises BatchOutOfOrder, CaptureUsed, StorageFailed; then nothing was kept."""

    async def waiting(self, capture: str) -> list[tuple[int, bytes]]:
        """Return the kept batches of a capture as (seq, sealed)."""


class Retention(Protocol):
    """What is kept for a time and no longer."""

    async def purge(self, now: float) -> Mapping[str, int]:
        """Drop what has had its time; return how many rows of which class."""


class Decisions(Protocol):
    """Decisions and everything that is one transaction with them."""

    async def record(self, record: DecisionRecord) -> None:
        """Make a decision durable. Raises TokenReplayed, CaptureUsed, IdempotencyConflict, StorageFailed; then no row."""

    async def repeated(self, issuer: str, key: str) -> tuple[str, StoredDecision] | None:
        """Return (request digest, decision) of an idempotency key."""

    async def get(self, tenant: str, decision_id: str) -> StoredDecision | None:
        """Return one decision of a tenant."""

    async def recent(self, tenants: Sequence[str], limit: int) -> list[StoredDecision]:
        """Return the newest decisions of these tenants, newest first."""

    async def seen(self, tenant: str, digests: Sequence[str]) -> bool:
        """Tell whether any of these probe digests was scored before."""


class Sessions(Protocol):
    """Running sessions at the identity provider."""

    async def running(self, tenant: str, subject: str, sid: str, now: float) -> Running:
        """Return what is known of a session of this person's; both parts None where nothing is."""


class Profiles(Protocol):
    """What is known of people: templates, the samples they rest on, and how they usually log in."""

    async def remembered(self, tenant: str, subject: str, now: float) -> Remembered:
        """Return what a login needs to know. Raises StorageFailed when something does not open."""

    async def find(self, tenant: str, subject: str) -> list[Profile]:
        """Return every template of a subject, those in the shadow too. Raises StorageFailed when one does not open."""

    async def usual(self, tenant: str, subject: str) -> list[Provenance | None]:
        """Return the password provenance of the newest completed logins, newest first, five at most."""

    async def samples(self, key: ProfileKey) -> list[Sample]:
        """Return the samples that count for a profile, oldest first."""


class Learning(Protocol):
    """How profiles come to be and grow."""

    async def waiting(self, tenant: str, decision_id: str) -> list[Probe]:
        """Return the probes that wait for a decision's completion."""

    async def taught_since(self, tenant: str, subject: str, since: float) -> Mapping[tuple[str, Evidence], int]:
        """Return how many samples each field got since a moment (epoch seconds), by evidence."""

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

    async def begin(self, enrollment: Enrollment, lessons: Sequence[Lesson]) -> list[str]:
        """Learn first samples outside a login; return the fields of which nothing was known before. Raises TokenReplayed,
        CaptureUsed; then nothing was kept.
        """

    async def import_samples(self, lessons: Sequence[Lesson], origin: str) -> None:
        """Learn samples that did not come from a login (seeding, rehearsal); ``origin`` stands for the decision id."""


Restored = Literal["exact", "checkpoint", "remaining", "nothing"]


class Correction(Protocol):
    """How profiles are taken back, whole or in part. ``by`` says who wants it, for the audit chain."""

    async def reset(
        self, tenant: str, subject: str, field: str | None, assertion: Assertion | None, by: str, at: float
    ) -> None:
        """Forget one field's profile, or with None everything about the subject."""

    async def unlearn(self, tenant: str, subject: str, since: float, now: float, by: str) -> Mapping[str, Restored]:
        """Take back what was learned since a moment (epoch seconds); say for each profile what it is now.

        ``exact``: the template is the one of that moment; ``checkpoint``: the newest one kept from before it;
        ``remaining``: made of the samples left; ``nothing``: none left, so the profile is gone.
        """

    async def confirm(self, tenant: str, subject: str, by: str, at: float) -> int:
        """Let an administrator vouch for what only a password stood for; return how many samples that were."""

    async def rebuild(self, tenant: str, subject: str, by: str, at: float) -> Mapping[str, bool]:
        """Make every template again from its samples or checkpoint; tell for each whether it was the same, bit for bit."""


class Subjects(Protocol):
    """Where people stand: consent, and whether they paused."""

    async def consent(self, tenant: str, subject: str) -> Consent:
        """Return where a person stands; unknown when nothing is kept."""

    async def stand(
        self, tenant: str, subject: str, consent: Consent, assertion: Assertion | None, by: str, at: float
    ) -> None:
        """Keep where a person stands. A withdrawal also erases samples, templates, recordings and what waits."""


class Surroundings(Protocol):
    """What is remembered of the surroundings of logins, and administrators' marks."""

    async def past(self, tenant: str, subject: str) -> Past:
        """Return what is remembered of a person. Raises StorageFailed when something does not open."""

    async def fail(self, tenant: str, subject: str, failure: Failure, assertion: Assertion) -> None:
        """Count a refused login of somebody who has completed one from a verified browser; drop any other."""

    async def mark(
        self, tenant: str, subject: str, kind: MarkKind | None, expires: float | None, by: str, at: float
    ) -> bool:
        """Mark a person, or with None take the mark away; tell whether there was one before."""


class Directory(Protocol):
    """Who a pseudonym is, for revocation and for people who may see it."""

    async def person(self, tenant: str, subject: str) -> dict[str, str]:
        """Return {id, name} of a pseudonym, empty when unknown. Raises StorageFailed when it does not open."""


class Outbox(Protocol):
    """Effects on their way out."""

    async def due(self, now: float, limit: int) -> list[OutboxItem]:
        """Return what should be tried now, oldest first."""

    async def add(self, items: Sequence[OutboxItem], entry: AuditEntry | None = None) -> None:
        """Queue effects, with the audit entry of what caused them."""

    async def fates(self, tenants: Sequence[str], decisions: Sequence[str]) -> dict[str, SessionEnd]:
        """Return what became of the newest session end of each of these decisions that has one."""

    async def settle(
        self, item_id: str, *, delivered_at: float | None, error: str | None, again_at: float | None
    ) -> None:
        """Note a delivery, or a failure with the time of the next try (None: given up)."""


class Audit(Protocol):
    """The audit chains."""

    async def add(self, entries: Sequence[AuditEntry]) -> None:
        """Append entries, durable on return. Raises StorageFailed."""

    def room(self) -> AbstractContextManager[Callable[[AuditEntry], None]]:
        """Hold room for one entry, and give a function that appends it soon, without waiting (buffered mode).

        Raises AuditFull when too many wait already.
        """

    async def last_of(self, tenant: str, kind: str) -> AuditRow | None:
        """Return the newest row of a kind."""

    async def entries(self, tenant: str, after: int, limit: int) -> list[AuditRow]:
        """Return rows of a tenant's chain with a number above ``after``, oldest first."""


class SessionEnder(Protocol):
    """An identity provider's way to end sessions. Implemented by adapters."""

    @property
    def may_disable(self) -> bool:
        """Whether accounts can be disabled in this way, too: the scope ``disable``."""

    async def end(self, item: OutboxItem, subject: str) -> None:
        """End the session or sessions an outbox item names. Idempotent by the item's id. Raises DeliveryFailed."""
