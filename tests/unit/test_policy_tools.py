"""What a security team does to a policy file: schema, lint, tests, diff, explain, what-if, backtest, signatures."""

import json
import math
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import jsonschema
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from test_policy_reference import FACTS as ANY_FACTS
from test_policy_reference import POLICIES, file_of
from typer.testing import CliRunner

from sidecar.cli import app
from sidecar.domain.decisions import Action, Consequence, strictness
from sidecar.drafting.replay import replayed
from sidecar.drafting.report import page
from sidecar.errors import BadRequest, ConfigInvalid, GaitkeeperError, PolicyInvalid
from sidecar.policy import signature
from sidecar.policy.backtest import Recorded, difference, report, tally
from sidecar.policy.compare import _swapped, differences
from sidecar.policy.evaluate import decide
from sidecar.policy.explain import explained, read_change, read_facts, what_if
from sidecar.policy.expressions import known
from sidecar.policy.language import Policy, load, parse
from sidecar.policy.lint import Finding, lint
from sidecar.policy.registry import SIGNALS, examples
from sidecar.policy.schema import cases_schema, policy_schema
from sidecar.policy.testing import coverage, junit, parse_cases, run
from sidecar.shipped import policy_directory

NOW = 1_795_000_000.0
NAMES = ("default", "observe-only", "strict")
SHIPPED = {name: policy_directory() / f"{name}.yaml" for name in NAMES}
BALANCED = SHIPPED["default"].read_text()
HEAD, _, TAIL = BALANCED.partition("rules:\n")
OUTCOMES = TAIL[TAIL.index("# What each outcome means") :]


def with_rules(*rules: str, lists: str = "") -> Policy:
    body = "\n".join("  - {" + rule + "}" for rule in rules) if rules else "  []"
    return parse(f"{HEAD}{lists}rules:\n{body}\n{OUTCOMES}".encode(), "p.yaml")


def rule(name: str, *leaves: str, then: str = "step_up", joint: str = "all", more: str = "") -> str:
    listed = ", ".join(leaf if leaf.startswith("{") else f"'{leaf}'" for leaf in leaves)
    return f"id: {name}, when: {{{joint}: [{listed}]}}, then: {then}{more}"


class TestShipped:
    @pytest.mark.parametrize("name", NAMES)
    def test_pol9_its_tests_pass_and_try_every_rule(self, name: str) -> None:
        policy = load(SHIPPED[name])
        results = run(policy, [parse_cases(SHIPPED[name].with_suffix(".test.yaml").read_bytes(), name)])
        assert [result.failures for result in results if result.failures] == []
        tried = {entry.name: entry.decided for entry in coverage(policy, results)}
        assert all(tried[rule.id] for rule in policy.rules)

    @pytest.mark.parametrize("name", NAMES)
    def test_lint_has_nothing_to_say_but_the_age_of_shadows(self, name: str) -> None:
        policy = load(SHIPPED[name])
        results = run(policy, [parse_cases(SHIPPED[name].with_suffix(".test.yaml").read_bytes(), name)])
        found = lint(policy, NOW, coverage(policy, results))
        assert [finding for finding in found if "in shadow" not in finding.message] == []

    @given(ANY_FACTS)
    @settings(deadline=None, max_examples=80)
    def test_observe_only_asks_nobody_below_the_clients_floor(self, facts: dict[str, Any]) -> None:
        verdict = decide(load(SHIPPED["observe-only"]), facts | {"client.floor": "allow"}, NOW)
        assert verdict.consequence == Consequence(Action.ALLOW)

    @given(ANY_FACTS)
    @settings(deadline=None, max_examples=80)
    def test_strict_is_never_milder_than_balanced(self, facts: dict[str, Any]) -> None:
        """Where strict allows, so does balanced: the page that says so must not lie."""
        balanced, strict = (decide(load(SHIPPED[name]), facts, NOW).consequence for name in ("default", "strict"))
        assert strictness(strict) >= strictness(balanced)

    @given(ANY_FACTS)
    @settings(deadline=None, max_examples=80)
    def test_pol5_no_behaviour_denies(self, facts: dict[str, Any]) -> None:
        for name in NAMES:
            verdict = decide(load(SHIPPED[name]), facts | {"mark.state": "none"}, NOW)
            assert verdict.consequence.action is not Action.DENY


class TestSchema:
    @pytest.mark.parametrize("name", NAMES)
    def test_shipped_files_hold_to_the_schemas(self, name: str) -> None:
        yaml = YAML(typ="safe", pure=True)
        for path, schema in (
            (SHIPPED[name], policy_schema()),
            (SHIPPED[name].with_suffix(".test.yaml"), cases_schema()),
        ):
            jsonschema.Draft7Validator.check_schema(schema)
            jsonschema.Draft7Validator(schema).validate(plain(yaml.load(path.read_text())))

    @pytest.mark.parametrize(
        ("old", "new"),
        [("id: balanced", "id: 7"), ("prior: 0.02", "prior: 2"), ("    then: allow", "    then: perhaps"),
         ("  match: allow\n", ""), ("    pasted: step_up\n", ""), ("audit: {full: error}", "audit: {ful: error}"),
         ("      all: ['mark", "      some: ['mark")],
    )  # fmt: skip
    def test_what_the_reader_refuses_the_editor_marks(self, old: str, new: str) -> None:
        assert old in BALANCED
        broken = YAML(typ="safe", pure=True).load(BALANCED.replace(old, new, 1))
        assert not jsonschema.Draft7Validator(policy_schema()).is_valid(plain(broken))

    @given(st.data())
    @settings(deadline=None, max_examples=60)
    def test_facts_from_the_registry_hold_to_the_schema_and_are_read(self, data: st.DataObject) -> None:
        facts = {name: data.draw(st.sampled_from((*examples(signal), None))) for name, signal in SIGNALS.items()}
        schema = cases_schema()["properties"]["facts"]
        jsonschema.Draft7Validator(schema).validate(json.loads(json.dumps(facts)))
        assert known(facts, NOW).broken == frozenset()
        assert read_facts(json.loads(json.dumps(facts))) == facts

    def test_every_signal_has_a_schema_that_refuses_something(self) -> None:
        schema = cases_schema()["properties"]["facts"]["properties"]
        assert set(schema) == set(SIGNALS)
        for name, one in schema.items():
            assert not jsonschema.Draft7Validator(one).is_valid({"a": 1}), name


def plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


class TestLint:
    def find(self, *rules: str, lists: str = "", now: float = NOW, covered: Any = ()) -> list[tuple[str, str]]:
        found = lint(with_rules(*rules, lists=lists), now, covered)
        return [(one.severity, one.message) for one in found if "no test case" not in one.message]

    @pytest.mark.parametrize(
        "leaves",
        [
            ("keystroke.llr > 2.0", "keystroke.llr < 1.0"),
            ("keystroke.llr > 1.0", "keystroke.llr <= 1.0"),
            ("profile.samples > 3", "profile.samples < 4"),
            ('client.id == "a"', 'client.id == "b"'),
            ('client.id in ["a", "b"]', 'client.id != "a"', 'client.id != "b"'),
            ("profile.confirmed", "!profile.confirmed"),
            ('keystroke.outcome == "match"', 'keystroke.cause == "pasted"'),
            ("1.0 < keystroke.llr", "keystroke.llr < 1.0"),
            ("keystroke.confidence > 1.0",),
            ("false",),
        ],
    )
    def test_pol1_a_rule_that_contradicts_itself(self, leaves: tuple[str, ...]) -> None:
        assert ("error", "r contradicts itself: it can never be true") in self.find(rule("r", *leaves))

    @pytest.mark.parametrize(
        "leaves",
        [
            ("keystroke.llr > 1.0", "keystroke.llr <= 1.1"),
            ("profile.samples > 2", "profile.samples < 4"),
            ('keystroke.outcome == "unavailable"', 'keystroke.cause == "pasted"'),
            ("keystroke.llr + 1.0 > 2.0", "keystroke.llr + 1.0 < 0.0"),
            ('"staff" in user.groups', '"board" in user.groups'),
        ],
    )
    def test_what_can_be_true_is_not_accused(self, leaves: tuple[str, ...]) -> None:
        assert [found for found in self.find(rule("r", *leaves)) if found[0] == "error"] == []

    @pytest.mark.parametrize(
        ("above", "below", "reached"),
        [
            ([("a", "keystroke.llr > 1.0")], ("keystroke.llr > 2.0",), False),
            ([("a", "keystroke.llr > 1.0")], ("keystroke.llr > 0.5",), True),
            ([("a", "keystroke.llr > 1.0"), ("b", "keystroke.llr <= 1.0")], ("keystroke.llr < 5.5",), False),
            ([("a", "keystroke.llr > 1.0"), ("b", "keystroke.llr < 1.0")], ("keystroke.llr < 5.5",), True),
            ([("a", "true")], ('client.id == "x"',), False),
            ([("a", 'client.id != "x"')], ('client.id == "y"',), False),
            ([("a", 'client.id != "x"')], ('client.id == "x"',), True),
            (
                [("a", 'device.state in ["new", "none"]'), ("b", 'device.state == "known"')],
                ('device.state != "x"',),
                None,
            ),
            # Where the signal above is missing, the rule below is still met.
            ([("a", "travel.speed >= 0.0")], ('client.id == "x"',), True),
            ([("a", "keystroke.llr * 2.0 > 1.0")], ("keystroke.llr * 2.0 > 1.0", "profile.confirmed"), False),
        ],
    )
    def test_pol1_a_rule_that_is_never_reached(
        self, above: list[tuple[str, str]], below: tuple[str, ...], reached: bool | None
    ) -> None:
        made = [rule(name, leaf, then="allow") for name, leaf in above]
        if reached is None:
            with pytest.raises(PolicyInvalid, match="is never 'x'"):
                self.find(*made, rule("r", *below))
            return
        errors = [message for severity, message in self.find(*made, rule("r", *below)) if severity == "error"]
        assert any("r is never reached" in message for message in errors) is not reached
        if not reached:
            assert above[0][0] in errors[-1]

    def test_a_rule_in_shadow_hides_nothing(self) -> None:
        shadow = ", mode: shadow, since: 2026-11-16"
        found = self.find(rule("a", "true", more=shadow), rule("r", "true"))
        assert not any("never reached" in message for _, message in found)
        assert ("note", "a has been in shadow for 2 days, since 2026-11-16") in found

    def test_pol6_a_rule_long_in_shadow_is_a_warning(self) -> None:
        found = self.find(rule("a", "true", more=", mode: shadow, since: 2026-01-01"))
        assert found[0][0] == "warning"
        found = self.find(rule("a", "true", more=", mode: shadow, since: 2027-01-01"))
        assert found == [("error", "a is in shadow since a day to come, 2027-01-01")]

    def test_exceptions_and_scopes_narrow_what_is_covered(self) -> None:
        scoped = rule("a", "true", then="allow", more=", scope: {clients: [app]}")
        assert not any("never" in message for _, message in self.find(scoped, rule("r", "true")))
        assert any("never reached" in message for _, message in self.find(scoped, rule("r", 'client.id == "app"')))
        excepted = rule(
            "a", "true", then="allow", more=", exceptions: [{id: e, owner: o, expires: 2030-01-01, users: [u]}]"
        )
        assert not any("never" in message for _, message in self.find(excepted, rule("r", "true")))
        over = rule(
            "a", "true", then="allow", more=", exceptions: [{id: e, owner: o, expires: 2020-01-01, users: [u]}]"
        )
        assert any("never reached" in message for _, message in self.find(over, rule("r", "true")))

    def test_leaves_that_were_not_analysed_are_named(self) -> None:
        found = self.find(rule("r", "keystroke.llr * 2.0 > 1.0", "keystroke.llr > 1.0", '"a" in user.groups'))
        notes = [message for severity, message in found if severity == "note"]
        assert notes == ["not analysed: keystroke.llr * 2.0 > 1.0", 'not analysed: "a" in user.groups']

    def test_leaves_that_say_nothing_are_named(self) -> None:
        assert ("warning", "true whatever the value: keystroke.confidence >= 0.0") in self.find(
            rule("r", "keystroke.confidence >= 0.0")
        )

    def test_pol12_what_expires_and_what_nobody_uses(self) -> None:
        lists = (
            "lists:\n  old: {users: [a], owner: ops, expires: 2026-01-01}\n"
            "  soon: {users: [a], owner: ops, expires: 2026-11-25}\n  idle: {users: [a], owner: ops, expires: never}\n"
        )
        found = self.find(rule("r", "{listed: old}", "{listed: soon}"), lists=lists)
        assert found[:3] == [
            ("warning", "list old expired on 2026-01-01"),
            ("note", "list soon expires on 2026-11-25"),
            ("warning", "no rule uses the list idle"),
        ]

    def test_pol9_untested_rules_and_missing_tests(self) -> None:
        policy = with_rules(rule("a", "true"))
        assert [one.message for one in lint(policy, NOW, None)] == ["there are no tests beside this policy"]
        assert [one.message for one in lint(policy, NOW, ())] == ["no test case is decided by a"]

    def test_a_finding_is_a_line_an_editor_can_jump_to(self) -> None:
        (found,) = (one for one in lint(with_rules(rule("a", "false")), NOW, ()) if one.severity == "error")
        assert isinstance(found, Finding)
        assert found.line("p.yaml").startswith(f"p.yaml:{HEAD.count(chr(10)) + 2}:5: error: a contradicts itself")

    @given(POLICIES, st.lists(ANY_FACTS, min_size=5, max_size=20))
    @settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    def test_what_lint_says_cannot_happen_does_not(self, made: Any, logins: list[dict[str, Any]]) -> None:
        """Sound: a rule that is called unreachable or contradictory decides no login, whatever the facts."""
        policy = parse(file_of(made), "p")
        accused = {one.message.split()[0] for one in lint(policy, NOW, ()) if one.severity == "error"} & {
            rule.id for rule in policy.rules
        }
        for facts in logins:
            honest = facts if facts["keystroke.outcome"] == "unavailable" else facts | {"keystroke.cause": None}
            verdict = decide(policy, honest, NOW)
            assert verdict.rule_id not in accused
            assert not [
                one for one in verdict.shadow if one.rule_id in accused and one.reached and one.result == "true"
            ]


class TestDiff:
    BASE = (rule("a", "keystroke.llr > 1.0"), rule("b", 'client.id == "x"', "profile.confirmed", then="allow"))

    def changed(self, *rules: str, old: tuple[str, ...] = BASE) -> list[tuple[str, str, str]]:
        found = differences(with_rules(*old), with_rules(*rules), NOW)
        return [(one.subject, one.message, one.direction) for one in found]

    @pytest.mark.parametrize(
        "rules",
        [
            BASE,
            (rule("a", "1.0 < keystroke.llr"), BASE[1]),
            (rule("a", "!(keystroke.llr <= 1.0)"), BASE[1]),
            (BASE[0], rule("b", "profile.confirmed", 'client.id == "x"', then="allow")),
            (
                BASE[0],
                rule(
                    "b", 'client.id in ["x"]', "!(!profile.confirmed)" * 0 + "profile.confirmed == true", then="allow"
                ),
            ),
            (rule("a", "keystroke.llr > 1.0", joint="any"), BASE[1]),
            (rule("a", "keystroke.llr > 1.0", more=", owner: ops, description: Why."), BASE[1]),
        ],
    )
    def test_the_same_meaning_is_no_change(self, rules: tuple[str, ...]) -> None:
        assert self.changed(*rules) == []

    def test_comments_and_layout_are_no_change(self) -> None:
        assert (
            differences(parse(BALANCED.encode()), parse(BALANCED.replace("\n\n", "\n# a remark\n\n").encode()), NOW)
            == ()
        )

    @pytest.mark.parametrize(
        ("first", "told", "direction"),
        [
            (
                rule("a", "keystroke.llr > 2.0"),
                "matches fewer logins: keystroke.llr > 2.0, was keystroke.llr > 1.0",
                "milder",
            ),
            (
                rule("a", "keystroke.llr > 0.5"),
                "matches more logins: keystroke.llr > 0.5, was keystroke.llr > 1.0",
                "stricter",
            ),
            (
                rule("a", "keystroke.llr < 1.0"),
                "matches other logins: keystroke.llr < 1.0, was keystroke.llr > 1.0",
                "other",
            ),
            (rule("a", "keystroke.llr > 1.0", then="allow"), "then allow, was step_up", "milder"),
            (
                rule("a", "keystroke.llr > 1.0", more=", on_missing: step_up"),
                "on_missing step_up, was skip",
                "stricter",
            ),
            (rule("a", "keystroke.llr > 1.0", more=", on_error: skip"), "on_error skip, was outcomes.error", "milder"),
            (
                rule("a", "keystroke.llr > 1.0", more=", mode: shadow, since: 2026-11-01"),
                "mode shadow, was enforce",
                "milder",
            ),
            (
                rule("a", "keystroke.llr > 1.0", more=", scope: {clients: [app]}"),
                "matches fewer logins: all(client.id in [app], keystroke.llr > 1.0), was keystroke.llr > 1.0",
                "milder",
            ),
        ],
    )
    def test_each_change_is_told_with_its_direction(self, first: str, told: str, direction: str) -> None:
        assert self.changed(first, self.BASE[1]) == [("rule a", told, direction)]

    def test_rules_added_removed_and_moved(self) -> None:
        assert self.changed(self.BASE[0]) == [("rule b", "removed; it said allow", "stricter")]
        assert self.changed(*self.BASE, rule("c", "true")) == [("rule c", "added: step_up", "stricter")]
        assert self.changed(self.BASE[1], self.BASE[0]) == [
            ("rule b", "now stands before a; a login that meets both gets allow", "milder")
        ]

    @pytest.mark.parametrize(
        ("added", "told", "direction"),
        [
            (rule("c", "true", then="allow"), "added: allow", "milder"),
            (rule("c", "true", then="step_up"), "added: step_up", "stricter"),
            (rule("c", "true", then="{action: step_up, acr_values: gold}"), "added: step_up (gold)", "stricter"),
            (rule("c", "true", then="allow", more=", on_missing: step_up"), "added: allow", "other"),
            (rule("c", "true", more=", mode: shadow, since: 2026-11-01"), "added in shadow: step_up", "other"),
        ],
    )
    def test_an_added_rule_has_a_direction_where_it_can_be_told(self, added: str, told: str, direction: str) -> None:
        assert self.changed(added, *self.BASE) == [("rule c", told, direction)]
        removed = {"milder": "stricter", "stricter": "milder", "other": "other"}[direction]
        assert [one[2] for one in self.changed(*self.BASE, old=(added, *self.BASE))] == [removed]

    def test_a_rule_above_a_deny_may_spare_it(self) -> None:
        deny = rule("d", "travel.speed > 900.0", then="deny")
        changes = differences(with_rules(deny), with_rules(rule("c", 'client.id == "x"'), deny), NOW)
        assert [(one.message, one.direction) for one in changes] == [("added: step_up", "other")]

    def test_what_stands_beside_the_rules(self) -> None:
        def listed(kind: str) -> Policy:
            written = f"lists:\n  l: {{{kind}: [DE], owner: o, expires: never}}\nrules:\n"
            text = BALANCED.replace("rules:\n", written, 1).replace(
                "['mark.state == \"compromised\"']", "[listed: l]", 1
            )
            return parse(text.encode())

        found = differences(listed("users"), listed("countries"), NOW)
        assert ("list l", "holds countries, held users", "other") in [
            (one.subject, one.message, one.direction) for one in found
        ]
        other = parse(BALANCED.replace("id: balanced", "id: other\nbehavior_may_deny: true", 1).encode())
        assert [one.subject for one in differences(parse(BALANCED.encode()), other, NOW)] == ["id", "behavior_may_deny"]

    @pytest.mark.parametrize("leaves", [1, 4])
    def test_many_rules_in_another_order_are_compared_soon(self, leaves: int) -> None:
        forms = ["travel.speed > 1{0:03}.0", "failures.device > {0}", "time.unusual > 0.{0:05}", 'client.id == "c{0}"']
        made = [
            rule(f"r{number}", *(form.format(number) for form in forms[:leaves]), joint="any",
                 then=f"{{action: step_up, acr_values: a{number}}}")
            for number in range(200)
        ]  # fmt: skip
        began = time.process_time()
        found = self.changed(*reversed(made), old=tuple(made))
        assert time.process_time() - began < 5.0
        assert len(found) == 2001
        assert found[-1] == ("order of rules", "17,900 further pairs changed places; they were not compared", "other")
        one_moved = self.changed(*made[1:20], made[0], old=tuple(made[:20]))
        assert [message.partition(";")[0] for _, message, _ in one_moved] == ["now stands before r0"] * 19

    @given(st.permutations(range(8)))
    def test_pairs_that_changed_places_are_all_found(self, places: list[int]) -> None:
        every = [(one, other) for one in range(8) for other in range(one + 1, 8) if places[one] > places[other]]
        assert list(_swapped(places)) == every

    def test_moving_rules_that_no_login_meets_together_is_no_change(self) -> None:
        apart = (rule("a", "keystroke.llr > 1.0"), rule("b", "keystroke.llr < 0.0", then="allow"))
        assert self.changed(apart[1], apart[0], old=apart) == []

    def test_figures_outcomes_and_lists(self) -> None:
        lists = "lists:\n  l: {users: [a, b], owner: o, expires: 2027-01-01}\n"
        old = parse(BALANCED.replace("rules:\n", lists + "\nrules:\n", 1).encode())
        text = BALANCED.replace("rules:\n", lists.replace("a, b", "b, c").replace("2027", "2028") + "\nrules:\n", 1)
        text = text.replace("mismatch_from: 0.8", "mismatch_from: 1.5").replace(
            "    pasted: step_up", "    pasted: allow"
        )
        found = [(one.subject, one.message, one.direction) for one in differences(old, parse(text.encode()), NOW)]
        assert found == [
            ("bands.keystroke.mismatch_from", "typing counts as a mismatch from 1.5, was 0.8", "milder"),
            ("list l", "added c", "other"),
            ("list l", "removed a", "other"),
            ("list l", "expires 2028-01-01, was 2027-01-01", "other"),
            ("outcome.unavailable.pasted", "allow, was step_up", "milder"),
        ]

    @given(POLICIES, POLICIES, st.lists(ANY_FACTS, min_size=3, max_size=10))
    @settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    def test_policies_that_do_not_differ_decide_alike(self, one: Any, other: Any, logins: list[dict[str, Any]]) -> None:
        """Sound: no difference told, no login decided otherwise. The pair shares rules, so that both cases occur."""
        other = other | {
            "rules": one["rules"][::-1] or other["rules"],
            **{key: one[key] for key in ("match", "rest", "error")},
        }
        old, new = parse(file_of(one), "p"), parse(file_of(other), "p")
        if differences(old, new, NOW):
            return
        for facts in logins:
            honest = facts if facts["keystroke.outcome"] == "unavailable" else facts | {"keystroke.cause": None}
            assert decide(old, honest, NOW).consequence == decide(new, honest, NOW).consequence


FACTS: dict[str, Any] = {
    "keystroke.outcome": "match", "keystroke.llr": -1.0, "profile.confirmed": True, "profile.state": "ready",
    "provenance.password": "typed", "provenance.usual": "typed", "travel.speed": 4.0, "device.state": "known",
}  # fmt: skip


class TestExplain:
    def test_every_leaf_is_told_with_its_value(self) -> None:
        policy = load(SHIPPED["default"])
        seen = FACTS | {"action": "login", "keystroke.outcome": "mismatch"}
        lines = list(explained(policy, decide(policy, seen, NOW)))
        elsewhere = '      - action == "session_check": false (action = login)'
        assert lines == [
            "step_up, decided by keystroke-mismatch (balanced)",
            "  ? marked-compromised: missing",
            '      ? mark.state == "compromised": missing (mark.state = not known)',
            "  - session-elsewhere: false",
            elsewhere,
            "  - second-factor-in-session: false",
            elsewhere,
            "  + keystroke-mismatch: true",
            '      + keystroke.outcome == "mismatch": true (keystroke.outcome = mismatch)',
        ]

    def test_shadow_is_told_with_its_age(self) -> None:
        policy = load(SHIPPED["observe-only"])
        lines = list(explained(policy, decide(policy, FACTS | {"keystroke.outcome": "mismatch"}, NOW)))
        assert "  in shadow since 2026-11-21: would-ask-mismatch is true, would have made it step_up" in lines
        assert "  in shadow since 2026-11-21: would-ask-travel is false, would have changed nothing" in lines

    @pytest.mark.parametrize(
        ("text", "change"),
        [("travel.speed=12.5", ("travel.speed", 12.5)), ("travel.speed = null", ("travel.speed", None)),
         ("profile.samples=3", ("profile.samples", 3)), ("profile.confirmed=false", ("profile.confirmed", False)),
         ("user.groups=a, b", ("user.groups", ("a", "b"))), ("client.id=a=b", ("client.id", "a=b")),
         ("mark.state=safe", ("mark.state", "safe"))],
    )  # fmt: skip
    def test_changes_are_read_by_the_signals_type(self, text: str, change: tuple[str, Any]) -> None:
        assert read_change(text) == change

    @pytest.mark.parametrize(
        "text",
        [
            "travel.speed=fast",
            "profile.samples=1.5",
            "profile.confirmed=yes",
            "moon=1",
            "travel.speed",
            "mark.state=lost",
        ],
    )
    def test_changes_that_cannot_be_are_refused(self, text: str) -> None:
        with pytest.raises(BadRequest):
            read_change(text)

    def test_pol7_what_if(self) -> None:
        before, after = what_if(load(SHIPPED["default"]), FACTS, {"travel.speed": 5000.0}, NOW)
        assert (before.rule_id, after.rule_id) == ("outcome.match", "impossible-travel")

    @pytest.mark.parametrize("given", [[], "x", {"moon": 1}, {"travel.speed": "fast"}])
    def test_facts_of_a_wrong_form_are_refused(self, given: Any) -> None:
        with pytest.raises(BadRequest):
            read_facts(given)


CASES = """schema: 1
now: 2026-11-21T12:00:00Z
facts: {keystroke.outcome: match, profile.confirmed: true, device.state: known}
cases:
  - {name: fine, expect: {action: allow, rule: outcome.match}}
  - {name: wrong action, expect: {action: step_up}}
  - {name: wrong rule, facts: {travel.speed: 5000.0}, expect: {rule: outcome.match}}
  - {name: no such shadow, expect: {shadow: {nobody: allow}}}
  - {name: wrong factor, facts: {travel.speed: 5000.0}, expect: {factor: webauthn}}
"""


class TestTesting:
    def results(self) -> Any:
        return run(load(SHIPPED["default"]), [parse_cases(CASES.encode(), "c.test.yaml")])

    def test_pol9_a_case_fails_for_what_it_expects(self) -> None:
        assert [result.failures for result in self.results()] == [
            (),
            ("action: expected step_up, got allow",),
            ("rule: expected outcome.match, got impossible-travel",),
            ("shadow of nobody: expected allow, got no such rule in shadow",),
            ("factor: expected webauthn, got second_factor",),
        ]

    def test_cases_that_fail_cover_nothing(self) -> None:
        tried = {entry.name: entry.decided for entry in coverage(load(SHIPPED["default"]), self.results())}
        assert {name for name, count in tried.items() if count} == {"outcome.match"}

    def test_junit(self) -> None:
        root = Xml.fromstring(junit(self.results()))  # noqa: S314 - our own
        assert (root.get("tests"), root.get("failures")) == ("5", "4")
        assert next(case.get("name") for case in root.iter("testcase")) == "fine"
        failure = root.find(".//testcase[@name='wrong rule']/failure")
        assert failure is not None
        assert failure.get("message") == "rule: expected outcome.match, got impossible-travel"
        assert "c.test.yaml:7:5" in (failure.text or "")


def decisions(count: int, seed: int = 3) -> list[Recorded]:
    """Logins of fifty people, recorded under the balanced policy."""
    draw = random.Random(seed)
    balanced = load(SHIPPED["default"])
    found = []
    for number in range(count):
        person = draw.randrange(50)
        outcome, llr = draw.choices([("match", -1.0), ("mismatch", 2.0)], [9, 1])[0]
        facts = FACTS | {
            "keystroke.outcome": outcome,
            "keystroke.llr": llr,
            "keystroke.confidence": draw.choice([0.2, 0.7]),
            "device.state": draw.choice(["known", "new"]),
            "client.sensitivity": "high" if person % 10 == 0 else "normal",
        }
        verdict = decide(balanced, facts, NOW + number)
        groups = ("staff", "board") if person < 5 else ("staff",)
        client = draw.choice(["app", "bank"])
        found.append(
            Recorded(
                str(number), f"u{person}", client, groups, NOW + number, facts, verdict.consequence, verdict.rule_id
            )
        )
    return found


def lines_of(found: list[Recorded]) -> list[bytes]:
    return [
        json.dumps(
            {"id": one.id, "subject": one.subject, "client": one.client, "groups": one.groups, "at": one.at,
             "facts": one.facts, "rule": one.rule,
             "consequence": {"action": one.consequence.action, "factor": one.consequence.factor,
                             "effects": one.consequence.effects, "trust": one.consequence.trust}}
        ).encode() + b"\n"
        for one in found
    ]  # fmt: skip


class TestBacktest:
    RAW = SHIPPED["strict"].read_bytes()

    def test_pol8_the_policy_that_decided_changes_nothing(self) -> None:
        found = report(tally(load(SHIPPED["default"]), decisions(500)), load(SHIPPED["default"]))
        assert (found["decisions"], found["more"], found["fewer"], found["moves"]) == (500, 0, 0, [])
        assert found["difference"] == {"share": 0.0, "low": 0.0, "high": 0.0}

    def test_pol8_the_figures_equal_a_count_by_hand(self) -> None:
        recorded, strict = decisions(800), load(SHIPPED["strict"])
        found = report(tally(strict, recorded), strict)
        pairs = [(one, decide(strict, one.facts, one.at)) for one in recorded]
        more = [
            one
            for one, then in pairs
            if one.consequence.action is Action.ALLOW and then.consequence.action is not Action.ALLOW
        ]
        assert found["more"] == len(more) > 100
        assert found["fewer"] == 0
        assert found["before"]["asked"] + len(more) == found["after"]["asked"]
        assert {row["name"]: row["more"] for row in found["clients"]} == {
            client: sum(1 for one in more if one.client == client) for client in ("app", "bank")
        }
        assert next(row for row in found["groups"] if row["name"] == "board")["more"] == sum(
            "board" in one.groups for one in more
        )
        moved = {(move["rule_before"], move["rule_after"]): move["decisions"] for move in found["moves"]}
        for names, count in moved.items():
            assert count == sum(
                1 for one, then in pairs if (one.rule, then.rule_id) == names and one.consequence != then.consequence
            )
        top = found["most_affected"][0]
        assert top["more"] == max(sum(1 for one in more if one.subject == f"u{person}") for person in range(50))
        assert set(found["moves"][0]["examples"]) <= {one.id for one in recorded}

    def test_pol8_intervals_by_client_and_group_where_people_are_enough(self) -> None:
        recorded, strict = decisions(800), load(SHIPPED["strict"])
        found = report(tally(strict, recorded), strict)

        def by_hand(those: list[Recorded]) -> dict[str, float | None]:
            people: dict[str, list[int]] = {}
            for one in those:
                asked = [
                    strictness(then) >= 2 for then in (one.consequence, decide(strict, one.facts, one.at).consequence)
                ]
                people.setdefault(one.subject, []).append(asked[1] - asked[0])
            return difference([(len(changes), sum(changes)) for changes in people.values()])

        for row in found["clients"]:
            assert row["difference"] == by_hand([one for one in recorded if one.client == row["name"]])
            assert row["difference"]["low"] < row["difference"]["share"] < row["difference"]["high"]
        groups = {row["name"]: row for row in found["groups"]}
        assert groups["staff"]["difference"] == by_hand(recorded)
        assert (groups["board"]["people"], groups["board"]["difference"]["share"]) == (5, None)

    def test_pol8_the_rules_that_moved_each_of_the_most_affected(self) -> None:
        recorded, strict = decisions(800), load(SHIPPED["strict"])
        for row in report(tally(strict, recorded), strict)["most_affected"]:
            moved: dict[tuple[str, str], int] = {}
            for one in recorded:
                then = decide(strict, one.facts, one.at)
                if one.subject == row["name"] and (strictness(one.consequence) >= 2) != (
                    strictness(then.consequence) >= 2
                ):
                    moved[one.rule, then.rule_id] = moved.get((one.rule, then.rule_id), 0) + 1
            assert {(rule["rule_before"], rule["rule_after"]): rule["decisions"] for rule in row["rules"]} == moved
            counts = [rule["decisions"] for rule in row["rules"]]
            assert counts == sorted(counts, reverse=True)
            assert sum(counts) == row["more"] + row["fewer"]

    def test_pol8_many_processes_and_one_say_the_same(self) -> None:
        recorded = decisions(4500)
        alone = replayed(self.RAW, "p", recorded, jobs=1)
        told: list[int] = []
        together = replayed(self.RAW, "p", lines_of(recorded), jobs=2, progress=told.append)
        policy = load(SHIPPED["strict"])
        first, second = report(alone, policy), report(together, policy)
        for figures in (first, second):
            for move in figures["moves"]:
                assert len(move.pop("examples")) == min(3, move["decisions"])
        assert first == second
        assert sum(told) == 4500

    def test_decisions_are_replayed_at_the_moment_they_happened(self) -> None:
        """An exception that has expired since counts for the logins it covered."""
        policy = with_rules(
            rule("r", "true", more=", exceptions: [{id: e, owner: o, expires: 2026-11-18, users: [ann]}]")
        )
        facts = FACTS | {"user.id": "ann"}
        expiry = 1_794_960_000.0
        found = tally(
            policy,
            [Recorded(str(at), "ann", "app", (), expiry + at, facts, Consequence(Action.ALLOW)) for at in (-1.0, 1.0)],
        )
        assert (found.total.more, found.total.decisions) == (1, 2)

    @pytest.mark.parametrize(
        "line",
        [b"{}\n", b"not json\n", b'{"id": 1}\n', lines_of(decisions(1))[0].replace(b'"at"', b'"moment"')],
    )
    @pytest.mark.parametrize("jobs", [1, 2])
    def test_a_line_that_is_no_decision_is_named(self, line: bytes, jobs: int) -> None:
        with pytest.raises(BadRequest, match="line 3 is no recorded decision"):
            replayed(self.RAW, "p", [*lines_of(decisions(2)), line], jobs=jobs)

    def test_the_interval_holds_its_promise(self) -> None:
        """Simulated people with habits of their own: the 95% interval covers the true difference as often as it says."""
        draw = random.Random(5)
        covered = 0
        for _ in range(300):
            people = []
            for _ in range(120):
                habit = draw.betavariate(1, 9)
                count = draw.randint(1, 40)
                people.append((count, sum(draw.random() < habit for _ in range(count))))
            found = difference(people)
            covered += float(found["low"] or 0) <= 0.1 <= float(found["high"] or 0)
        assert covered / 300 > 0.90

    def test_one_person_gives_no_interval_and_nobody_no_share(self) -> None:
        assert difference([(10, 5)]) == {"share": 0.5, "low": None, "high": None}
        assert difference([]) == {"share": None, "low": None, "high": None}

    def test_the_page_escapes_what_people_are_called(self) -> None:
        sly = [Recorded("1", "<script>alert(1)</script>", "a&b", (), NOW, FACTS, Consequence(Action.STEP_UP), "r")]
        policy = load(SHIPPED["default"])
        html = page(report(tally(policy, sly), policy))
        assert "<script>" not in html
        assert "&lt;script&gt;" in html
        assert "1 fewer" in html

    def test_the_page_of_no_decisions(self) -> None:
        policy = load(SHIPPED["default"])
        assert "Nothing: every login would have got the same answer." in page(report(tally(policy, []), policy))


class TestSignature:
    RAW = SHIPPED["default"].read_bytes()
    KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))

    def verify(self, raw: bytes, signed: bytes | None, *keys: Ed25519PrivateKey) -> str | None:
        return signature.verify(raw, signed, [key.public_key() for key in keys], "p.yaml")

    def test_a_signed_file_is_accepted(self) -> None:
        signed = signature.sign(self.RAW, self.KEY).encode()
        assert self.verify(self.RAW, signed, self.KEY) == signature.fingerprint(self.KEY.public_key())

    def test_without_a_key_nothing_is_checked(self) -> None:
        assert self.verify(self.RAW, None) is None
        assert self.verify(self.RAW, b"anything") is None

    def test_a_stripped_signature_is_refused(self) -> None:
        """GHSA-g2pf-6v5v-qcc8: deleting the signature must not be a way in."""
        for nothing in (None, b"", b"\n"):
            with pytest.raises(PolicyInvalid, match="; hint: "):
                self.verify(self.RAW, nothing, self.KEY)

    @given(st.integers(0, len(RAW) - 1), st.integers(1, 255))
    @settings(deadline=None, max_examples=50)
    def test_a_changed_byte_is_refused(self, at: int, by: int) -> None:
        signed = signature.sign(self.RAW, self.KEY).encode()
        changed = self.RAW[:at] + bytes([self.RAW[at] ^ by]) + self.RAW[at + 1 :]
        with pytest.raises(PolicyInvalid, match="of other bytes"):
            self.verify(changed, signed, self.KEY)

    def test_a_key_that_is_not_configured_is_refused_and_rotation_takes_both(self) -> None:
        signed = signature.sign(self.RAW, self.OTHER).encode()
        with pytest.raises(PolicyInvalid, match="which is not configured"):
            self.verify(self.RAW, signed, self.KEY)
        assert self.verify(self.RAW, signed, self.KEY, self.OTHER)

    def test_a_signature_that_names_a_configured_key_falsely_is_refused(self) -> None:
        lines = signature.sign(self.RAW, self.OTHER).split("\n")
        lines[1] = f"key {signature.fingerprint(self.KEY.public_key())}"
        with pytest.raises(PolicyInvalid, match="of other bytes"):
            self.verify(self.RAW, "\n".join(lines).encode(), self.KEY)

    def test_a_signature_of_the_same_bytes_for_another_purpose_is_refused(self) -> None:
        import base64

        bare = base64.b64encode(self.KEY.sign(self.RAW)).decode()
        text = f"{signature.HEAD}\nkey {signature.fingerprint(self.KEY.public_key())}\n{bare}\n"
        with pytest.raises(PolicyInvalid, match="of other bytes"):
            self.verify(self.RAW, text.encode(), self.KEY)

    @given(st.binary(max_size=200))
    @settings(deadline=None, max_examples=100)
    def test_whatever_is_no_signature_is_refused(self, junk: bytes) -> None:
        with pytest.raises(PolicyInvalid):
            self.verify(self.RAW, junk, self.KEY)

    def test_keys_of_another_kind_are_refused(self) -> None:
        private, public = signature.new_key()
        assert signature.public_pem(signature.read_private(private, "k")) == public
        for pem in (b"", b"junk", public):
            with pytest.raises(ConfigInvalid, match="no Ed25519 private key"):
                signature.read_private(pem, "k")
        for pem in (b"", b"junk", private):
            with pytest.raises(ConfigInvalid, match="no Ed25519 public key"):
                signature.read_public(pem, "k")


class TestCommands:
    def call(self, *words: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, ["policy", *words])
        if isinstance(done.exception, GaitkeeperError):
            assert code == 2, done.exception
            return done.exception.message
        assert done.exit_code == code, (done.output, done.exception)
        return done.output

    @pytest.mark.parametrize("shipped", ["balanced", "observe-only", "strict"])
    def test_init_writes_what_lints_tests_and_validates(self, tmp_path: Path, shipped: str) -> None:
        path = tmp_path / "new" / "mine.yaml"
        self.call("init", str(path), "--from", shipped)
        assert {entry.name for entry in path.parent.iterdir()} == {
            "mine.yaml", "mine.test.yaml", "gaitkeeper-policy.schema.json", "gaitkeeper-policy-test.schema.json"
        }  # fmt: skip
        self.call("lint", str(path), "--strict")
        assert "0 failed, 0 rules never tried" in self.call("test", str(path), "--require-coverage")
        first, second = path.read_text().splitlines()[:2]
        assert first == "# yaml-language-server: $schema=gaitkeeper-policy.schema.json"
        assert second == "# $schema: gaitkeeper-policy.schema.json"
        schema = json.loads((path.parent / "gaitkeeper-policy.schema.json").read_text())
        assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
        assert "exists" in self.call("init", str(path), code=2)
        self.call("init", str(path), "--force")

    def test_init_refuses_names_that_mislead(self, tmp_path: Path) -> None:
        assert "ends in .yaml" in self.call("init", str(tmp_path / "a.test.yaml"), code=2)
        assert "no shipped policy" in self.call("init", str(tmp_path / "a.yaml"), "--from", "lax", code=2)

    def test_lint_goes_on_after_a_file_that_does_not_hold_up(self, tmp_path: Path) -> None:
        (tmp_path / "bad.yaml").write_text(BALANCED.replace("prior: 0.02", "prior: 7"))
        (tmp_path / "void.yaml").write_text(BALANCED.replace('mark.state == "compromised"', "false"))
        said = self.call("lint", str(tmp_path / "bad.yaml"), str(tmp_path / "void.yaml"), code=1)
        assert "bad.yaml:10:1: error: prior must be a number" in said
        assert "error: marked-compromised contradicts itself" in said
        assert "there are no tests beside" in said

    def test_test_fails_where_a_case_does(self, tmp_path: Path) -> None:
        (tmp_path / "p.yaml").write_text(BALANCED)
        assert "there is no p.test.yaml" in self.call("test", str(tmp_path / "p.yaml"), code=2)
        (tmp_path / "p.more.test.yaml").write_text(CASES)
        said = self.call("test", str(tmp_path / "p.yaml"), "--junit", str(tmp_path / "j.xml"), code=1)
        assert "p.more.test.yaml:6:5: wrong action: action: expected step_up, got allow" in said
        assert "1 passed, 4 failed" in said
        assert Xml.parse(tmp_path / "j.xml").getroot().get("failures") == "4"  # noqa: S314 - our own
        good = CASES[: CASES.index("  - {name: wrong action")]
        (tmp_path / "p.more.test.yaml").write_text(good)
        self.call("test", str(tmp_path / "p.yaml"))
        self.call("test", str(tmp_path / "p.yaml"), "--require-coverage", code=1)

    def test_diff(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text(BALANCED)
        (tmp_path / "b.yaml").write_text(BALANCED.replace("['travel.speed > 1000.0']", "['travel.speed > 500.0']"))
        assert self.call("diff", str(tmp_path / "a.yaml"), str(tmp_path / "a.yaml")) == "the same in meaning\n"
        said = self.call("diff", str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml"), code=1)
        assert (
            said
            == "stricter rule impossible-travel: matches more logins: travel.speed > 500.0, was travel.speed > 1000.0\n"
        )
        (row,) = json.loads(self.call("diff", "--json", str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml"), code=1))
        assert row["direction"] == "stricter"

    def test_explain_and_what_if(self, tmp_path: Path) -> None:
        (tmp_path / "f.json").write_text(json.dumps({"at": NOW, "facts": FACTS}))
        policy, facts = str(SHIPPED["default"]), str(tmp_path / "f.json")
        assert self.call("explain", policy, "--facts", facts).startswith("allow, decided by outcome.match (balanced)\n")
        said = self.call("what-if", policy, "--facts", facts, "--set", "travel.speed=5000")
        assert "travel.speed: 4 -> 5000\nallow by outcome.match -> step_up by impossible-travel\n" in said
        assert "stays the same" in self.call("what-if", policy, "--facts", facts, "--set", "travel.speed=5")
        (tmp_path / "f.json").write_text("[")
        assert "is not JSON" in self.call("explain", policy, "--facts", facts, code=2)
        assert "cannot be read" in self.call("explain", policy, "--facts", str(tmp_path / "none"), code=2)

    def test_a_decision_is_explained_as_of_when_it_happened(self, tmp_path: Path) -> None:
        excepted = "exceptions: [{id: e, owner: o, expires: 2026-11-18, users: [ann]}]"
        line = "  - {id: r, when: {all: ['true']}, then: step_up, " + excepted + "}\n"
        text = BALANCED.replace("rules:\n", "rules:\n" + line, 1)
        (tmp_path / "p.yaml").write_text(text)
        for at, rule_id in ((1_794_959_999, "outcome.match"), (1_794_960_001, "r")):
            (tmp_path / "f.json").write_text(json.dumps({"at": at, "facts": FACTS | {"user.id": "ann"}}))
            said = self.call("explain", str(tmp_path / "p.yaml"), "--facts", str(tmp_path / "f.json"))
            assert f"decided by {rule_id} " in said

    def test_backtest(self, tmp_path: Path) -> None:
        (tmp_path / "d.jsonl").write_bytes(b"".join(lines_of(decisions(300))))
        files = ["--json", str(tmp_path / "r.json"), "--html", str(tmp_path / "r.html")]
        said = self.call(
            "backtest", str(SHIPPED["strict"]), "--decisions", str(tmp_path / "d.jsonl"), "-j", "1", *files
        )
        figures = json.loads((tmp_path / "r.json").read_text())
        assert "300 logins of" in said
        assert f"{figures['more']:,} more, 0 fewer" in said
        assert math.isclose(figures["after"]["share"], figures["after"]["asked"] / 300)
        assert "Backtest of strict" in (tmp_path / "r.html").read_text()

    def test_sign_and_verify(self, tmp_path: Path) -> None:
        policy = tmp_path / "p.yaml"
        policy.write_text(BALANCED)
        self.call("key", str(tmp_path / "k"))
        assert (tmp_path / "k.pem").stat().st_mode & 0o777 == 0o600
        assert "not written over" in self.call("key", str(tmp_path / "k"), code=2)
        public = str(tmp_path / "k.pub.pem")
        assert "not signed, and a key is configured" in self.call("verify", str(policy), "--key", public, code=2)
        self.call("sign", str(policy), "--key", str(tmp_path / "k.pem"))
        assert "signed by" in self.call("verify", str(policy), "--key", public)
        policy.write_text(BALANCED + "\n")
        assert "of other bytes" in self.call("verify", str(policy), "--key", public, code=2)
        policy.write_text("schema: 1\n")
        assert "policy needs 'id'" in self.call("sign", str(policy), "--key", str(tmp_path / "k.pem"), code=2)

    def test_the_command_itself_prints_one_line_and_ends_with_2(self, tmp_path: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "sidecar", "policy", "explain", "none.yaml", "--facts", "x"],
            capture_output=True, text=True, cwd=tmp_path, env=os.environ | {"COLUMNS": "200"}, check=False,
        )  # fmt: skip
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert "none.yaml:1:1: cannot be read" in done.stderr
