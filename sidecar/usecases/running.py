"""A running session, asked about at a session check: the typing of the login that it began with, in the surroundings of now."""

from dataclasses import replace
from typing import Any

from sidecar.domain.biometrics import Cause, ProfileState
from sidecar.domain.decisions import Attempt, Facts, Judgement, Outcome
from sidecar.policy.bands import rebanded
from sidecar.policy.language import Policy
from sidecar.policy.registry import SIGNALS
from sidecar.ports import Running, Sessions, StoredDecision
from sidecar.usecases.gather import Gathered

SESSION_CHECK = "session_check"
UNKNOWN = Running(None, None)
_TYPED = tuple(name for name, signal in SIGNALS.items() if signal.kind == "behavior")


async def running(sessions: Sessions, attempt: Attempt, subject: str, now: float) -> Running:
    """Return what is known of the session that an attempt names; nothing at a login, or where none is named."""
    if attempt.action != SESSION_CHECK or attempt.sid is None:
        return UNKNOWN
    return await sessions.running(attempt.tenant, subject, attempt.sid, now)


def typed_at(found: Running, gathered: Gathered, policy: Policy) -> Facts:
    """Return what typing said at the session's login, by this policy's own bands; empty where it is not known or not permitted.

    A person who withdrew since is not looked at any more: then ``gathered`` has that cause, and it stands.
    """
    if found.login is None or gathered.evidence is not Cause.NO_CAPTURE:
        return {}
    told = rebanded(found.login.body["facts"], policy.mismatch_from, policy.prior)
    return {name: told[name] for name in _TYPED if name in told}


def as_judged(judgement: Judgement, typed: Facts) -> Judgement:
    """Return a judgement without scores of its own that says what the session's login said."""
    if not typed:
        return judgement
    cause, llr = typed.get("keystroke.cause"), typed.get("keystroke.llr")
    return replace(
        judgement,
        outcome=Outcome(str(typed["keystroke.outcome"])),
        cause=Cause(str(cause)) if cause else None,
        state=ProfileState(str(typed["profile.state"])),
        llr=float(llr) if isinstance(llr, int | float) else None,
        absences=(),
    )


def kept_of(found: Running) -> dict[str, Any]:
    """Return what a session check remembers of its session, so that the next one need not look further back than this."""
    return {"login": found.login.id if found.login else None, "factor_at": found.factor_at}


def of_check(check: StoredDecision, login: StoredDecision | None, factor_at: float | None) -> Running:
    """Return a session as its newest check remembers it. ``factor_at``: of that check itself, where one was passed."""
    earlier = (check.body.get("session") or {}).get("factor_at")
    return Running(login, factor_at if factor_at is not None else earlier)
