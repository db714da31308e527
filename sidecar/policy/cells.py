"""What can be proven about conditions: each signal's values fall into finitely many cells that no leaf tells apart.

A comparison of a plain form (``shapes``) is true on some cells of its signal, false on others, and unknown on the cell
"missing"; ``&&``, ``||`` and ``!`` inside a leaf are those of the tree around it. Anything else is a signal of its own with the
cells true, false and missing; that makes proofs of "cannot be" weaker, never wrong. A condition becomes a union of
conjunctions over cells, and questions about rules become questions whether such a union is empty.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from sidecar.policy.answers import AND, NOT, OR
from sidecar.policy.expressions import Leaf
from sidecar.policy.membership import Listed, OneOf
from sidecar.policy.model import Condition, Part, Rule, walk
from sidecar.policy.registry import SIGNALS, Signal
from sidecar.policy.shapes import Comparison, shape
from sidecar.policy.syntax import Node

MOST_CONJUNCTIONS = 4096

Asked = Literal["true", "false", "not true", "not false"]
Atom = Node | Listed | OneOf
Conjunction = Mapping[object, int]
Union = tuple[Conjunction, ...]
_FLIPPED: dict[Asked, Asked] = {
    "true": "false",
    "false": "true",
    "not true": "not false",
    "not false": "not true",
}


class TooComplex(Exception):
    """The condition has more cases than are looked at."""


@dataclass(frozen=True, slots=True)
class Masks:
    """Bit masks over the cells of one signal: where a leaf is true, where false, and all cells there are."""

    key: object
    true: int
    false: int
    every: int


class Space:
    """The cells of every signal that the leaves of some rules read."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        compared: dict[str, list[Comparison]] = {}
        for rule in rules:
            for leaf in leaves_of(rule):
                for atom in atoms(leaf):
                    found = comparison(atom)
                    if found is not None:
                        compared.setdefault(found.signal.name, []).append(found)
        self._values = {name: _representatives(SIGNALS[name], found) for name, found in compared.items()}
        self._every: dict[object, int] = {}

    def masks(self, atom: Atom) -> Masks:
        """Return where a look-up, or a part of a leaf without logic in it, is true and false."""
        found = self._masks(atom)
        self._every[found.key] = found.every
        return found

    def minus(self, rest: Union, taken: Union, most: int = MOST_CONJUNCTIONS) -> Union:
        """Return the cases of ``rest`` that are none of ``taken``. Only cases that overlap are cut, each into pieces that do not
        overlap, so that many rules about different things stay many small cases. Raises TooComplex above ``most`` pieces.
        """
        found = rest
        for conjunction in taken:
            pieces: list[Conjunction] = []
            for one in found:
                pieces += [one] if _are_apart(one, conjunction) else self._cut(one, conjunction)
            if len(pieces) > most:
                raise TooComplex
            found = tuple(pieces)
        return found

    def _cut(self, one: Conjunction, out: Conjunction) -> Iterable[Conjunction]:
        left = dict(one)
        for key, mask in out.items():
            own = left.get(key, self._every[key])
            if own & ~mask:
                yield {**left, key: own & ~mask}
            left[key] = own & mask

    def _masks(self, atom: Atom) -> Masks:
        if isinstance(atom, Node) and atom.kind == "constant":
            return Masks("always", int(atom.value is True), int(atom.value is False), 1)
        found = comparison(atom)
        if found is None:
            key = atom if isinstance(atom, Node) else f"({atom.text})"
            return Masks(key, 1, 2, 7)
        values = self._values[found.signal.name]
        true = sum(1 << index for index, value in enumerate(values) if found.true_of(value))
        known = (1 << len(values)) - 1
        return Masks(found.signal.name, true, known & ~true, (1 << (len(values) + 1)) - 1)

    def union(self, part: Part, asked: Asked) -> Union:
        """Return the cases in which a condition comes out as asked. Raises TooComplex."""
        if not isinstance(part, Condition):
            return self._inside(part.node if isinstance(part, Leaf) else part, asked)
        if part.joint == "not":
            return self.union(part.parts[0], _FLIPPED[asked])
        unions = [self.union(child, asked) for child in part.parts]
        return meet(unions) if (part.joint == "all") == (asked in ("true", "not false")) else join(unions)

    def _inside(self, atom: Atom, asked: Asked) -> Union:
        if isinstance(atom, Node) and atom.kind == "call" and atom.name in (AND, OR, NOT):
            if atom.name == NOT:
                return self._inside(atom.parts[0], _FLIPPED[asked])
            unions = [self._inside(part, asked) for part in atom.parts]
            return meet(unions) if (atom.name == AND) == (asked in ("true", "not false")) else join(unions)
        masks = self.masks(atom)
        wanted = {
            "true": masks.true,
            "false": masks.false,
            "not true": masks.every & ~masks.true,
            "not false": masks.every & ~masks.false,
        }[asked]
        return ({masks.key: wanted},) if wanted else ()

    def condition(self, rule: Rule, asked: Asked) -> Union:
        """Return the cases in which scope and condition of a rule come out as asked, whoever is excepted."""
        return self.union(Condition("all", (*([rule.scope] if rule.scope else []), rule.when)), asked)

    def matches(self, rule: Rule, now: float) -> Union:
        """Return the cases in which a rule is true: in scope, its condition true, and nobody excepted."""
        parts = [*([rule.scope] if rule.scope else []), rule.when]
        excused = [found.who for found in rule.exceptions if now < found.expires]
        return self._possible(
            [*(self.union(part, "true") for part in parts), *(self.union(who, "false") for who in excused)]
        )

    def decided_against(self, rule: Rule, now: float) -> Union:
        """Return the cases in which a rule is plainly false."""
        parts = [*([rule.scope] if rule.scope else []), rule.when]
        excused = [found.who for found in rule.exceptions if now < found.expires]
        return join([*(self.union(part, "false") for part in parts), *(self.union(who, "true") for who in excused)])

    def _possible(self, unions: Sequence[Union]) -> Union:
        """Meet, and leave out what the producers never bring forth: a cause together with evidence (risk.judge)."""
        values = self._values
        if "keystroke.outcome" not in values or "keystroke.cause" not in values:
            return meet(unions)
        outcomes, causes = values["keystroke.outcome"], values["keystroke.cause"]
        without = 1 << outcomes.index("unavailable")
        missing = 1 << len(causes)
        return meet(
            [
                *unions,
                (
                    {"keystroke.outcome": without, "keystroke.cause": missing - 1},
                    {"keystroke.outcome": ((1 << len(outcomes)) - 1) & ~without, "keystroke.cause": missing},
                ),
            ]
        )


def meet(unions: Sequence[Union]) -> Union:
    """Return the cases that lie in all of several unions. Raises TooComplex."""
    found: list[dict[object, int]] = [{}]
    for union in unions:
        merged: list[dict[object, int]] = []
        for one in found:
            for other in union:
                both = _both(one, other)
                if both is not None:
                    merged.append(both)
            if len(merged) > MOST_CONJUNCTIONS:
                raise TooComplex
        found = merged
    return tuple(found)


def join(unions: Sequence[Union]) -> Union:
    """Return the cases that lie in one of several unions. Raises TooComplex."""
    found = tuple(conjunction for union in unions for conjunction in union)
    if len(found) > MOST_CONJUNCTIONS:
        raise TooComplex
    return found


def _are_apart(one: Conjunction, other: Conjunction) -> bool:
    """Tell whether two cases have nothing in common."""
    return any(key in one and not one[key] & mask for key, mask in other.items())


def _both(one: Conjunction, other: Conjunction) -> dict[object, int] | None:
    merged = dict(one)
    for key, mask in other.items():
        merged[key] = merged.get(key, mask) & mask
        if not merged[key]:
            return None
    return merged


def leaves_of(rule: Rule) -> Iterable[Part]:
    """Yield every leaf and look-up of a rule."""
    for part in (rule.scope, rule.when, *(found.who for found in rule.exceptions)):
        if part is not None:
            yield from walk(part)


def atoms(part: Part) -> Iterable[Atom]:
    """Yield what a leaf joins by its own ``&&``, ``||`` and ``!``; a look-up is one by itself."""
    if isinstance(part, Leaf):
        yield from _atoms(part.node)
    elif not isinstance(part, Condition):
        yield part


def _atoms(node: Node) -> Iterable[Node]:
    if node.kind == "call" and node.name in (AND, OR, NOT):
        for part in node.parts:
            yield from _atoms(part)
    else:
        yield node


def comparison(atom: Atom) -> Comparison | None:
    """Return what is compared, where cells can tell: not for an order of texts, nor for values in a list."""
    if isinstance(atom, OneOf):
        signal = SIGNALS[atom.signal]
        return Comparison(signal, "in", atom.wanted) if signal.type == "string" else None
    found = shape(atom) if isinstance(atom, Node) else None
    if found is None or found.operator == "holds" or found.signal.type == "strings":
        return None
    if found.signal.type == "string" and found.operator not in ("==", "!=", "in"):
        return None
    return found


def _representatives(signal: Signal, found: Sequence[Comparison]) -> tuple[bool | int | float | str, ...]:
    """Return one value for each cell that the comparisons of a signal can tell apart, within its range."""
    if signal.type == "bool":
        return True, False
    literals = {literal for one in found for literal in one.literals}
    if signal.type == "string":
        if signal.values:
            return signal.values
        other = "x"
        while other in literals:
            other += "x"
        return (*sorted(str(literal) for literal in literals), other)
    numbers = sorted(float(literal) for literal in literals if not isinstance(literal, str))
    if not numbers:
        return (signal.low or 0.0,)
    low = signal.low if signal.low is not None else numbers[0] - 1
    high = signal.high if signal.high is not None else numbers[-1] + 1
    if signal.type == "int":
        near = {number + step for number in numbers for step in (-1, 0, 1)} | {low, high}
        return tuple(sorted(int(number) for number in near if low <= number <= high))
    edges = sorted({low, high, *numbers})
    between = [(one + other) / 2 for one, other in pairwise(edges)]
    return tuple(number for number in sorted({*edges, *between}) if low <= number <= high)
