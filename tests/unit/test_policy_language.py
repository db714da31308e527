"""What a policy file can say beyond rules and outcomes: scope, lists, exceptions, shadow, floors, trust."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.domain.biometrics import Cause
from sidecar.domain.decisions import Action, Consequence, Effect, Verdict, strictness
from sidecar.errors import PolicyInvalid
from sidecar.policy.evaluate import decide
from sidecar.policy.language import Policy, parse
from sidecar.policy.registry import SIGNALS

NOW = datetime(2026, 11, 21, tzinfo=UTC).timestamp()
FACTS: dict[str, Any] = {
    "action": "login",
    "client.id": "app",
    "client.floor": "trust",
    "keystroke.outcome": "match",
    "keystroke.llr": -2.0,
    "profile.state": "ready",
    "user.id": "ann",
    "user.groups": ("staff",),
    "user.roles": ("reader",),
    "idp.issuer": "https://idp",
    "idp.realm": "main",
    "network.address": "192.0.2.7",
    "network.country": "NO",
    "mark.state": "none",
}


def policy(*rules: str, match: str = "allow", error: str = "step_up", top: str = "", lists: str = "") -> Policy:
    causes = "\n".join(f"    {cause}: step_up" for cause in Cause)
    body = "\n".join("  - {" + rule + "}" for rule in rules)
    listed = f"lists:\n{lists}" if lists else ""
    text = f"""schema: 1
id: test
prior: 0.02
bands: {{keystroke: {{mismatch_from: 0.9}}}}
{top}
{listed}
rules:{" []" if not rules else ""}
{body}
outcomes:
  match: {match}
  mismatch: step_up
  insufficient: {{none: step_up, learning: step_up, stale: step_up}}
  unavailable:
{causes}
  error: {error}
"""
    return parse(text.encode(), "p.yaml")


def rule(name: str, then: str, *more: str, when: str = 'all: ["true"]') -> str:
    return ", ".join([f"id: {name}", f"when: {{{when}}}", f"then: {then}", *more])


def decided(made: Policy, now: float = NOW, **changed: Any) -> Verdict:
    return decide(made, FACTS | {name.replace("__", "."): value for name, value in changed.items()}, now)


def told(verdict: Verdict) -> tuple[str, str]:
    return verdict.rule_id, "trust" if verdict.consequence.trust else str(verdict.consequence.action)


class TestScope:
    @pytest.mark.parametrize(
        ("scope", "inside"),
        [
            ("clients: [app]", True),
            ("clients: [web, app]", True),
            ("clients: [web]", False),
            ("groups: [staff]", True),
            ("groups: [board, audit]", False),
            ("roles: [reader], clients: [app]", True),
            ("roles: [reader], clients: [web]", False),
            ("idps: ['https://idp'], realms: [main]", True),
            ("realms: [other]", False),
            ("networks: [office]", True),
            ("networks: [lab]", False),
            ("networks: [lab, office]", True),
        ],
    )
    def test_pol3_a_rule_holds_within_its_scope_only(self, scope: str, inside: bool) -> None:
        lists = (
            "  office: {cidrs: [192.0.2.0/24], owner: ops, expires: never}\n"
            "  lab: {cidrs: ['2001:db8::/32'], owner: ops, expires: never}\n"
        )
        made = policy(rule("r", "step_up", f"scope: {{{scope}}}"), lists=lists)
        assert told(decided(made)) == (("r", "step_up") if inside else ("outcome.match", "allow"))

    @pytest.mark.parametrize("signal", ["client__id", "user__groups", "network__address"])
    def test_who_is_not_known_is_neither_inside_nor_outside(self, signal: str) -> None:
        scope = {"client__id": "clients: [app]", "user__groups": "groups: [staff]", "network__address": "networks: [o]"}
        lists = "  o: {cidrs: [192.0.2.0/24], owner: ops, expires: never}\n"
        made = policy(rule("r", "trust", f"scope: {{{scope[signal]}}}", "on_missing: step_up"), lists=lists)
        assert told(decided(made)) == ("r", "trust")
        assert told(decided(made, **{signal: None})) == ("r.on_missing", "step_up")

    def test_an_empty_list_of_groups_is_known(self) -> None:
        made = policy(rule("r", "step_up", "scope: {groups: [staff]}", "on_missing: step_up"))
        assert told(decided(made, user__groups=())) == ("outcome.match", "allow")


LISTS = """  office: {cidrs: [192.0.2.0/24, 192.0.2.128/25, '2001:db8::/32'], owner: ops, expires: 2026-12-01}
  travellers: {users: [ann, bob], owner: hr, expires: never}
  near: {countries: ["NO", SE], owner: ops, expires: never}
"""


class TestLists:
    @pytest.mark.parametrize(
        ("name", "changed", "truth"),
        [
            ("office", {}, "true"),
            ("office", {"network__address": "192.0.3.7"}, "false"),
            ("office", {"network__address": "2001:db8::1"}, "true"),
            ("office", {"network__address": "::ffff:192.0.2.9"}, "true"),
            ("office", {"network__address": "2001:db9::1"}, "false"),
            ("office", {"network__address": "not an address"}, "error"),
            ("office", {"network__address": ""}, "error"),
            ("office", {"network__address": None}, "missing"),
            ("office", {"network__address": 7}, "error"),
            ("travellers", {}, "true"),
            ("travellers", {"user__id": "Ann"}, "false"),
            ("near", {}, "true"),
            ("near", {"network__country": "DE"}, "false"),
        ],
    )
    @pytest.mark.parametrize("joint", ["all", "not"])
    def test_pol12_membership(self, name: str, changed: dict[str, Any], truth: str, joint: str) -> None:
        made = policy(rule("r", "allow", when=f"{joint}: [{{listed: {name}}}]"), lists=LISTS)
        wanted = {"true": "false", "false": "true"}.get(truth, truth) if joint == "not" else truth
        assert decided(made, **changed).trace[0].result == wanted

    def test_pol12_a_list_that_has_expired_is_unknown_not_empty(self) -> None:
        """``not: listed`` would else open on the day the list runs out."""
        expires = datetime(2026, 12, 1, tzinfo=UTC).timestamp()
        for joint in ("all", "not"):
            made = policy(rule("r", "trust", "on_missing: step_up", when=f"{joint}: [{{listed: office}}]"), lists=LISTS)
            assert decided(made, now=expires - 1).trace[0].result == ("true" if joint == "all" else "false")
            assert decided(made, now=expires).trace[0].result == "missing"
            assert told(decided(made, now=expires)) == ("r.on_missing", "step_up")


def test_a_list_and_a_scope_of_many_are_looked_up_in_sets() -> None:
    many = [f"u{number}" for number in range(3000)]
    lists = f"  crowd: {{users: {many}, owner: hr, expires: never}}\n"
    made = policy(rule("r", "step_up", when="all: [{listed: crowd}]"), lists=lists)
    assert isinstance(made.lists["crowd"].entries, frozenset)
    assert told(decided(made, user__id="u2999")) == ("r", "step_up")
    assert told(decided(made, user__id="u3000")) == ("outcome.match", "allow")
    scoped = policy(rule("r", "step_up", f"scope: {{groups: {many}}}"))
    assert told(decided(scoped, user__groups=("x", "u1500"))) == ("r", "step_up")
    assert told(decided(scoped, user__groups=("x",))) == ("outcome.match", "allow")


class TestExceptions:
    RULE = rule(
        "ask",
        "step_up",
        "exceptions: [{id: ann-travels, users: [ann], owner: hr, expires: 2026-12-01, reason: a trip}]",
    )

    def test_pol12_an_exception_leaves_its_people_alone_until_it_expires(self) -> None:
        expires = datetime(2026, 12, 1, tzinfo=UTC).timestamp()
        made = policy(self.RULE)
        assert told(decided(made)) == ("outcome.match", "allow")
        assert told(decided(made, user__id="bob")) == ("ask", "step_up")
        assert told(decided(made, now=expires - 0.001)) == ("outcome.match", "allow")
        assert told(decided(made, now=expires)) == ("ask", "step_up")

    @pytest.mark.parametrize("who", [None, 7])
    def test_pol11_an_exception_that_cannot_be_decided_is_not_granted(self, who: Any) -> None:
        verdict = decided(policy(self.RULE, error="allow"), user__id=who)
        assert told(verdict) == ("ask.exceptions", "step_up")

    def test_pol11_a_rule_that_loosens_does_not_match_when_its_exception_cannot_be_decided(self) -> None:
        loosening = self.RULE.replace("then: step_up", "then: trust")
        assert told(decided(policy(loosening, match="step_up"), user__id=None)) == ("outcome.match", "step_up")

    def test_everything_an_exception_names_must_hold(self) -> None:
        made = policy(self.RULE.replace("users: [ann]", "users: [ann], clients: [web]"))
        assert told(decided(made)) == ("ask", "step_up")
        assert told(decided(made, client__id="web")) == ("outcome.match", "allow")

    def test_an_exception_may_name_a_list(self) -> None:
        made = policy(self.RULE.replace("users: [ann]", "listed: travellers"), lists=LISTS)
        assert told(decided(made)) == ("outcome.match", "allow")
        assert told(decided(made, user__id="eve")) == ("ask", "step_up")


class TestFloors:
    @pytest.mark.parametrize(
        ("floor", "then", "wanted"),
        [
            ("trust", "trust", ("r", "trust")),
            ("allow", "trust", ("floor.client", "allow")),
            (None, "trust", ("floor.client", "allow")),
            ("step_up", "trust", ("floor.client", "step_up")),
            ("step_up", "allow", ("floor.client", "step_up")),
            ("step_up", "step_up", ("r", "step_up")),
            ("allow", "step_up", ("r", "step_up")),
            ("trust", "allow", ("r", "allow")),
            ("none", "trust", ("floor.client", "step_up")),
            (7, "trust", ("floor.client", "step_up")),
        ],
    )
    def test_nothing_is_milder_than_the_client_takes(self, floor: Any, then: str, wanted: tuple[str, str]) -> None:
        assert told(decided(policy(rule("r", then)), client__floor=floor)) == wanted

    @given(st.sampled_from(["trust", "allow", "step_up"]), st.data())
    @settings(deadline=None, max_examples=100)
    def test_sec5_whatever_the_facts_the_floor_holds(self, floor: str, data: st.DataObject) -> None:
        made = policy(
            rule("a", "trust", when="any: ['keystroke.llr < 0.0', 'failures.device == 0']"),
            rule("b", "allow", "on_error: skip", when="not: ['keystroke.llr > 3.0 || 1 / profile.samples == 1']"),
            match="trust",
            error="allow",
        )
        facts = {
            name: data.draw(st.none() | st.just(FACTS.get(name)) | st.floats() | st.text(max_size=3))
            for name in SIGNALS
        }
        least = {"trust": 0, "allow": 1, "step_up": 2}[floor]
        assert strictness(decide(made, facts | {"client.floor": floor}, NOW).consequence) >= least

    def test_pol11_on_missing_is_a_floor_not_a_verdict(self) -> None:
        when = "all: ['travel.speed > 900.0']"
        made = policy(rule("far", "step_up", "on_missing: step_up", when=when), rule("open", "allow"))
        assert told(decided(made)) == ("far.on_missing", "step_up")
        assert told(decided(made, travel__speed=10.0)) == ("open", "allow")
        made = policy(rule("far", "step_up", when=when), rule("open", "allow"))
        assert told(decided(made)) == ("open", "allow")

    def test_of_floors_equally_strict_the_first_decides_and_a_stricter_one_wins(self) -> None:
        when = "all: ['travel.speed > 900.0']"
        first = rule("a", "step_up", "on_missing: {action: step_up, acr_values: gold}", when=when)
        second = rule("b", "step_up", "on_missing: {action: step_up, acr_values: silver}", when=when)
        assert decided(policy(first, second)).consequence.acr_values == "gold"
        assert decided(policy(second, first)).consequence.acr_values == "silver"
        strictest = rule("c", "step_up", "on_missing: deny", when=when)
        assert told(decided(policy(first, second, strictest))) == ("c.on_missing", "deny")
        asking = rule("d", "step_up")
        assert told(decided(policy(first, asking))) == ("a.on_missing", "step_up")
        assert decided(policy(first, asking)).consequence.acr_values == "gold"
        assert told(decided(policy(rule("a", "step_up", "on_missing: step_up", when=when), asking))) == ("d", "step_up")

    @pytest.mark.parametrize(
        ("floor", "then", "acr", "factor", "name"),
        [
            ("factor: webauthn", "", None, "webauthn", "f.on_missing"),
            ("factor: webauthn", "factor: otp", None, "webauthn", "f.on_missing"),
            ("factor: otp", "factor: webauthn", None, "webauthn", "d"),
            ("factor: otp", "factor: totp", None, "otp", "f.on_missing"),
            ("factor: second_factor", "factor: otp", None, "otp", "d"),
            ("factor: second_factor", "acr_values: '2'", "2", None, "d"),
            ("acr_values: '2'", "acr_values: '3'", "3", None, "d"),
            ("acr_values: '3'", "acr_values: '2'", "3", None, "f.on_missing"),
            ("acr_values: gold", "acr_values: '2'", "2", None, "d"),
            ("acr_values: gold", "acr_values: silver", "gold", None, "f.on_missing"),
            ("acr_values: gold", "factor: otp", "gold", "otp", "f.on_missing"),
            ("factor: otp", "acr_values: gold", "gold", "otp", "f.on_missing"),
        ],
    )
    def test_of_what_is_asked_for_by_name_nothing_is_lost_to_what_asks_for_less(
        self, floor: str, then: str, acr: str | None, factor: str | None, name: str
    ) -> None:
        above = rule("f", "step_up", f"on_missing: {{action: step_up, {floor}}}", when="all: ['travel.speed > 900.0']")
        verdict = decided(policy(above, rule("d", f"{{action: step_up, {then}}}" if then else "step_up")))
        assert (verdict.consequence.acr_values, verdict.consequence.factor) == (acr, factor)
        assert verdict.rule_id == name

    def test_pol11_an_undecided_exception_asks_for_the_rules_own_factor(self) -> None:
        admin = rule(
            "admin",
            "{action: step_up, factor: webauthn}",
            "exceptions: [{id: e, users: [ann], owner: o, expires: 2030-01-01}]",
        )
        for below in (rule("travel", "{action: step_up, factor: otp}"), rule("open", "allow"), rule("ask", "step_up")):
            verdict = decided(policy(admin, below), user__id=None)
            assert (verdict.rule_id, verdict.consequence.factor) == ("admin.exceptions", "webauthn")

    def test_effects_of_what_decided_are_kept_under_a_floor(self) -> None:
        above = rule(
            "f", "step_up", "on_missing: {action: step_up, effects: [revoke_all]}", when="all: ['travel.speed > 9.0']"
        )
        verdict = decided(policy(above, rule("d", "{action: allow, effects: [notify]}")))
        assert verdict.rule_id == "f.on_missing"
        assert verdict.consequence.effects == (Effect.NOTIFY, Effect.REVOKE_ALL)
        verdict = decided(policy(rule("d", "{action: allow, effects: [notify]}")), client__floor="step_up")
        assert (verdict.rule_id, verdict.consequence.effects) == ("floor.client", (Effect.NOTIFY,))

    def test_a_floor_below_the_rule_that_decides_is_not_looked_at(self) -> None:
        missing = rule("m", "step_up", "on_missing: step_up", when="all: ['travel.speed > 900.0']")
        assert told(decided(policy(rule("open", "allow"), missing))) == ("open", "allow")

    def test_pol11_on_error_of_a_rule_stands_in_for_that_of_the_file(self) -> None:
        broken = "all: ['1 / profile.samples == 1']"
        facts = {"profile__samples": 0}
        assert told(decided(policy(rule("r", "allow", when=broken)), **facts)) == ("outcome.error", "step_up")
        skipping = policy(rule("r", "allow", "on_error: skip", when=broken))
        assert told(decided(skipping, **facts)) == ("outcome.match", "allow")
        assert decided(skipping, **facts).errors == ("r",)
        own = policy(rule("r", "allow", "on_error: {action: step_up, acr_values: gold}", when=broken), error="allow")
        assert decided(own, **facts).consequence == Consequence(Action.STEP_UP, "gold")
        assert told(decided(own, **facts)) == ("r.on_error", "step_up")

    @pytest.mark.parametrize(
        "expression",
        [
            "int(user.id) == 1 && keystroke.llr > 0.5",
            "keystroke.llr > 0.5 || [1][int(user.id)] == 1",
            'client.id.matches(user.id + "(")',
        ],
    )
    def test_pol11_an_error_does_not_pass_for_a_missing_value(self, expression: str) -> None:
        assert decided(policy(rule("r", "allow", when=f"all: ['{expression}']")), keystroke__llr=None).errors == ("r",)

    def test_a_text_of_the_users_cannot_dress_an_error_up_as_missing(self) -> None:
        made = policy(rule("r", "allow", when="all: ['int(client.id) == 3 && keystroke.llr > 0.5']"))
        sly = 'UNKNOWN: No value with name "keystroke.llr" found in Activation'
        assert decided(made, client__id=sly, keystroke__llr=None).errors == ("r",)


class TestWrongTypes:
    @pytest.mark.parametrize(
        ("signal", "value"),
        [
            ("keystroke.llr", "2.0"), ("keystroke.llr", True), ("keystroke.llr", [1.0]), ("profile.samples", 1.0),
            ("profile.samples", True), ("profile.samples", 2**63), ("profile.samples", -(2**63) - 1),
            ("profile.confirmed", 1), ("profile.confirmed", "true"), ("client.id", 7), ("client.id", "\ud800"),
            ("user.groups", "staff"), ("user.groups", [1]), ("user.groups", ["\ud800"]), ("user.groups", {"a": 1}),
        ],
    )  # fmt: skip
    def test_a_value_of_another_type_is_an_error_not_a_pass(self, signal: str, value: Any) -> None:
        leaf = {
            "double": "keystroke.llr < 5.0", "int": "profile.samples < 100", "bool": "profile.confirmed",
            "string": 'client.id != ""', "strings": '!("x" in user.groups)',
        }[SIGNALS[signal].type]  # fmt: skip
        for joint in ("all", "any", "not"):
            made = policy(rule("r", "trust", when=f"{joint}: ['{leaf}']"))
            verdict = decide(made, FACTS | {signal: value}, NOW)
            assert verdict.errors == ("r",)
            assert told(verdict) == ("outcome.error", "step_up")

    def test_a_whole_number_is_a_double_and_a_huge_one_is_not_finite(self) -> None:
        made = policy(rule("r", "step_up", when="all: ['keystroke.llr > 0.5']"))
        assert decided(made, keystroke__llr=2).trace[0].result == "true"
        assert decided(made, keystroke__llr=10**400).trace[0].result == "missing"

    @pytest.mark.parametrize(
        "facts",
        [
            {},
            {"keystroke.outcome": None},
            {"keystroke.outcome": "fine"},
            {"keystroke.outcome": 3},
            {"keystroke.outcome": "unavailable"},
            {"keystroke.outcome": "unavailable", "keystroke.cause": "moon"},
            {"keystroke.outcome": "insufficient", "profile.state": "ready"},
        ],
    )
    def test_facts_that_make_no_sense_are_an_error(self, facts: dict[str, Any]) -> None:
        assert told(decide(policy(), facts, NOW)) == ("outcome.error", "step_up")


class TestShadow:
    SHADOW = ("mode: shadow", "since: 2026-11-01")

    def test_pol6_a_rule_in_shadow_changes_nothing_and_says_what_it_would_have(self) -> None:
        made = policy(rule("strict", "step_up", *self.SHADOW))
        verdict = decided(made)
        assert told(verdict) == ("outcome.match", "allow")
        assert [entry.rule_id for entry in verdict.trace] == []
        (would,) = verdict.shadow
        assert (would.rule_id, would.result, would.reached, would.changed) == ("strict", "true", True, True)
        assert would.consequence.action is Action.STEP_UP

    @pytest.mark.parametrize(
        ("rules", "reached", "changed", "would"),
        [
            ((rule("s", "step_up", *SHADOW), rule("open", "allow")), True, True, "step_up"),
            ((rule("open", "allow"), rule("s", "step_up", *SHADOW)), False, False, "allow"),
            ((rule("s", "allow", *SHADOW), rule("ask", "step_up")), True, True, "allow"),
            ((rule("s", "step_up", *SHADOW, when='all: ["false"]'), rule("open", "allow")), True, False, "allow"),
            (
                (
                    rule("s", "allow", *SHADOW, "on_missing: step_up", when='all: ["travel.speed > 1.0"]'),
                    rule("open", "allow"),
                ),
                True, True, "step_up",
            ),
            (
                (rule("ill", "allow", when='all: ["int(user.id) == 1"]'), rule("s", "allow", *SHADOW), rule("open", "allow")),
                True, False, "step_up",
            ),
        ],
    )  # fmt: skip
    def test_pol6_it_is_judged_at_its_place_as_if_it_alone_were_enforced(
        self, rules: tuple[str, ...], reached: bool, changed: bool, would: str
    ) -> None:
        (entry,) = decided(policy(*rules)).shadow
        assert (entry.reached, entry.changed, str(entry.consequence.action)) == (reached, changed, would)

    def test_an_error_in_shadow_is_no_error_of_the_decision(self) -> None:
        verdict = decided(policy(rule("s", "allow", *self.SHADOW, when='all: ["int(user.id) == 1"]')))
        assert told(verdict) == ("outcome.match", "allow")
        assert verdict.errors == ()
        assert verdict.shadow[0].result == "error"
        assert verdict.shadow[0].changed

    @given(st.data())
    @settings(deadline=None, max_examples=60)
    def test_pol6_enforcing_it_gives_what_the_shadow_said(self, data: st.DataObject) -> None:
        """The promise behind shadow mode: the file with ``mode: enforce`` decides as the shadow foretold."""
        leaves = ["keystroke.llr > 0.5", "travel.speed > 900.0", "1 / profile.samples == 1", 'client.id == "app"']
        rules = [
            rule(f"r{index}", data.draw(st.sampled_from(["trust", "allow", "step_up"])),
                 f"on_missing: {data.draw(st.sampled_from(['skip', 'step_up']))}",
                 when=f"{data.draw(st.sampled_from(['all', 'any']))}: ['{data.draw(st.sampled_from(leaves))}']")
            for index in range(4)
        ]  # fmt: skip
        place = data.draw(st.integers(0, 3))
        facts = FACTS | {
            "keystroke.llr": data.draw(st.sampled_from([None, 0.0, 1.0])),
            "travel.speed": data.draw(st.sampled_from([None, 10.0, 1000.0])),
            "profile.samples": data.draw(st.sampled_from([0, 1, 5, None])),
            "client.floor": data.draw(st.sampled_from([None, "trust", "step_up"])),
        }
        shadowed = [*rules[:place], rules[place] + ", " + ", ".join(self.SHADOW), *rules[place + 1 :]]
        now, then = decide(policy(*shadowed), facts, NOW), decide(policy(*rules), facts, NOW)
        assert now.shadow[0].consequence == then.consequence
        assert now.shadow[0].changed == (now.consequence != then.consequence)


class TestDeny:
    """POL5: behaviour alone cannot deny unless the file says so in so many words."""

    @pytest.mark.parametrize(
        "when",
        [
            "all: ['keystroke.outcome == \"mismatch\"']",
            "all: ['keystroke.llr > 5.0', 'failures.device >= 0']",
            "any: ['mark.state == \"compromised\"', 'profile.state == \"none\"']",
            "all: ['true']",
            "all: ['action == \"login\"']",
            "not: ['client.id == \"app\"']",
        ],
    )
    def test_a_deny_that_behaviour_could_bring_about_is_refused(self, when: str) -> None:
        with pytest.raises(
            PolicyInvalid, match=r"p\.yaml:\d+:\d+: r denies by behaviour; hint: .*behavior_may_deny: true"
        ):
            policy(rule("r", "deny", when=when))
        assert policy(rule("r", "deny", when=when), top="behavior_may_deny: true")

    @pytest.mark.parametrize(
        "when",
        ["all: ['mark.state == \"compromised\"']", "all: [{listed: travellers}]", "all: ['travel.speed > 900.0']"],
    )
    def test_context_and_lists_may_deny(self, when: str) -> None:
        assert policy(rule("r", "deny", when=when), lists=LISTS)

    ALLOW = rule("typing", "allow", when="all: ['keystroke.outcome == \"match\"']")

    @pytest.mark.parametrize(
        "deny",
        [
            rule("no", "deny", when="all: ['failures.device >= 0']"),
            rule("no", "deny", when="all: ['failures.device < 1000000']"),
            rule("no", "deny", when="all: ['travel.speed > 900.0']"),
            rule("no", "step_up", "on_missing: deny", when="all: ['travel.speed > 900.0']"),
            rule("no", "step_up", "on_error: deny", when="all: ['travel.speed > 900.0']"),
            rule("no", "deny", "mode: shadow", "since: 2026-11-01", when="all: ['failures.device >= 0']"),
        ],
    )
    def test_a_deny_that_typing_above_it_could_spare_is_refused(self, deny: str) -> None:
        """Else a mismatch alone would turn that rule's answer into the deny."""
        with pytest.raises(
            PolicyInvalid, match=r"no denies by behaviour: typing above it reads .*; hint: move no up, above it; or"
        ):
            policy(self.ALLOW, deny)
        assert policy(deny, self.ALLOW)
        assert policy(self.ALLOW, deny, top="behavior_may_deny: true")

    def test_but_not_below_what_can_never_meet_it_or_decides_nothing(self) -> None:
        deny = rule("no", "deny", "scope: {clients: [bank]}", when="all: ['travel.speed > 900.0']")
        assert policy(self.ALLOW + ", scope: {clients: [wiki]}", deny)
        assert policy(self.ALLOW + ", mode: shadow, since: 2026-11-01", deny)
        assert policy(rule("known", "allow", when="all: ['device.state == \"known\"']"), deny)
        with pytest.raises(PolicyInvalid, match=r"no denies by behaviour"):
            policy(self.ALLOW + ", scope: {clients: [wiki, bank]}", deny)

    @given(st.data())
    @settings(deadline=None, max_examples=150)
    def test_pol5_in_a_file_without_the_flag_behaviour_never_turns_an_answer_into_a_deny(
        self, data: st.DataObject
    ) -> None:
        behaviour = [
            "keystroke.llr > 0.5",
            'keystroke.outcome == "match"',
            "profile.confirmed",
            "keystroke.llr * 2.0 > 1.0",
        ]
        context = ["travel.speed > 900.0", "failures.device >= 0", 'mark.state == "compromised"', 'client.id == "bank"']
        rules = []
        for index in range(data.draw(st.integers(1, 4))):
            leaves = data.draw(st.lists(st.sampled_from([*behaviour, *context, *context]), min_size=1, max_size=3))
            floors = [
                f"{key}: {word}"
                for key in ("on_error", "on_missing")
                if (word := data.draw(st.sampled_from(["", "skip", "step_up", "deny"])))
            ]
            written = ", ".join(f"'{leaf}'" for leaf in leaves)
            when = f"{data.draw(st.sampled_from(['all', 'any']))}: [{written}]"
            rules.append(
                rule(f"r{index}", data.draw(st.sampled_from(["allow", "step_up", "deny", "deny"])), *floors, when=when)
            )
        try:
            made = policy(*rules)
        except PolicyInvalid as refused:
            assert "denies by behaviour" in refused.message
            return
        around = {
            "travel.speed": data.draw(st.sampled_from([None, 1.0, 1000.0, "x"])),
            "failures.device": data.draw(st.sampled_from([None, 0, 5])),
            "mark.state": data.draw(st.sampled_from([None, "none", "compromised"])),
            "client.id": data.draw(st.sampled_from(["bank", "wiki"])),
        }
        denied = {
            decide(made, FACTS | around | {"keystroke.outcome": outcome, "keystroke.llr": llr, "profile.confirmed": sure}, NOW)
            .consequence.action is Action.DENY
            for outcome in ("match", "mismatch", "insufficient", None, 7)
            for llr in (None, -1.0, 2.0, "x")
            for sure in (True, False, None)
        }  # fmt: skip
        assert len(denied) == 1, rules

    @pytest.mark.parametrize("key", ["on_error: deny", "on_missing: deny"])
    def test_so_for_floors(self, key: str) -> None:
        with pytest.raises(PolicyInvalid, match="behavior_may_deny"):
            policy(rule("r", "step_up", key, when="all: ['keystroke.llr > 5.0']"))


def test_an_expression_that_stands_in_two_rules_is_evaluated_once() -> None:
    when = "all: ['keystroke.llr > 0.5']"
    verdict = decided(policy(rule("a", "step_up", when=when), rule("b", "step_up", when=when)))
    assert verdict.trace[0].leaves[0] is verdict.trace[1].leaves[0]


def test_what_cannot_matter_is_not_evaluated() -> None:
    verdict = decided(policy(rule("a", "step_up", when="all: ['keystroke.llr > 0.5', 'int(user.id) == 1']")))
    assert [leaf.expression for leaf in verdict.trace[0].leaves] == ["keystroke.llr > 0.5"]
    assert verdict.errors == ()


def test_the_same_policy_facts_and_moment_give_the_same_verdict() -> None:
    made = policy(rule("a", "trust", when="any: ['travel.speed > 1.0', 'keystroke.llr < 0.0']"), lists=LISTS)
    assert decided(made) == decided(made)


def test_the_audit_key() -> None:
    assert policy().audit_full == "error"
    assert policy(top="audit: {full: continue}").audit_full == "continue"
    with pytest.raises(PolicyInvalid, match="write continue, error"):
        policy(top="audit: {full: perhaps}")
