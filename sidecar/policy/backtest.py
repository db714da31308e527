"""Replay recorded decisions against a candidate policy: who would have been asked more or less, how often, by which rule.

The core is a sum: ``tally`` over any part of the decisions, ``merged`` of two tallies, ``report`` of the whole; so the
parts can be counted by as many processes as there are. Signals are taken as recorded, but for the candidate's own bands
and prior, which are applied to the recorded scores: what people would have done had
they been asked differently, and what the profile would then have learnt, is not replayed.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sidecar.domain.decisions import Consequence, Facts, strictness
from sidecar.policy.bands import rebanded
from sidecar.policy.evaluate import decide
from sidecar.policy.language import Policy
from sidecar.policy.testing import verb

T = TypeVar("T")

ASKED = 2  # strictness of step_up: from here on a person notices
NORMAL_95 = 1.959963984540054
SHOWN = 20
ENOUGH_PEOPLE = 30  # of a client or group; with fewer an interval says nothing


@dataclass(frozen=True, slots=True)
class Recorded:
    """One decision as it was recorded. ``at``: epoch seconds. ``rule``: the rule that decided then."""

    id: str
    subject: str
    client: str
    groups: tuple[str, ...]
    at: float
    facts: Facts
    consequence: Consequence
    rule: str = ""


@dataclass(slots=True)
class Count:
    """Decisions of one kind: how many, how many were asked (step_up or deny) before, and how many would be after."""

    decisions: int = 0
    before: int = 0
    after: int = 0
    more: int = 0
    fewer: int = 0

    def add(self, other: "Count") -> None:
        """Add another count to this one."""
        self.decisions += other.decisions
        self.before += other.before
        self.after += other.after
        self.more += other.more
        self.fewer += other.fewer

    def see(self, before: bool, after: bool) -> None:
        """Count one decision."""
        self.decisions += 1
        self.before += before
        self.after += after
        self.more += after and not before
        self.fewer += before and not after


@dataclass(slots=True)
class Part:
    """Decisions of one client or group. ``people``: by person, how many decisions and the change in those asked."""

    count: Count = field(default_factory=Count)
    people: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, other: "Part") -> None:
        """Add another part to this one."""
        self.count.add(other.count)
        for subject, (decisions, change) in other.people.items():
            self._of(subject, decisions, change)

    def see(self, subject: str, before: bool, after: bool) -> None:
        """Count one decision."""
        self.count.see(before, after)
        self._of(subject, 1, after - before)

    def _of(self, subject: str, decisions: int, change: int) -> None:
        counted, changed = self.people.get(subject, (0, 0))
        self.people[subject] = counted + decisions, changed + change


@dataclass(slots=True)
class Tally:
    """What a part of the decisions came to. ``moves``: (action before, action after, rule before, rule after) to count.

    ``movers``: by person (rule before, rule after) of the logins that are asked now and were not, or the other way round.
    ``examples``: for every such move the first decisions' ids, so that somebody can look. All of it grows with the number of
    people, clients and groups, and not with the number of decisions.
    """

    total: Count = field(default_factory=Count)
    clients: dict[str, Part] = field(default_factory=dict)
    groups: dict[str, Part] = field(default_factory=dict)
    subjects: dict[str, Count] = field(default_factory=dict)
    movers: dict[str, Counter[tuple[str, str]]] = field(default_factory=dict)
    moves: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    examples: dict[tuple[str, str, str, str], list[str]] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)
    first: float = math.inf
    last: float = -math.inf


def tally(candidate: Policy, decisions: Iterable[Recorded]) -> Tally:
    """Decide each recorded login anew, at the moment it happened, and count."""
    found = Tally()
    for decision in decisions:
        facts = rebanded(decision.facts, candidate.mismatch_from, candidate.prior)
        verdict = decide(candidate, facts, decision.at)
        before = strictness(decision.consequence) >= ASKED
        after = strictness(verdict.consequence) >= ASKED
        found.total.see(before, after)
        _of(found.clients, decision.client, Part).see(decision.subject, before, after)
        _of(found.subjects, decision.subject, Count).see(before, after)
        for group in decision.groups:
            _of(found.groups, group, Part).see(decision.subject, before, after)
        if before is not after:
            _of(found.movers, decision.subject, Counter[tuple[str, str]])[decision.rule, verdict.rule_id] += 1
        if verdict.consequence != decision.consequence:
            move = (verb(decision.consequence), verb(verdict.consequence), decision.rule, verdict.rule_id)
            found.moves[move] += 1
            kept = found.examples.setdefault(move, [])
            if len(kept) < 3:
                kept.append(decision.id)
        found.errors.update(verdict.errors)
        found.first = min(found.first, decision.at)
        found.last = max(found.last, decision.at)
    return found


def merged(one: Tally, other: Tally) -> Tally:
    """Return the sum of two tallies; the first is changed and returned."""
    one.total.add(other.total)
    for key, count in other.subjects.items():
        _of(one.subjects, key, Count).add(count)
    for mine, theirs in ((one.clients, other.clients), (one.groups, other.groups)):
        for key, part in theirs.items():
            _of(mine, key, Part).add(part)
    for key, rules in other.movers.items():
        _of(one.movers, key, Counter[tuple[str, str]]).update(rules)
    one.moves.update(other.moves)
    for move, ids in other.examples.items():
        one.examples[move] = (one.examples.get(move, []) + ids)[:3]
    one.errors.update(other.errors)
    one.first, one.last = min(one.first, other.first), max(one.last, other.last)
    return one


def report(found: Tally, policy: Policy) -> dict[str, Any]:
    """Return the figures of a whole replay as plain values, for JSON and for the page."""
    people = found.subjects.values()
    return {
        "policy": policy.id,
        "policy_digest": policy.digest,
        "from": found.first if found.total.decisions else None,
        "to": found.last if found.total.decisions else None,
        "decisions": found.total.decisions,
        "subjects": len(found.subjects),
        "before": _share(found.total.before, found.total.decisions),
        "after": _share(found.total.after, found.total.decisions),
        "difference": difference([(count.decisions, count.after - count.before) for count in people]),
        "more": found.total.more,
        "fewer": found.total.fewer,
        "subjects_asked_more": sum(1 for count in people if count.after > count.before),
        "subjects_asked_less": sum(1 for count in people if count.after < count.before),
        "subjects_asked_for_the_first_time": sum(1 for count in people if count.after and not count.before),
        "clients": _parts(found.clients),
        "groups": _parts(found.groups),
        "most_affected": [row | {"rules": _rules(found.movers[row["name"]])} for row in _table(found.subjects)[:SHOWN]],
        "moves": [
            {
                "from": before,
                "to": after,
                "rule_before": rule_before,
                "rule_after": rule_after,
                "decisions": count,
                "examples": found.examples[(before, after, rule_before, rule_after)],
            }
            for (before, after, rule_before, rule_after), count in sorted(
                found.moves.items(), key=lambda entry: (-entry[1], entry[0])
            )
        ],
        "errors": dict(sorted(found.errors.items())),
    }


def difference(people: list[tuple[int, int]]) -> dict[str, float | None]:
    """Return the change of the share of logins that are asked, with its 95% interval over people.

    ``people``: per person the number of decisions and the change in those asked. Logins of one person go together, so the
    variance is that of a ratio over clusters (W. G. Cochran, Sampling Techniques, 1977, section 9A.4). The interval is
    None below two people.
    """
    decisions = sum(count for count, _ in people)
    if not decisions:
        return {"share": None, "low": None, "high": None}
    share = sum(change for _, change in people) / decisions
    if len(people) < 2:
        return {"share": share, "low": None, "high": None}
    squares = sum((change - share * count) ** 2 for count, change in people)
    half = NORMAL_95 * math.sqrt(len(people) / (len(people) - 1) * squares) / decisions
    return {"share": share, "low": max(-1.0, share - half), "high": min(1.0, share + half)}


def percent(share: float | None) -> str:
    """Return a share as a percentage, or a dash where there is none."""
    return "-" if share is None else f"{share:.2%}"


def points(share: float | None) -> str:
    """Return a difference of shares in percentage points, with its sign."""
    return "-" if share is None else f"{100 * share:+.2f} points"


def _of(counts: dict[str, T], key: str, empty: Callable[[], T]) -> T:
    found = counts.get(key)
    if found is None:
        found = counts[key] = empty()
    return found


def _share(asked: int, decisions: int) -> dict[str, float | int | None]:
    return {"asked": asked, "share": asked / decisions if decisions else None}


def _parts(parts: Mapping[str, Part]) -> list[dict[str, Any]]:
    """Return the rows of clients or groups, with the interval of their change where there are people enough."""
    rows = _table({name: part.count for name, part in parts.items()})
    for row in rows:
        people = list(parts[row["name"]].people.values())
        row["people"] = len(people)
        row["difference"] = difference(people if len(people) >= ENOUGH_PEOPLE else [])
    return rows


def _rules(moved: Counter[tuple[str, str]]) -> list[dict[str, Any]]:
    """Return which rules moved a person, most often first."""
    often = sorted(moved.items(), key=lambda entry: (-entry[1], entry[0]))
    return [{"rule_before": before, "rule_after": after, "decisions": count} for (before, after), count in often]


def _table(counts: Mapping[str, Count]) -> list[dict[str, Any]]:
    """Return the rows of those whose answers changed, most changed first."""
    changed = [(name, count) for name, count in counts.items() if count.more or count.fewer]
    changed.sort(key=lambda entry: (-(entry[1].more + entry[1].fewer), entry[0]))
    return [
        {
            "name": name,
            "decisions": count.decisions,
            "before": count.before,
            "after": count.after,
            "more": count.more,
            "fewer": count.fewer,
        }
        for name, count in changed
    ]
