"""Who may do what: one table. The pages, the operators' API, the documentation and a test for every cell read it here."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """What operators can be. Several roles add up."""

    VIEWER = "viewer"
    HELP_DESK = "help_desk"
    ANALYST = "analyst"
    POLICY_AUTHOR = "policy_author"
    ADMINISTRATOR = "administrator"
    AUDITOR = "auditor"


class Permission(StrEnum):
    """What can be done. ``people.names`` resolves pseudonyms; nobody ever sees a template."""

    DECISIONS_LIST = "decisions.list"
    DECISIONS_WHY = "decisions.why"
    PEOPLE_NAMES = "people.names"
    PEOPLE_STATES = "people.states"
    PEOPLE_EXPORT = "people.export"
    PEOPLE_PAUSE = "people.pause"
    PEOPLE_FORGET = "people.forget"
    PEOPLE_MARK = "people.mark"
    PEOPLE_DISABLE = "people.disable"
    PROFILES_CORRECT = "profiles.correct"
    SESSIONS_END = "sessions.end"
    POLICY_READ = "policy.read"
    POLICY_TRY = "policy.try"
    POLICY_PUBLISH = "policy.publish"
    AUDIT_READ = "audit.read"
    AUDIT_VERIFY = "audit.verify"


MEANING: Final[dict[Permission, str]] = {
    Permission.DECISIONS_LIST: "see decisions: time, pseudonym, client, action, rule",
    Permission.DECISIONS_WHY: "see why: reasons, what differed, the rules' trace; never milliseconds, never a template",
    Permission.PEOPLE_NAMES: "see names in place of pseudonyms",
    Permission.PEOPLE_STATES: "look up one person's consent and how far their profiles have come",
    Permission.PEOPLE_EXPORT: "take out everything kept about one person, timings included",
    Permission.PEOPLE_PAUSE: "pause and resume a person",
    Permission.PEOPLE_FORGET: "forget a person",
    Permission.PEOPLE_MARK: "mark an account as safe or compromised, for policies to act on",
    Permission.PEOPLE_DISABLE: "disable an account at its provider, where the provider's adapter can",
    Permission.PROFILES_CORRECT: "reset a field, take back what was learned since a moment, rebuild, vouch for samples",
    Permission.SESSIONS_END: "end sessions",
    Permission.POLICY_READ: "read the policies: in force, published before, what rules in shadow would have done",
    Permission.POLICY_TRY: "try a candidate policy: its mistakes, its tests, what it would have done to recorded logins",
    Permission.POLICY_PUBLISH: "publish, approve, withdraw and restore policies",
    Permission.AUDIT_READ: "read the audit chain",
    Permission.AUDIT_VERIFY: "verify the audit chain",
}

_P = Permission
MAY: Final[dict[Role, frozenset[Permission]]] = {
    Role.VIEWER: frozenset({_P.DECISIONS_LIST}),
    Role.HELP_DESK: frozenset({_P.DECISIONS_LIST, _P.DECISIONS_WHY, _P.PEOPLE_NAMES, _P.PEOPLE_STATES}),
    Role.ANALYST: frozenset({_P.DECISIONS_LIST, _P.DECISIONS_WHY, _P.POLICY_READ, _P.POLICY_TRY}),
    Role.POLICY_AUTHOR: frozenset({_P.DECISIONS_LIST, _P.POLICY_READ, _P.POLICY_TRY, _P.POLICY_PUBLISH}),
    Role.ADMINISTRATOR: frozenset(_P),
    Role.AUDITOR: frozenset({_P.DECISIONS_LIST, _P.POLICY_READ, _P.AUDIT_READ, _P.AUDIT_VERIFY}),
}


def allowed(roles: Iterable[str], permission: Permission) -> bool:
    """Tell whether any of these roles may do it; unknown roles may nothing."""
    known = {str(role) for role in Role}
    return any(permission in MAY[Role(role)] for role in roles if role in known)


def known_roles(names: Iterable[object]) -> list[str]:
    """Return those names that are roles."""
    return [str(name) for name in names if isinstance(name, str) and name in {str(role) for role in Role}]
