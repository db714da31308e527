"""Compare two versions of a policy by meaning, not by text: which logins a rule matches, what it asks, in which order.

Where two conditions cannot be proven equal or different (``cells``), their texts are compared and the change says so.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from sidecar.domain.decisions import Consequence, strictness
from sidecar.policy.cells import Space, TooComplex, Union, meet
from sidecar.policy.model import ON_ERROR_OF_THE_FILE, Condition, Part, Policy, Rule, readable_moment

MOST_PAIRS = 2000  # of rules that changed places; nobody reads more
MOST_COUNTED = 100_000

Direction = Literal["stricter", "milder", "other"]


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. ``direction``: whether logins are asked for more or for less, as far as that can be told."""

    subject: str
    message: str
    direction: Direction


def differences(old: Policy, new: Policy, now: float) -> tuple[Change, ...]:
    """Return what differs in meaning between two versions; comments, order of leaves and layout do not."""
    return (
        *_figures(old, new),
        *_lists(old, new),
        *_rules(old, new, now),
        *_outcomes(old, new),
    )


def _figures(old: Policy, new: Policy) -> Iterable[Change]:
    if old.id != new.id:
        yield Change("id", f"{new.id}, was {old.id}; stands in every decision", "other")
    if old.behavior_may_deny != new.behavior_may_deny:
        told = "may" if new.behavior_may_deny else "may no longer"
        yield Change("behavior_may_deny", f"behaviour alone {told} deny", "other")
    if old.mismatch_from != new.mismatch_from:
        direction: Direction = "milder" if new.mismatch_from > old.mismatch_from else "stricter"
        message = f"typing counts as a mismatch from {new.mismatch_from:g}, was {old.mismatch_from:g}"
        yield Change("bands.keystroke.mismatch_from", message, direction)
    if old.prior != new.prior:
        yield Change("prior", f"{new.prior:g}, was {old.prior:g}; moves risk.probability", "other")
    if old.audit_full != new.audit_full:
        yield Change("audit.full", f"{new.audit_full}, was {old.audit_full}", "other")


def _lists(old: Policy, new: Policy) -> Iterable[Change]:
    for name in dict.fromkeys([*old.lists, *new.lists]):
        subject = f"list {name}"
        before, after = old.lists.get(name), new.lists.get(name)
        if before is None or after is None:
            yield Change(subject, "added" if before is None else "removed", "other")
            continue
        if before.kind != after.kind:
            yield Change(subject, f"holds {after.kind}, held {before.kind}", "other")
        gone, come = set(before.entries) - set(after.entries), set(after.entries) - set(before.entries)
        for entries, word in ((come, "added"), (gone, "removed")):
            if entries:
                yield Change(subject, f"{word} {', '.join(sorted(entries))}", "other")
        if before.expires != after.expires:
            yield Change(subject, f"expires {_moment(after.expires)}, was {_moment(before.expires)}", "other")


def _outcomes(old: Policy, new: Policy) -> Iterable[Change]:
    for key, before in old.outcomes.items():
        after = new.outcomes[key]
        if before != after:
            yield Change(f"outcome.{key}", f"{words(after)}, was {words(before)}", _direction(before, after))


def _rules(old: Policy, new: Policy, now: float) -> Iterable[Change]:
    before = {rule.id: rule for rule in old.rules}
    after = {rule.id: rule for rule in new.rules}
    space = Space([*old.rules, *new.rules])
    for rule_id in dict.fromkeys([*before, *after]):
        subject = f"rule {rule_id}"
        if rule_id not in after:
            said = words(before[rule_id].then)
            yield Change(subject, f"removed; it said {said}", _opposite(_effect(before[rule_id], old)))
        elif rule_id not in before:
            shadow = " in shadow" if after[rule_id].mode == "shadow" else ""
            yield Change(subject, f"added{shadow}: {words(after[rule_id].then)}", _effect(after[rule_id], new))
        else:
            yield from _rule(subject, (before[rule_id], old), (after[rule_id], new), space)
    yield from _order(old, new, space, now)


def _effect(rule: Rule, policy: Policy) -> Direction:
    """Say what a rule that was not there does to those that it matches: held against all that could be said without it."""
    if rule.mode == "shadow":
        return "other"
    below = [other.then for other in policy.rules[policy.rules.index(rule) + 1 :] if other.mode == "enforce"]
    said = [strictness(then) for then in (*below, *policy.outcomes.values())]
    mine = strictness(rule.then)
    if mine >= max(said):
        return "stricter"
    floors = [found for found in (rule.on_error, rule.on_missing) if found not in (None, ON_ERROR_OF_THE_FILE)]
    return "milder" if mine <= min(said) and not floors else "other"


def _opposite(direction: Direction) -> Direction:
    turned: dict[Direction, Direction] = {"stricter": "milder", "milder": "stricter", "other": "other"}
    return turned[direction]


def _rule(subject: str, before: tuple[Rule, Policy], after: tuple[Rule, Policy], space: Space) -> Iterable[Change]:
    old, new = before[0], after[0]
    if old.mode != new.mode:
        direction = _effect(*after) if new.mode == "enforce" else _opposite(_effect(*before))
        yield Change(subject, f"mode {new.mode}, was {old.mode}", direction)
    if old.then != new.then:
        yield Change(subject, f"then {words(new.then)}, was {words(old.then)}", _direction(old.then, new.then))
    for name, was, now_is in (
        ("on_error", old.on_error, new.on_error),
        ("on_missing", old.on_missing, new.on_missing),
    ):
        if was != now_is:
            ranks = _floor(was, before[1]), _floor(now_is, after[1])
            told: Direction = "other" if ranks[0] == ranks[1] else "stricter" if ranks[1] > ranks[0] else "milder"
            yield Change(subject, f"{name} {_least(now_is)}, was {_least(was)}", told)
    matches = _matches(old, new, space)
    if matches:
        yield Change(subject, f"{matches}: {text(new)}, was {text(old)}", _when_direction(matches, new))
    yield from _exceptions(subject, old, new)


def _floor(found: Consequence | None, policy: Policy) -> int:
    """Rank a floor: asking for nothing below all verbs."""
    if found is None:
        return -1
    return strictness(policy.outcomes["error"] if found is ON_ERROR_OF_THE_FILE else found)


def _when_direction(matches: str, new: Rule) -> Direction:
    if matches not in ("matches more logins", "matches fewer logins"):
        return "other"
    asks = strictness(new.then) >= 2
    return "stricter" if asks == (matches == "matches more logins") else "milder"


def _matches(old: Rule, new: Rule, space: Space) -> str:
    """Say how the logins that a rule matches changed, its exceptions aside; empty where they did not."""
    try:
        parts = [_condition(old), _condition(new)]
        gained = meet([space.union(parts[1], "true"), space.union(parts[0], "not true")])
        lost = meet([space.union(parts[0], "true"), space.union(parts[1], "not true")])
        if gained or lost:
            return _gain(gained, lost)
        # Equal where true; where one is false and the other unknown, on_missing and on_error may tell them apart.
        apart = [meet([space.union(parts[one], "false"), space.union(parts[1 - one], "not false")]) for one in (0, 1)]
        return "is unknown for other logins" if any(apart) else ""
    except TooComplex:
        return "" if text(old) == text(new) else "reads otherwise (too complex to be compared)"


def _gain(gained: Union, lost: Union) -> str:
    if gained and lost:
        return "matches other logins"
    return "matches more logins" if gained else "matches fewer logins"


def _condition(rule: Rule) -> Condition:
    return Condition("all", (*([rule.scope] if rule.scope else []), rule.when))


def _exceptions(subject: str, old: Rule, new: Rule) -> Iterable[Change]:
    before = {found.id: found for found in old.exceptions}
    after = {found.id: found for found in new.exceptions}
    for name in dict.fromkeys([*before, *after]):
        if name not in after or name not in before:
            asks: Direction = "stricter" if strictness(new.then) >= 2 else "other"
            direction = _opposite(asks) if name in after else asks
            yield Change(subject, f"exception {name} {'added' if name in after else 'removed'}", direction)
            continue
        if before[name].expires != after[name].expires:
            moments = _moment(after[name].expires), _moment(before[name].expires)
            yield Change(subject, f"exception {name} expires {moments[0]}, was {moments[1]}", "other")
        if _text(before[name].who) != _text(after[name].who):
            yield Change(
                subject, f"exception {name} is for {_text(after[name].who)}, was {_text(before[name].who)}", "other"
            )


def _order(old: Policy, new: Policy, space: Space, now: float) -> Iterable[Change]:
    """Name pairs of rules that changed places, where a login can meet both and they ask for different things."""
    place = {rule.id: index for index, rule in enumerate(old.rules)}
    kept = [rule for rule in new.rules if rule.id in place]
    places = [place[rule.id] for rule in kept]
    swapped = _swapped(places)
    unions: dict[str, Union | None] = {}
    for first, second in ((kept[one], kept[other]) for one, other in islice(swapped, MOST_PAIRS)):
        if first.then != second.then and _overlap(first, second, space, now, unions):
            message = f"now stands before {second.id}; a login that meets both gets {words(first.then)}"
            yield Change(f"rule {first.id}", message, _direction(second.then, first.then))
    more = sum(1 for _ in islice(swapped, MOST_COUNTED))
    if more:
        count = f"{more:,}" if more < MOST_COUNTED else f"more than {more:,}"
        yield Change("order of rules", f"{count} further pairs changed places; they were not compared", "other")


def _swapped(places: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the pairs that stand the other way round now. Two that were not moved never are: most are not looked at."""
    moved = _moved(places)
    for one in range(len(places)):
        others = range(one + 1, len(places)) if one in moved else [other for other in moved if other > one]
        yield from ((one, other) for other in sorted(others) if places[one] > places[other])


def _moved(places: Sequence[int]) -> set[int]:
    """Return as few as possible without which the order is the old one: all but a longest rising subsequence."""
    tails: list[int] = []  # places that end the best run of each length, and below where in the list they stand
    ends: list[int] = []
    before: list[int | None] = []
    for index, place in enumerate(places):
        length = bisect_left(tails, place)
        before.append(ends[length - 1] if length else None)
        tails[length : length + 1] = [place]
        ends[length : length + 1] = [index]
    stayed: set[int] = set()
    at = ends[-1] if ends else None
    while at is not None:
        stayed.add(at)
        at = before[at]
    return set(range(len(places))) - stayed


def _overlap(first: Rule, second: Rule, space: Space, now: float, unions: dict[str, Union | None]) -> bool:
    found = []
    for rule in (first, second):
        if rule.id not in unions:
            try:
                unions[rule.id] = space.matches(rule, now)
            except TooComplex:
                unions[rule.id] = None
        found.append(unions[rule.id])
    try:
        return None in found or bool(meet([union for union in found if union is not None]))
    except TooComplex:
        return True


def _direction(old: Consequence, new: Consequence) -> Direction:
    before, after = strictness(old), strictness(new)
    if before == after:
        return "other"
    return "stricter" if after > before else "milder"


def words(consequence: Consequence) -> str:
    """Return a consequence as one reads it: verb, acr or factor, effects."""
    verb = "trust" if consequence.trust else str(consequence.action)
    more = [part for part in (consequence.acr_values, consequence.factor) if part and part != "second_factor"]
    more.extend(str(effect) for effect in consequence.effects)
    return f"{verb} ({', '.join(more)})" if more else verb


def _least(found: Consequence | None) -> str:
    if found is None:
        return "skip"
    return "outcomes.error" if found is ON_ERROR_OF_THE_FILE else words(found)


def text(rule: Rule) -> str:
    """Return a rule's condition on one line, its scope first."""
    return _text(_condition(rule) if rule.scope else rule.when)


def _text(part: Part) -> str:
    if not isinstance(part, Condition):
        return part.text
    if len(part.parts) == 1 and part.joint != "not":
        return _text(part.parts[0])
    return f"{part.joint}({', '.join(_text(child) for child in part.parts)})"


def _moment(at: float | None) -> str:
    return "never" if at is None else readable_moment(at)
