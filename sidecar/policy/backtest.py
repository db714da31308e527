"""Replay recorded decisions against a candidate policy: who would have been asked more or less, how often, by which rule.

The core is a sum: ``tally`` over any part of the decisions, ``merged`` of two tallies, ``report`` of the whole; so the
parts can be counted by as many processes as there are. Signals are taken as recorded, but for the candidate's own bands
and prior, which are applied to the recorded scores: what people would have done had
they been asked differently, and what the profile would then have learnt, is not replayed.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sidecar.domain.decisions import Consequence, Facts, strictness
from sidecar.policy.bands import rebanded
from sidecar.policy.evaluate import decide
from sidecar.policy.model import Policy
from sidecar.policy.testing import verb

ASKED = 2  # strictness of step_up: from here on a person notices
NORMAL_95 = 1.959963984540054
SHOWN = 20


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
class Tally:
    """What a part of the decisions came to. ``moves``: (action before, action after, rule before, rule after) to count.

    ``examples``: for every such move the first decisions' ids, so that somebody can look.
    """

    total: Count = field(default_factory=Count)
    clients: dict[str, Count] = field(default_factory=dict)
    groups: dict[str, Count] = field(default_factory=dict)
    subjects: dict[str, Count] = field(default_factory=dict)
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
        _of(found.clients, decision.client).see(before, after)
        _of(found.subjects, decision.subject).see(before, after)
        for group in decision.groups:
            _of(found.groups, group).see(before, after)
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
    for name in ("clients", "groups", "subjects"):
        counts: dict[str, Count] = getattr(one, name)
        for key, count in getattr(other, name).items():
            _of(counts, key).add(count)
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
        "clients": _table(found.clients),
        "groups": _table(found.groups),
        "most_affected": _table(found.subjects)[:SHOWN],
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


def _of(counts: dict[str, Count], key: str) -> Count:
    found = counts.get(key)
    if found is None:
        found = counts[key] = Count()
    return found


def _share(asked: int, decisions: int) -> dict[str, float | int | None]:
    return {"asked": asked, "share": asked / decisions if decisions else None}


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
