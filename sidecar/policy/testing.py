"""Tests of a policy: cases of facts with the answer they must get, and which rules no case has tried.

A test file stands beside its policy (``mine.yaml`` has ``mine.test.yaml``, and ``mine.*.test.yaml``) and is read as
strictly as the policy. Pure: bytes in, results out.
"""

import difflib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from xml.etree import ElementTree as Xml

from ruamel.yaml.comments import CommentedMap

from sidecar.domain.decisions import Consequence, Facts, SignalValue, Verdict
from sidecar.policy.evaluate import decide
from sidecar.policy.expressions import Place, known
from sidecar.policy.model import SCHEMA, VERBS, Policy
from sidecar.policy.reading import YamlReader, strict_yaml
from sidecar.policy.registry import SIGNALS
from sidecar.policy.senseless import is_address, strange


@dataclass(frozen=True, slots=True)
class Case:
    """One login and what must come of it. ``now``: epoch seconds. None in an expectation means "not asked"."""

    name: str
    now: float
    facts: Facts
    action: str | None
    rule: str | None
    acr_values: str | None
    factor: str | None
    shadow: Mapping[str, str]
    at: Place


@dataclass(frozen=True, slots=True)
class Suite:
    """The cases of one file."""

    file: str
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """One case as it came out; ``failures`` is empty where it passed. ``policy``: its id."""

    policy: str
    suite: str
    case: Case
    verdict: Verdict
    failures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Coverage:
    """How often the cases that passed tried one rule or outcome.

    ``decided``: it gave the answer; for a rule in shadow, it would have. ``looked_at``: it was evaluated at all.
    """

    name: str
    decided: int
    looked_at: int


def parse_cases(raw: bytes, name: str) -> Suite:
    """Read a test file. Raises PolicyInvalid: each mistake with file, line, column, hint."""
    tree, reader = strict_yaml(raw, name), YamlReader(name)
    return reader.settled(lambda: _suite(reader, tree, name))


def _suite(reader: YamlReader, tree: Any, name: str) -> Suite:
    top = reader.map(tree, None, "test file", required=("schema", "now", "facts", "cases"))
    if type(top["schema"]) is not int or top["schema"] != SCHEMA:
        raise reader.error(top, "schema", f"this version reads schema: {SCHEMA}", f"write schema: {SCHEMA}")
    now = reader.tried(lambda: reader.moment(top, "now"), 0.0)
    nothing: dict[str, SignalValue] = {}
    base = reader.tried(lambda: _facts(reader, top), nothing)
    count = len(reader.list(top, "cases"))
    read = [reader.tried(partial(_case, reader, top["cases"], index, now, base), None) for index in range(count)]
    names = Counter(case.name for case in read if case)
    for index, case in enumerate(read):
        if case and names[case.name] > 1:
            raise reader.error(top["cases"][index], "name", f"{case.name!r} stands twice", "say how the cases differ")
    return Suite(name, tuple(case for case in read if case))


def _case(reader: YamlReader, parent: Any, index: int, now: float, base: Facts) -> Case:
    at = (parent, index)
    body = reader.map(parent[index], at, "case", required=("name", "expect"), optional=("now", "facts"))
    optional = ("action", "rule", "acr_values", "factor", "shadow")
    expect = reader.map(body["expect"], (body, "expect"), "expect", required=(), optional=optional)
    if not expect:
        raise reader.error(body, "expect", "expect is empty", f"name one of {', '.join(optional)}")
    texts = {key: reader.text(expect, key) for key in ("rule", "acr_values", "factor") if key in expect}
    action = reader.tried(lambda: reader.one_of(expect, "action", VERBS), "") if "action" in expect else None
    if action and action != "step_up" and (texts.keys() & {"acr_values", "factor"}):
        key = "factor" if "factor" in texts else "acr_values"
        raise reader.error(expect, key, f"{action} never comes with it", "leave it out, or expect action: step_up")
    shadow: dict[str, str] = {}
    if "shadow" in expect:
        node = expect["shadow"]
        if not isinstance(node, CommentedMap) or not node:
            raise reader.error(expect, "shadow", "shadow must be a mapping", "from a rule's id to an action")
        shadow = {str(rule): reader.one_of(node, rule, VERBS) for rule in node}
    own: dict[str, SignalValue] = reader.tried(lambda: _facts(reader, body), {}) if "facts" in body else {}
    facts = {**base, **own}
    outcome, cause = facts.get("keystroke.outcome"), facts.get("keystroke.cause")
    if cause is not None and outcome not in (None, "unavailable"):
        told = body.get("facts", body)
        key = next((name for name in ("keystroke.cause", "keystroke.outcome") if name in own), "name")
        hint = "write keystroke.outcome: unavailable, or keystroke.cause: null"
        raise reader.error(told, key, f"{outcome} never comes with the cause {cause}", hint)
    return Case(
        name=reader.text(body, "name"),
        now=reader.moment(body, "now") if "now" in body else now,
        facts=facts,
        action=action,
        rule=texts.get("rule"),
        acr_values=texts.get("acr_values"),
        factor=texts.get("factor"),
        shadow=shadow,
        at=reader.place(*at),
    )


def _facts(reader: YamlReader, parent: CommentedMap) -> dict[str, SignalValue]:
    node = reader.map(parent["facts"], (parent, "facts"), "facts", required=(), optional=tuple(SIGNALS))
    found: dict[str, SignalValue] = {}
    for name in node:
        if name not in SIGNALS:
            continue
        signal, value = SIGNALS[name], node[name]
        found[name] = tuple(value) if isinstance(value, list) else value
        if value is None:
            continue
        if known({name: value}, 0.0, (name,)).broken:
            raise reader.error(
                node, name, f"{name} cannot be {value!r}", f"it is of type {signal.type}; null is unknown"
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise reader.error(node, name, f"{name} is no finite number", "null is unknown")
        if signal.values and value not in signal.values:
            raise reader.error(node, name, f"{name} is never {value!r}", f"write {', '.join(signal.values)}, or null")
        if why := strange(signal, value):
            raise reader.error(node, name, why[0], why[1].replace("compare with", "write"))
        if name == "network.address" and not is_address(value):
            raise reader.error(node, name, f"{value!r} is no address", "write one as in 192.0.2.7 or 2001:db8::7")
    return found


def run(policy: Policy, suites: Iterable[Suite]) -> tuple[Result, ...]:
    """Decide every case and compare."""
    results = []
    for suite in suites:
        for case in suite.cases:
            verdict = decide(policy, case.facts, case.now)
            results.append(Result(policy.id, suite.file, case, verdict, tuple(_failures(policy, case, verdict))))
    return tuple(results)


def verb(consequence: Consequence) -> str:
    """Return the word of the policy language for a consequence."""
    return "trust" if consequence.trust else str(consequence.action)


def contradictions(policy: Policy, suites: Iterable[Suite]) -> Iterable[tuple[Suite, Case, str]]:
    """Yield the cases whose outcome this policy's bands never give with the LLR that stands beside it."""
    for suite in suites:
        for case in suite.cases:
            outcome = case.facts.get("keystroke.outcome")
            told = [case.facts.get(name) for name in ("keystroke.llr", "keystroke.deciding_llr")]
            llrs = [llr for llr in told if isinstance(llr, int | float)]
            above = any(llr >= policy.mismatch_from for llr in llrs)
            if llrs and outcome in ("match", "mismatch") and above != (outcome == "mismatch"):
                where = f"{max(llrs):g} where typing counts as a mismatch from {policy.mismatch_from:g}"
                yield suite, case, f"keystroke.outcome is {outcome}, and keystroke.llr {where}"


def _meant(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=1)
    return f", did you mean {near[0]}?" if near else ""


def _answers(policy: Policy) -> Iterable[str]:
    """Yield every name that an answer can go by."""
    yield from (f"outcome.{key}" for key in policy.outcomes)
    yield "floor.client"
    for rule in policy.rules:
        yield from (rule.id, f"{rule.id}.on_error", f"{rule.id}.on_missing", f"{rule.id}.exceptions")


def _failures(policy: Policy, case: Case, verdict: Verdict) -> Iterable[str]:
    wanted = {
        "action": (case.action, verb(verdict.consequence)),
        "rule": (case.rule, verdict.rule_id),
        "acr_values": (case.acr_values, verdict.consequence.acr_values),
        "factor": (case.factor, verdict.consequence.factor),
    }
    for name, (expected, got) in wanted.items():
        if expected is not None and expected != got:
            amiss = name == "rule" and expected not in (names := set(_answers(policy)))
            more = f"; there is no {expected}{_meant(expected, names)}" if amiss else ""
            yield f"{name}: expected {expected}, got {got}{more}"
    told = {entry.rule_id: verb(entry.consequence) for entry in verdict.shadow}
    for rule, expected in case.shadow.items():
        if told.get(rule) != expected:
            got = told.get(rule) or f"no such rule in shadow{_meant(rule, told)}"
            yield f"shadow of {rule}: expected {expected}, got {got}"


def coverage(policy: Policy, results: Sequence[Result]) -> tuple[Coverage, ...]:
    """Count, for every rule and outcome in the order of the file, what the cases that passed tried."""
    decided: Counter[str] = Counter()
    looked: Counter[str] = Counter()
    for result in results:
        if result.failures:
            continue
        decided[result.verdict.rule_id] += 1
        decided.update(entry.rule_id for entry in result.verdict.shadow if entry.reached and entry.result == "true")
        looked.update(entry.rule_id for entry in result.verdict.trace)
        looked.update(entry.rule_id for entry in result.verdict.shadow)
    rules = [Coverage(rule.id, decided[rule.id], looked[rule.id]) for rule in policy.rules]
    outcomes = [f"outcome.{key}" for key in policy.outcomes]
    return (*rules, *(Coverage(name, decided[name], decided[name]) for name in outcomes))


def junit(results: Sequence[Result]) -> str:
    """Return the results in JUnit's XML form, as CI systems read it."""
    failed = sum(1 for result in results if result.failures)
    root = Xml.Element("testsuites", tests=str(len(results)), failures=str(failed))
    for file in dict.fromkeys(result.suite for result in results):
        mine = [result for result in results if result.suite == file]
        count = sum(1 for result in mine if result.failures)
        suite = Xml.SubElement(root, "testsuite", name=file, tests=str(len(mine)), failures=str(count), errors="0")
        for result in mine:
            case = Xml.SubElement(
                suite,
                "testcase",
                classname=result.policy,
                name=result.case.name,
                file=file,
                line=str(result.case.at.line),
            )
            if result.failures:
                failure = Xml.SubElement(case, "failure", message="; ".join(result.failures))
                failure.text = (
                    f"{file}:{result.case.at.line}:{result.case.at.column}: decided by {result.verdict.rule_id}"
                )
    Xml.indent(root)
    return Xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"
