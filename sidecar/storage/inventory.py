"""What is kept where, of which class, why, and for how long: one table, from which ``docs/data.md`` is made.

A test compares it with the schemas of both databases, so that no column can be added without saying what it holds.
"""

from dataclasses import dataclass
from typing import Literal

Class = Literal["behaviour", "identity", "pseudonym", "decision", "consent", "technical", "key", "audit"]

CLASSES: dict[Class, str] = {
    "behaviour": "measured from a person's typing, or derived from it",
    "identity": "who a person is",
    "pseudonym": "a keyed hash that stands for a person, of a tenant's own key",
    "decision": "what was decided, and on what grounds",
    "consent": "where a person stands",
    "technical": "needed to answer once, in order, and on time; about nobody",
    "key": "a wrapped key",
    "audit": "who did what, and when",
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column. ``sealed``: AES-256-GCM under the person's own key, or (``wrapped``) under a master key or a capture's."""

    name: str
    holds: Class
    sealed: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """One table: what for, until when."""

    store: Literal["data", "keys"]
    name: str
    purpose: str
    retention: str
    columns: tuple[Column, ...]


def _columns(text: str) -> tuple[Column, ...]:
    """Read ``name:class`` or ``name:class:sealed``, separated by blanks."""
    found = []
    for part in text.split():
        name, kind, *sealed = part.split(":")
        found.append(Column(name, kind, sealed[0] if sealed else ""))  # type: ignore[arg-type]
    return tuple(found)


_PROFILE = "tenant:technical subject:pseudonym modality:technical field:technical context:technical"

INVENTORY: tuple[Table, ...] = (
    Table(
        "data",
        "waiting_batches",
        "events of a login page until its decision",
        "until the decision, 10 minutes at most",
        _columns("capture:technical seq:technical sealed:behaviour:capture-token expires:technical"),
    ),
    Table(
        "data",
        "waiting_probes",
        "feature vectors of a login until it is completed",
        "until completed, 1 hour at most",
        _columns(
            "decision:technical field:technical tenant:technical subject:pseudonym sealed:behaviour:own-key at:technical"
        ),
    ),
    Table(
        "data",
        "samples",
        "evidence log: what templates are made of",
        "retention.samples_days, the newest 300 of a profile; taken back ones: retention.unlearned_days",
        _columns(
            f"number:technical {_PROFILE} decision:technical evidence:decision at:technical sealed:behaviour:own-key"
            " model:technical confirmed:decision unlearned:technical"
        ),
    ),
    Table(
        "data",
        "templates",
        "what a login is compared with",
        "retention.profile_days after the last sample",
        _columns(
            f"{_PROFILE} model:technical serving:technical samples:technical confirmed:decision last_at:technical"
            " checkpoint:technical dropped:technical compared:technical fitted:technical sealed:behaviour:own-key"
        ),
    ),
    Table(
        "data",
        "checkpoints",
        "copies of templates, for taking back what was learned since a moment",
        "retention.profile_days after the last sample, the newest 6 of a profile",
        _columns(
            f"id:technical {_PROFILE} model:technical at:technical samples:technical confirmed:decision"
            " last_at:technical sealed:behaviour:own-key"
        ),
    ),
    Table(
        "data",
        "entries",
        "to know typing again that nearly repeats an earlier entry (replay), and to tell whether scores tell people apart",
        "the newest 200 logins and 300 samples of a profile, retention.samples_days; until the field is reset",
        _columns(f"{_PROFILE} oldest_at:technical newest_at:technical sealed:behaviour:own-key"),
    ),
    Table(
        "data",
        "recalibrations",
        "what scores are worth in a tenant, by its own logins; while it is worked out, counts over people so far",
        "until worked out again; unfinished work a day",
        _columns(
            "tenant:technical model:technical scale:technical shift:technical people:technical at:technical"
            " position:pseudonym counts:decision"
        ),
    ),
    Table(
        "data",
        "probe_digests",
        "to know the very same timings again (replay)",
        "retention.digests_days",
        _columns("tenant:technical digest:behaviour:keyed-hash at:technical"),
    ),
    Table(
        "data",
        "provenance",
        "how the password usually gets into its field",
        "5 logins; until neither decision nor template of the person is left",
        _columns("number:technical tenant:technical subject:pseudonym password:behaviour"),
    ),
    Table(
        "data",
        "past_logins",
        "to know a new browser, network, country or hour from a usual one: time, browser, network (/24, /48), place of each",
        "retention.logins_days, the newest 200 of a person",
        _columns("tenant:technical subject:pseudonym oldest_at:decision last_at:decision sealed:identity:own-key"),
    ),
    Table(
        "data",
        "failed_logins",
        "failures by browser, of people who have completed a login",
        "1 hour after the last one",
        _columns("tenant:technical subject:pseudonym last_at:decision sealed:decision:own-key"),
    ),
    Table(
        "data",
        "marks",
        "an administrator's word about an account: safe or compromised",
        "until its end, until taken back, or until the person is forgotten",
        _columns("tenant:technical subject:pseudonym at:decision expires:decision sealed:decision:own-key"),
    ),
    Table(
        "data",
        "directory",
        "to end sessions at the provider, and to show names to roles that may see them",
        "until neither decision nor template of the person is left",
        _columns("tenant:technical subject:pseudonym sealed:identity:own-key"),
    ),
    Table(
        "data",
        "decisions",
        "why somebody was asked, for operators and for the person",
        "retention.decisions_days",
        _columns(
            "number:technical id:technical tenant:technical issuer:technical subject:pseudonym at:decision"
            " body:decision:own-key completion:decision"
        ),
    ),
    Table(
        "data",
        "subjects",
        "consent and pause, checked before anything is looked at",
        "until the person is forgotten",
        _columns(
            "tenant:technical subject:pseudonym consent:consent version:consent consent_at:consent confirmed:consent"
            " recording:consent paused_at:consent proof:technical:own-key"
        ),
    ),
    Table(
        "data",
        "recordings",
        "named recordings, begun by an administrator",
        "retention.recorded_days after its end",
        _columns("tenant:technical name:technical purpose:technical began:technical ends:technical"),
    ),
    Table(
        "data",
        "recorded",
        "event streams of people who agreed to a recording by name",
        "retention.recorded_days",
        _columns(
            "number:technical tenant:technical subject:pseudonym recording:technical decision:technical at:technical"
            " sealed:behaviour:own-key"
        ),
    ),
    Table(
        "data",
        "outbox",
        "effects on their way to the provider",
        "retention.effects_days after they were settled",
        _columns(
            "number:technical id:technical tenant:technical issuer:technical kind:technical subject:pseudonym"
            " decision:technical body:decision attempts:technical due:technical created:technical delivered:technical"
            " error:technical delivered_at:technical"
        ),
    ),
    Table(
        "data",
        "assertions",
        "each signed request works once",
        "its own expiry and 1 minute",
        _columns("issuer:technical jti:technical expires:technical"),
    ),
    Table(
        "data",
        "idempotency",
        "a repeated request gets the same answer",
        "1 day",
        _columns("issuer:technical key:technical request_digest:technical decision:technical at:technical"),
    ),
    Table(
        "data",
        "uses",
        "each capture serves one decision",
        "1 day",
        _columns("what:technical decision:technical at:technical"),
    ),
    Table(
        "data",
        "audit",
        "hash chain of decisions, acts, readings and key operations",
        "retention.audit_days, whole prefixes that end at a signed checkpoint",
        _columns(
            "tenant:technical number:audit at:audit kind:audit actor:audit subject:pseudonym details:audit previous:audit"
            " hash:audit"
        ),
    ),
    Table(
        "data",
        "audit_checkpoints",
        "signed heads of the chains",
        "the newest before what is kept of its chain, and all after it",
        _columns("tenant:technical number:audit hash:audit at:audit key:audit signature:audit sent:technical"),
    ),
    Table(
        "data",
        "policies",
        "every published version with its tests, for history and for going back",
        "as long as the installation",
        _columns(
            "number:technical digest:technical name:technical source:technical tests:technical signature:technical"
            " author:audit at:audit note:audit"
        ),
    ),
    Table(
        "data",
        "policy_slots",
        "which version is in force for whom",
        "until replaced",
        _columns(
            "slot:technical number:technical audience:technical author:audit approver:audit at:audit ends:technical"
            " band:technical"
        ),
    ),
    Table(
        "data",
        "policy_fares",
        "whether a person with a ready profile passed a second factor that only the newer policy asks for; for going back",
        "retention.decisions_days",
        _columns("number:technical since:technical tenant:technical subject:pseudonym passed:decision at:decision"),
    ),
    Table(
        "data",
        "audit_heads",
        "the newest row of every chain, signed with each addition",
        "as long as its chain",
        _columns("tenant:technical number:audit hash:audit at:audit key:audit signature:audit"),
    ),
    Table(
        "keys",
        "user_keys",
        "every person's data key; destroying it is forgetting",
        "until the person is forgotten",
        _columns("tenant:technical subject:pseudonym key_id:technical master:technical wrapped:key:master-key"),
    ),
    Table(
        "keys",
        "secrets",
        "root secrets of installation and tenants, signing keys",
        "as long as the installation",
        _columns("name:technical master:technical wrapped:key:master-key"),
    ),
)
