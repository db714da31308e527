"""The policy language: every mistake is refused where it stands, and nothing unknown ever opens a door."""

import math
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.domain.biometrics import Cause
from sidecar.domain.decisions import STRICTNESS, Action, Effect
from sidecar.errors import PolicyInvalid
from sidecar.policy.evaluate import decide
from sidecar.policy.expressions import compile_leaf, known
from sidecar.policy.language import load, parse
from sidecar.policy.registry import SIGNALS
from sidecar.scoring.calibration import CHALLENGE_LLR
from sidecar.shipped import policy_directory

NOW = 1_795_000_000.0  # a day in November 2026
SHIPPED = policy_directory() / "default.yaml"
GOOD = SHIPPED.read_text()
FACTS: dict[str, Any] = {
    "action": "login",
    "client.id": "app",
    "keystroke.outcome": "match",
    "keystroke.llr": -2.0,
    "keystroke.confidence": 0.7,
    "keystroke.cause": None,
    "profile.state": "ready",
    "profile.samples": 15,
    "profile.confirmed": True,
    "provenance.username": "typed",
    "provenance.password": "typed",
    "provenance.usual": "typed",
    "risk.probability": 0.003,
}


def policy(
    rules: str = "[]", *, error: str = "step_up", match: str = "allow", extra: str = "", rest: str = "allow"
) -> Any:
    causes = "".join(f"    {cause}: {rest}\n" for cause in Cause)
    text = f"""schema: 1
id: test
prior: 0.02
bands: {{keystroke: {{mismatch_from: 0.8}}}}
{extra}
rules: {rules}
outcomes:
  match: {match}
  mismatch: {rest}
  insufficient: {{none: {rest}, learning: {rest}, stale: {rest}}}
  unavailable:
{causes}
  error: {error}
"""
    return parse(text.encode())


def rule(name: str, expression: str, then: str, joint: str = "all") -> str:
    return f"{{id: {name}, when: {{{joint}: ['{expression}']}}, then: {then}}}"


def rules(*made: str) -> str:
    return "[" + ", ".join(made) + "]"


MISTAKES: dict[str, tuple[str, str, int, str]] = {
    # what: (old text, new text, line where it stands (0: the replaced text's), part of the message)
    "schema 2": ("schema: 1", "schema: 2", 0, "schema: 1"),
    "unknown key": ("prior: 0.02", "prior: 0.02\npriority: 3", 1, "unknown key 'priority'"),
    "key twice": ("prior: 0.02", "prior: 0.02\nprior: 0.3", 1, "twice"),
    "no id": ("id: balanced\n", "", -1, "needs 'id'"),
    "id a number": ("id: balanced", "id: 7", 0, "must be a text"),
    "id empty": ("id: balanced", 'id: ""', 0, "must be a text"),
    "prior 0": ("prior: 0.02", "prior: 0.0", 0, "from 0.0001 to 0.5"),
    "prior 1": ("prior: 0.02", "prior: 1", 0, "from 0.0001 to 0.5"),
    "prior a text": ("prior: 0.02", "prior: low", 0, "must be a number"),
    "prior nan": ("prior: 0.02", "prior: .nan", 0, "must be a number"),
    "prior infinite": ("prior: 0.02", "prior: .inf", 0, "must be a number"),
    "prior true": ("prior: 0.02", "prior: true", 0, "must be a number"),
    "band impossible": ("mismatch_from: 0.8", "mismatch_from: 90", 0, "from -6.0 to 6.0"),
    "band a list": ("  keystroke:\n", "  keystroke: []\n  x:\n", 0, "bands.keystroke must be a mapping"),
    "unknown band": ("mismatch_from: 0.8", "mismatch_from: 0.8\n    match_to: 1", 1, "unknown key"),
    "rule without when": ("    when:\n      all: [", "    unless:\n      all: [", 0, "unknown key 'unless'"),
    "when a text": ("    when:\n      all: ['keystroke", "    when: now\n    x:\n      all: ['keystroke", 0, "a condition is one"),
    "when empty": ("all: ['keystroke.outcome == \"mismatch\"']", "all: []", 0, "at least one"),
    "two joints": ("all: ['keystroke", "any: ['action == \"login\"']\n      all: ['keystroke", -1, "one of all:, any:, not:"),
    "unknown joint": ("all: ['keystroke", "none: ['keystroke", -1, "one of all:, any:, not:"),
    "not of two": ("all: ['keystroke", "not: ['client.id == \"x\"', 'keystroke", 0, "exactly one"),
    "unknown signal": ("keystroke.outcome ==", "keystroke.outcom ==", 0, "undeclared reference"),
    "int for double": ("'keystroke.outcome == \"mismatch\"'", "'keystroke.llr > 1'", 0, "1.0 for a double"),
    "double for int": ("'keystroke.outcome == \"mismatch\"'", "'profile.samples > 1.5'", 0, "1.0 for a double"),
    "text for bool": ("'keystroke.outcome == \"mismatch\"'", "'profile.confirmed == \"yes\"'", 0, "different types"),
    "no question": ("'keystroke.outcome == \"mismatch\"'", "'keystroke.llr + 1.0'", 0, "yes-or-no"),
    "has()": ("'keystroke.outcome == \"mismatch\"'", "'has(keystroke.llr)'", 0, "has()"),
    "syntax": ("'keystroke.outcome == \"mismatch\"'", "'keystroke.outcome = 1'", 0, "a single = means nothing"),
    "empty leaf": ("'keystroke.outcome == \"mismatch\"'", "''", 0, "Syntax error"),
    "leaf a number": ("['keystroke.outcome == \"mismatch\"']", "[7]", 0, "one of all:, any:, not:"),
    "leaf true": ("['keystroke.outcome == \"mismatch\"']", "[true]", 0, "one of all:, any:, not:"),
    "leaf null": ("['keystroke.outcome == \"mismatch\"']", "[null]", 0, "one of all:, any:, not:"),
    "rule id twice": ("id: usually-filled", "id: keystroke-mismatch", 0, "unique"),
    "rule id of an outcome": ("id: usually-filled", "id: outcome.match", 0, "no dot"),
    "action unknown": ("    then: allow", "    then: challenge", 0, "no action"),
    "action a list": ("    then: allow", "    then: [allow]", 0, "mapping"),
    "action null": ("    then: allow", "    then:", 0, "mapping"),
    "acr for allow": ("    then: allow", "    then: {action: allow, acr_values: x}", 0, "only step_up"),
    "effect unknown": ("    then: allow", "    then: {action: allow, effects: [explode]}", 0, "effects are"),
    "effects empty": ("    then: allow", "    then: {action: allow, effects: []}", 0, "at least one"),
    "rules a map": ("rules:\n", "rules: {}\nx:\n", 1, "unknown key 'x'"),
    "cause unknown": ("    pasted: step_up", "    pasted: step_up\n    tired: step_up", 1, "unknown key 'tired'"),
    "outcome unknown": ("  error: step_up", "  error: step_up\n  maybe: allow", 1, "unknown key 'maybe'"),
    "state ready named": ("    stale: step_up", "    stale: step_up\n    ready: allow", 1, "unknown key 'ready'"),
    "anchor": ("    then: allow", "    then: &a allow", 0, "anchors"),
    "alias": ("prior: 0.02", "prior: *a", 0, "anchors"),
    "merge key": ("  error: step_up", "  <<: *x\n  error: step_up", 0, "merge keys"),
    "tab": ("prior: 0.02", "\tprior: 0.02", 0, "not YAML"),
    "unclosed": ("prior: 0.02", "prior: [0.02", 1, "not YAML"),
    "python tag": ("prior: 0.02", "prior: !!python/object/apply:os.system [ls]", 0, "tags are not allowed"),
    "key a list": ("prior: 0.02", "prior: 0.02\n[a, b]: 1", 1, "unknown key"),
    "second document": ("schema: 1", "a: 1\n---\nschema: 1", 1, "another document"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "message"), MISTAKES.values(), ids=list(MISTAKES))
def test_pol1_each_mistake_is_refused_with_file_line_and_column(old: str, new: str, line: int, message: str) -> None:
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    with pytest.raises(PolicyInvalid) as refused:
        parse(text.encode(), "policies/mine.yaml")
    told = [line.split(":", 3) for line in refused.value.message.splitlines()]
    assert all(name == "policies/mine.yaml" and int(row) >= 1 and int(column) >= 1 for name, row, column, _ in told)
    rows = [int(row) for _, row, _, said in told if message in said]
    assert rows, refused.value.message
    assert message
    if line >= 0:
        expected = GOOD[: GOOD.index(old)].count("\n") + 1 + line
        assert any(abs(row - expected) <= 1 for row in rows), refused.value.message


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"null", b"[]", b"7", b"\xff\xfe", b"\0", b"a" * (1024 * 1024 + 1), b"{" * 700, b"[" * 700,
        b"&a [*a]", b"%YAML 9.9\n---\na: 1", b"? {a: b}\n: c", b"? [a]\n: b\n? [a]\n: c",
        b"!x y", b"--- !<tag:x> {}", b"a: !!binary x",
    ],
)  # fmt: skip
def test_whatever_is_no_policy_is_refused_with_a_place(raw: bytes) -> None:
    with pytest.raises(PolicyInvalid, match=r"^p:\d+:\d+: "):
        parse(raw, "p")


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@settings(deadline=None, max_examples=60)
def test_arbitrary_bytes_are_refused_not_crashed_on(raw: bytes) -> None:
    with pytest.raises(PolicyInvalid):
        parse(raw, "p")


@given(st.integers(0, len(GOOD) - 1), st.text(max_size=3), st.integers(0, 3))
@settings(deadline=None, max_examples=60)
def test_the_shipped_policy_with_a_scratch_parses_or_is_refused(at: int, put: str, cut: int) -> None:
    try:
        parse((GOOD[:at] + put + GOOD[at + cut :]).encode(errors="replace"), "p")
    except PolicyInvalid as refused:
        assert refused.message.startswith("p:")


REQUIRED = [f"    {cause}: step_up\n" for cause in Cause] + [
    f"{' ' * indent}{name}: {action}\n"
    for indent, name, action in [
        (4, "none", "step_up"),
        (4, "learning", "step_up"),
        (4, "stale", "step_up"),
        (2, "match", "allow"),
        (2, "mismatch", "step_up"),
        (2, "error", "step_up"),
    ]
]


@pytest.mark.parametrize("line", REQUIRED, ids=[line.strip() for line in REQUIRED])
def test_sco2_every_outcome_state_and_cause_must_be_named(line: str) -> None:
    assert GOOD.count(line) == 1
    with pytest.raises(PolicyInvalid, match=f"needs '{line.strip().partition(':')[0]}'"):
        parse(GOOD.replace(line, "").encode())


@pytest.mark.parametrize(
    "where", ["    then: step_up", "  mismatch: step_up", "    pasted: step_up", "  error: step_up"]
)
def test_pol5_deny_must_be_enabled_in_so_many_words(where: str) -> None:
    denying = GOOD.replace(where, where.replace("step_up", "deny"), 1)
    with pytest.raises(PolicyInvalid, match="behavior_may_deny: true"):
        parse(denying.encode())
    for lukewarm in ('"true"', "yes", "1", "false", "null", '"yes"', "[]"):
        with pytest.raises(PolicyInvalid, match="behavior_may_deny"):
            parse((denying + f"\nbehavior_may_deny: {lukewarm}\n").encode())
    assert parse((denying + "\nbehavior_may_deny: true\n").encode())


def test_pol5_the_shipped_policy_never_denies() -> None:
    shipped = load(SHIPPED)
    actions = {rule.then.action for rule in shipped.rules} | {then.action for then in shipped.outcomes.values()}
    assert actions == {Action.ALLOW, Action.STEP_UP}


@pytest.mark.parametrize("cause", Cause)
def test_sco2_the_shipped_policy_asks_for_a_second_factor_for_every_cause(cause: Cause) -> None:
    facts = FACTS | {"keystroke.outcome": "unavailable", "keystroke.cause": str(cause), "keystroke.llr": None}
    verdict = decide(load(SHIPPED), facts, NOW)
    assert (verdict.consequence.action, verdict.rule_id) == (Action.STEP_UP, f"outcome.unavailable.{cause}")
    assert verdict.consequence.factor == "second_factor"


@pytest.mark.parametrize(
    ("changed", "rule_id", "action"),
    [
        ({}, "outcome.match", "allow"),
        ({"profile.confirmed": False}, "unconfirmed-profile", "step_up"),
        ({"keystroke.outcome": "mismatch", "keystroke.llr": 2.0}, "keystroke-mismatch", "step_up"),
        ({"keystroke.outcome": "insufficient", "profile.state": "none"}, "outcome.insufficient.none", "step_up"),
        (
            {"keystroke.outcome": "insufficient", "profile.state": "learning"},
            "outcome.insufficient.learning",
            "step_up",
        ),
        ({"keystroke.outcome": "insufficient", "profile.state": "stale"}, "outcome.insufficient.stale", "step_up"),
        (
            {
                "keystroke.outcome": "unavailable",
                "keystroke.cause": "filled",
                "provenance.password": "filled",
                "provenance.usual": "filled",
            },
            "usually-filled",
            "allow",
        ),
        (
            {
                "keystroke.outcome": "unavailable",
                "keystroke.cause": "pasted",
                "provenance.password": "pasted",
                "provenance.usual": "filled",
            },
            "outcome.unavailable.pasted",
            "step_up",
        ),
        (
            {"keystroke.outcome": "mismatch", "provenance.password": "filled", "provenance.usual": "filled"},
            "keystroke-mismatch",
            "step_up",
        ),
    ],
)
def test_the_shipped_policy_word_by_word(changed: dict[str, Any], rule_id: str, action: str) -> None:
    verdict = decide(load(SHIPPED), FACTS | changed, NOW)
    assert (verdict.rule_id, verdict.consequence.action) == (rule_id, action)


def test_the_first_rule_that_is_true_decides_and_the_rest_is_not_looked_at() -> None:
    made = policy(
        rules(rule("a", 'client.id == "other"', "step_up"), rule("b", "true", "allow"), rule("c", "true", "step_up"))
    )
    verdict = decide(made, FACTS, NOW)
    assert verdict.rule_id == "b"
    assert [entry.rule_id for entry in verdict.trace] == ["a", "b"]


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("joint", ["all", "any", "not"])
@pytest.mark.parametrize(
    "expression",
    [
        "keystroke.llr > 0.5",
        "keystroke.llr <= 0.5",
        "!(keystroke.llr > 0.5)",
        "keystroke.llr == keystroke.deciding_llr",
        "!(keystroke.llr != keystroke.llr * 1.0)",
        "!(keystroke.llr != 0.0)",
        "keystroke.llr > 0.5 ? false : true",
        "keystroke.llr > 0.5 || keystroke.llr <= 0.5",
        "!(keystroke.llr > 0.5) && profile.confirmed",
        "[keystroke.llr].all(x, x < 9.0)",
        "!([keystroke.llr].exists(x, x > 9.0))",
        "string(keystroke.llr) != \"1\"",
        "keystroke . llr <= 0.5",
    ],
)  # fmt: skip
def test_pol11_what_is_not_known_is_never_a_pass(expression: str, joint: str, value: float | None) -> None:
    made = policy(rules(rule("r", expression, "allow", joint)), match="step_up", rest="step_up")
    for facts in (FACTS | {"keystroke.llr": value}, {k: v for k, v in FACTS.items() if k != "keystroke.llr"}):
        verdict = decide(made, facts, NOW)
        assert verdict.trace[0].result == "missing"
        assert verdict.consequence.action is Action.STEP_UP


NUMBERS = [name for name, signal in SIGNALS.items() if signal.type == "double"]
LEAVES = st.sampled_from(NUMBERS).flatmap(
    lambda name: st.builds(
        lambda sign, number, negate: f"{'!' if negate else ''}({name} {sign} {number:.2f})",
        st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
        st.floats(SIGNALS[name].low if SIGNALS[name].low is not None else -6.0, SIGNALS[name].high or 6.0),
        st.booleans(),
    )
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"all": parts}),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"any": parts}),
        inner.map(lambda part: {"not": [part]}),
    ),
    max_leaves=6,
).map(lambda tree: {"all": [tree]} if isinstance(tree, str) else tree)
VALUES = st.floats(allow_nan=True, allow_infinity=True) | st.none()
TRUTHS = {"true": True, "false": False}


@given(TREES, st.fixed_dictionaries(dict.fromkeys(NUMBERS, VALUES)))
@settings(deadline=None, max_examples=120)
def test_pol11_a_condition_is_true_only_if_no_value_of_what_is_missing_could_make_it_false(
    tree: Any, numbers: dict[str, float | None]
) -> None:
    """Kleene: a result is true or false only where it would be the same whatever the missing leaves were."""
    import json

    made = policy(f"[{{id: r, when: {json.dumps(tree)}, then: allow}}]", match="step_up")
    verdict = decide(made, FACTS | numbers, NOW)
    seen = known(FACTS | numbers, NOW)
    leaves = {text: compile_leaf(text).evaluate(seen) for text in texts(tree)}
    for leaf in leaves.values():
        value = numbers[next(iter(leaf.values))]
        assert (leaf.result == "missing") == (value is None or not math.isfinite(value))
    unknown = [text for text, leaf in leaves.items() if leaf.result not in TRUTHS]
    possible = set()
    for guess in product([True, False], repeat=len(unknown)):
        truths = {text: TRUTHS.get(leaf.result, False) for text, leaf in leaves.items()}
        possible.add(plain(tree, truths | dict(zip(unknown, guess, strict=True))))
    if verdict.trace[0].result in TRUTHS:
        assert possible == {TRUTHS[verdict.trace[0].result]}
    else:
        assert verdict.rule_id == "outcome.match"


def texts(tree: Any) -> list[str]:
    if isinstance(tree, str):
        return [tree]
    return [text for parts in tree.values() for part in parts for text in texts(part)]


def plain(tree: Any, truths: dict[str, bool]) -> bool:
    if isinstance(tree, str):
        return truths[tree]
    ((joint, parts),) = tree.items()
    found = [plain(part, truths) for part in parts]
    return all(found) if joint == "all" else any(found) if joint == "any" else not found[0]


ERRORS = [
    "[1, 2][profile.samples] == 1", "1 / (profile.samples - 15) == 1", "int(client.id) == 3", "!(1 % (profile.samples - 15) == 1)",
    'client.id.matches(client.id + "(")', "!(1.0 / (keystroke.llr + 2.0) > 1.0)", "double(client.id) > 1.0",
]  # fmt: skip


@pytest.mark.parametrize("expression", ERRORS)
@pytest.mark.parametrize("joint", ["all", "any", "not"])
@pytest.mark.parametrize(
    ("error", "match"), [("step_up", "allow"), ("allow", "step_up"), ("step_up", "step_up"), ("deny", "allow")]
)
def test_pol11_an_error_never_makes_the_answer_more_permissive(
    expression: str, joint: str, error: str, match: str
) -> None:
    made = policy(
        rules(rule("broken", expression, "allow", joint)), error=error, match=match, extra="behavior_may_deny: true"
    )
    verdict = decide(made, FACTS, NOW)
    assert verdict.errors == ("broken",)
    wanted = max(STRICTNESS[Action(error)], STRICTNESS[Action(match)])
    assert STRICTNESS[verdict.consequence.action] == wanted


def test_pol11_an_error_before_a_rule_that_allows_still_counts() -> None:
    made = policy(rules(rule("broken", "int(client.id) == 1", "allow"), rule("open", "true", "allow")))
    verdict = decide(made, FACTS, NOW)
    assert (verdict.rule_id, verdict.consequence.action) == ("outcome.error", Action.STEP_UP)


@pytest.mark.parametrize(
    ("expression", "truth"),
    [
        ('client.id.startsWith("ap")', "true"),
        ('client.id.endsWith("x")', "false"),
        ('client.id.contains("p")', "true"),
        ("size(client.id) == 3", "true"),
        ('client.id in ["app", "web"]', "true"),
        ("client . id == 'app'", "true"),
        ('client.id == "keystroke.llr"', "false"),
        ("risk.probability<0.5", "true"),
        ("!profile.confirmed", "false"),
        ('keystroke.outcome=="match"&&profile.samples>=10', "true"),
    ],
)
def test_leaves_read_the_signals_they_name_however_it_is_written(expression: str, truth: str) -> None:
    """``client.id.startsWith(...)`` compiled, and was then an error at every login: the name was not recognised."""
    leaf = compile_leaf(expression)
    assert leaf.evaluate(known(FACTS, NOW)).result == truth
    assert len(leaf.signals) in (1, 2)


def test_a_text_that_looks_like_a_signal_is_not_read() -> None:
    assert compile_leaf('client.id == "keystroke.llr"').signals == ("client.id",)


def test_consequences_as_written() -> None:
    made = policy(rules(rule("r", "true", "{action: step_up, acr_values: gold, effects: [notify, revoke_all]}")))
    verdict = decide(made, FACTS, NOW)
    assert verdict.consequence.acr_values == "gold"
    assert verdict.consequence.factor is None
    assert verdict.consequence.effects == (Effect.NOTIFY, Effect.REVOKE_ALL)


def test_a_policy_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(PolicyInvalid, match="cannot be read"):
        load(tmp_path / "none.yaml")
    with pytest.raises(PolicyInvalid, match="cannot be read"):
        load(tmp_path)


def test_the_shipped_threshold_is_the_one_that_was_chosen() -> None:
    """The figure in the policy file and the one whose choice is written down must not drift apart."""
    assert load(policy_directory() / "default.yaml").mismatch_from == CHALLENGE_LLR
