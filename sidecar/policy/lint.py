"""Look a policy over: rules that can never be true or never be reached, leaves that say nothing, what expires.

Pure; ``now`` is passed. What could not be analysed is named, so that silence means something.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from sidecar.policy.cells import Space, TooComplex, Union, atoms, comparison
from sidecar.policy.expressions import Leaf, Place
from sidecar.policy.model import Policy, Rule, readable_moment, walk
from sidecar.policy.testing import Coverage

DAY = 86_400.0
YEAR = 365.25 * DAY
SOON_DAYS = 14
FAR_YEARS = 5
IMPLAUSIBLE_YEARS = 20
LONG_IN_SHADOW_DAYS = 30
MOST_PIECES = 256  # cases left of a rule beyond which it is not known whether the rules above leave anything

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to look at. ``hint`` says what to do about it."""

    severity: Severity
    at: Place
    message: str
    hint: str

    def line(self, file: str) -> str:
        """Return the finding as one line that editors can jump to."""
        return f"{file}:{self.at.line}:{self.at.column}: {self.severity}: {self.message}; hint: {self.hint}"


def lint(policy: Policy, now: float, covered: Sequence[Coverage] | None) -> tuple[Finding, ...]:
    """Return every finding in the order of the file. ``covered``: what tests tried; None where there are no tests."""
    odd = [Finding("warning", doubt.at, doubt.message, doubt.hint) for doubt in policy.doubts]
    found = [*odd, *_rules(policy, now), *_leaves(policy), *_expiring(policy, now), *_untested(policy, covered)]
    return tuple(sorted(found, key=lambda finding: (finding.at.line, finding.at.column)))


def _rules(policy: Policy, now: float) -> Iterable[Finding]:
    space = Space(policy.rules)
    above: list[tuple[Rule, Union]] = []
    for rule in policy.rules:
        try:
            mine = space.matches(rule, now)
        except TooComplex:
            yield Finding("note", rule.at, f"{rule.id} is too complex to be analysed", "make two rules of it")
            continue
        if not mine:
            yield Finding(
                "error",
                rule.at,
                f"{rule.id} contradicts itself: it can never be true",
                "look at its comparisons together",
            )
        elif covering := _covering(space, mine, above):
            yield Finding(
                "error",
                rule.at,
                f"{rule.id} is never reached: {' and '.join(covering)} decide whenever it would",
                "move it up, or delete it",
            )
        if rule.mode == "enforce":
            above.append((rule, mine))


def _covering(space: Space, mine: Union, above: Sequence[tuple[Rule, Union]]) -> list[str]:
    """Return the rules that leave nothing of a rule, or an empty list where something is left or it is not known."""
    for rule, theirs in above:
        if _left(space, mine, theirs) == ():
            return [rule.id]
    rest = mine
    names: list[str] = []
    for rule, theirs in above:
        after = _left(space, rest, theirs)
        if after is None:
            return []
        if after != rest:
            names.append(rule.id)
        if not after:
            return names
        rest = after
    return []


def _left(space: Space, rest: Union, theirs: Union) -> Union | None:
    """Return what a rule leaves of some cases; None where those are too many to look at."""
    try:
        return space.minus(rest, theirs, MOST_PIECES)
    except TooComplex:
        return None


def _leaves(policy: Policy) -> Iterable[Finding]:
    space = Space(policy.rules)
    for rule in policy.rules:
        for part in walk(rule.when):
            if not isinstance(part, Leaf) or part.node.kind == "constant":
                continue
            if any(comparison(atom) is None for atom in atoms(part)):
                yield Finding("note", part.at, f"not analysed: {part.text}", "signal op literal, and in [..], are")
            try:
                never, always = not space.union(part, "true"), not space.union(part, "false")
            except TooComplex:
                continue
            if never:
                hint = "compare with a value that the signal can have"
                yield Finding("error", part.at, f"never true: {part.text}", hint)
            elif always:
                hint = "leave it out if it need not be known"
                yield Finding("warning", part.at, f"true whatever the value: {part.text}", hint)


def _expiring(policy: Policy, now: float) -> Iterable[Finding]:
    for found in policy.lists.values():
        yield from _expiry(f"list {found.name}", found.expires, found.at, now, found.owner)
    for rule in policy.rules:
        for exception in rule.exceptions:
            yield from _expiry(f"exception {exception.id}", exception.expires, exception.at, now, exception.owner)
        if rule.since is not None:
            yield _shadowed(rule, rule.since, now)
    used = {name for rule in policy.rules for name in _list_names(rule)}
    for name, found in policy.lists.items():
        if name not in used:
            yield Finding("warning", found.at, f"no rule uses the list {name}", "delete it")


def _shadowed(rule: Rule, since: float, now: float) -> Finding:
    days = math.floor((now - since) / DAY)
    if days < 0:
        hint = "write the day on which it began"
        return Finding("error", rule.at, f"{rule.id} is in shadow since a day to come, {readable_moment(since)}", hint)
    told = f"{rule.id} has been in shadow for {days} days, since {readable_moment(since)}"
    hint = "look at what it would have done, then enforce or delete it"
    return Finding("note" if days <= LONG_IN_SHADOW_DAYS else "warning", rule.at, told, hint)


def _expiry(what: str, expires: float | None, at: Place, now: float, owner: str) -> Iterable[Finding]:
    if expires is None:
        return
    if now >= expires:
        yield Finding(
            "warning", at, f"{what} expired on {readable_moment(expires)}", f"ask {owner}; renew or delete it"
        )
    elif expires - now > IMPLAUSIBLE_YEARS * YEAR:
        yield Finding(
            "error", at, f"{what} expires on {readable_moment(expires)}", "write a day that somebody will look at"
        )
    elif expires - now > FAR_YEARS * YEAR:
        told = f"{what} expires on {readable_moment(expires)}, in more than {FAR_YEARS} years"
        yield Finding("warning", at, told, f"let {owner} look at it sooner")
    elif expires - now < SOON_DAYS * DAY:
        yield Finding("note", at, f"{what} expires on {readable_moment(expires)}", f"ask {owner} whether it is needed")


def _list_names(rule: Rule) -> Iterable[str]:
    for part in (rule.scope, rule.when, *(found.who for found in rule.exceptions)):
        if part is not None:
            yield from (found.list.name for found in walk(part) if hasattr(found, "list"))


def _untested(policy: Policy, covered: Sequence[Coverage] | None) -> Iterable[Finding]:
    if covered is None:
        yield Finding(
            "warning", Place(1, 1), "there are no tests beside this policy", "gaitkeeper policy init writes some"
        )
        return
    tried = {entry.name: entry.decided for entry in covered}
    for rule in policy.rules:
        if not tried.get(rule.id):
            hint = f"add a case with expect: {{rule: {rule.id}}}"
            if rule.mode == "shadow":
                hint = f"add a case with expect: {{shadow: {{{rule.id}: ...}}}} in which it is true"
            yield Finding("warning", rule.at, f"no test case is decided by {rule.id}", hint)
