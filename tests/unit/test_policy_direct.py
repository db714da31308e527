"""What is answered without the engine is answered as the engine would, but for what CEL says of unknowns and of NaN (POL11)."""

import math
from typing import Any

import pytest
from cel_expr_python import cel
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.policy.expressions import ExpressionInvalid, compile_leaf, known
from sidecar.policy.registry import SIGNALS, examples
from sidecar.policy.shapes import shape

NOW = 1_795_000_000.0
ODD: dict[str, list[Any]] = {
    "bool": [True, False],
    "int": [0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)],
    "double": [0.0, -0.0, 0.1, 0.30000000000000004, 1e-308, 5e-324, 1.7976931348623157e308, -1.5, 3],
    "string": ["", "a", "A", "ä", "\u00e4x", "\U0001f600", "\ue000", "a\0b", "match", " "],
    "strings": [[], ["a"], ["a", "ä"], [""]],
}
SPOILT: list[Any] = [
    None,
    float("nan"),
    math.inf,
    2**63,
    "\ud800",
    [1],
    {},
    b"x",
    object(),
    True,
    1,
    1.0,
    "x",
    ["x", 2],
]


TYPES = {
    "bool": cel.Type.BOOL,
    "int": cel.Type.INT,
    "double": cel.Type.DOUBLE,
    "string": cel.Type.STRING,
    "strings": cel.Type.List(cel.Type.STRING),
}
ENVIRONMENT = cel.NewEnv(variables={name: TYPES[signal.type] for name, signal in SIGNALS.items()})


def engine(text: str, facts: dict[str, Any]) -> str:
    """What bare CEL says: true, false, missing or error."""
    seen = known(facts, NOW)
    if any(name in text for name in seen.broken):
        return "error"
    given = {name: value for name, value in seen.values.items() if value is not None}
    said = ENVIRONMENT.compile(text).eval(data=given)
    if said.type() != cel.Type.ERROR:
        return str(said.value()).lower()
    return "missing" if "No value with name" in str(said.value()) else "error"


def both(text: str, facts: dict[str, Any]) -> tuple[str, str]:
    return compile_leaf(text).evaluate(known(facts, NOW)).result, engine(text, facts)


def literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    return f"{value:.6f}" if isinstance(value, float) else str(value)


@st.composite
def plain(draw: st.DrawFn) -> tuple[str, str]:
    """A plain leaf over any signal, and the signal's name."""
    signal = draw(st.sampled_from(list(SIGNALS.values())))
    name = signal.name
    if signal.type == "strings":
        text = f'"{draw(st.sampled_from(["a", "b", "ä"]))}" in {name}'
    elif signal.type == "bool":
        text = draw(st.sampled_from([name, f"{name} == true", f"{name} != false", f"false == {name}"]))
    else:
        values = [value for value in examples(signal) if not isinstance(value, tuple)]
        if signal.type == "string":
            one = draw(st.sampled_from([literal(value) for value in values] + (['"ä"'] if not signal.values else [])))
            operators = ["==", "!=", "<", ">="]
        else:
            number = draw(st.sampled_from(values))
            one = f"{float(number):.3f}" if signal.type == "double" else str(int(number))  # type: ignore[arg-type]
            operators = ["==", "!=", "<", "<=", ">", ">="]
        compare = draw(st.sampled_from(operators))
        text = draw(
            st.sampled_from([f"{name} {compare} {one}", f"{one} {compare} {name}", f"{name} in [{one}, {one}]"])
        )
    if draw(st.booleans()):
        text = f"!({text})"
    return text, name


@given(plain(), st.data())
@settings(deadline=None, max_examples=600)
def test_pol11_a_plain_leaf_says_what_the_engine_says(drawn: tuple[str, str], data: st.DataObject) -> None:
    text, name = drawn
    assert shape(compile_leaf(text).node) is not None
    kind = SIGNALS[name].type
    value = data.draw(st.sampled_from([*ODD[kind], *examples(SIGNALS[name]), *SPOILT]))
    direct, engine = both(text, {name: value})
    assert direct == engine, (text, value)


@pytest.mark.parametrize(
    ("text", "facts", "truth"),
    [
        ("failures.device >= 5", {"failures.device": 5}, "true"),
        ("failures.device >= 5", {}, "missing"),
        ("failures.device >= 5", {"failures.device": "5"}, "error"),
        ("!(travel.speed > 1000.0)", {"travel.speed": math.nan}, "missing"),
        ("!(travel.speed > 1000.0)", {"travel.speed": 10}, "true"),
        ('device.state in ["known", "new"]', {"device.state": "none"}, "false"),
        ('"admins" in user.groups', {"user.groups": ["admins"]}, "true"),
        ('"admins" in user.groups', {"user.groups": None}, "missing"),
        ("!profile.confirmed", {"profile.confirmed": False}, "true"),
        ('"b" > client.id', {"client.id": "a"}, "true"),
    ],
)
def test_pol11_known_answers(text: str, facts: dict[str, Any], truth: str) -> None:
    assert both(text, facts) == (truth, truth)


@pytest.mark.parametrize(
    "text", ['client.id == "a"', 'client.id != "b"', 'client.id.startsWith("a")', '"a" in user.groups']
)
def test_pol11_a_text_with_a_zero_in_it_is_an_error_and_never_its_beginning(text: str) -> None:
    facts = {"client.id": "a\0b", "user.groups": ["a\0b"]}
    assert compile_leaf(text).evaluate(known(facts, NOW)).result == "error"


WHOLE = ("failures.device", "profile.samples")
INTS = st.recursive(
    st.sampled_from([*WHOLE, "1", "2", "-3", "0", "7", "9223372036854775807"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/%"), inner).map(lambda made: f"({made[0]} {made[1]} {made[2]})"),
        inner.map(lambda made: f"-({made})"),
    ),
    max_leaves=4,
)
DOUBLES = st.recursive(
    st.sampled_from(["travel.speed", "session.age", "1.5", "-2.0", "0.0", "1e300", "double(failures.device)"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda made: f"({made[0]} {made[1]} {made[2]})"),
        inner.map(lambda made: f"-({made})"),
        inner.map(lambda made: f"(profile.confirmed ? {made} : 1.0)"),
    ),
    max_leaves=4,
)
TEXTS = st.sampled_from(["client.id", "user.id", '"a"', '(client.id + "b")', '(profile.confirmed ? "a" : user.id)'])
QUESTIONS = st.recursive(
    st.one_of(
        *(
            st.tuples(kind, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), kind).map(" ".join)
            for kind in (INTS, DOUBLES, TEXTS)
        ),
        st.sampled_from(
            [
                "profile.confirmed", "profile.confirmed == network.changed", "client.id in user.groups", "int(client.id) > 1",
                'user.groups.exists(g, g == "a")', 'client.id.startsWith("a")', "size(user.groups) > failures.device",
                "size(client.id) == 1",
                'user.id.contains("a")', "(client.id + user.id).endsWith(user.id)", 'client.id.matches("^a")',
                "double(client.id) > 0.5", '"a" in user.groups', 'client.id in ["a", "7"]', 'user.groups[failures.device] == "a"',
                "user.groups.all(g, failures.device > 0 && int(g) > 0)", "user.groups == [client.id]",
            ]
        ),
    ),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(lambda made: f"({made[0]} {made[1]} {made[2]})"),
        inner.map(lambda made: f"!({made})"),
        st.tuples(inner, inner, inner).map(lambda made: f"({made[0]} ? {made[1]} : {made[2]})"),
    ),
    max_leaves=4,
)  # fmt: skip
KNOWN_FACTS = st.fixed_dictionaries(
    {"failures.device": st.sampled_from([0, 1, 2, 2**63 - 1]), "profile.samples": st.sampled_from([0, 3, -(2**63)]),
     "travel.speed": st.sampled_from([0.0, 0.5, 1e300]), "session.age": st.sampled_from([0.0, 2.5, 1e10]),
     "client.id": st.sampled_from(["a", "7", "nan", "inf", ""]), "user.id": st.sampled_from(["a", "b"]),
     "profile.confirmed": st.booleans(), "network.changed": st.booleans(),
     "user.groups": st.sampled_from([[], ["a"], ["7", "a"]])}
)  # fmt: skip


@given(QUESTIONS, KNOWN_FACTS)
@settings(deadline=None, max_examples=200)
def test_pol11_over_known_facts_the_engine_says_the_same_or_met_a_number_that_is_not_finite(
    text: str, facts: dict[str, Any]
) -> None:
    try:
        leaf = compile_leaf(text)
    except ExpressionInvalid as refused:
        assert "finite" in str(refused) or "recursion" in str(refused)
        return
    found, engines = leaf.evaluate(known(facts, NOW)).result, engine(text, facts)
    # An error of ours where CEL goes on stems from NaN or an infinite number; never the other way round.
    assert found in (engines, "error"), (text, facts)
    if found == "error" != engines:
        assert "/" in text or "1e300" in text or "double(client.id)" in text or "travel.speed" in text


@given(
    QUESTIONS,
    KNOWN_FACTS,
    st.sets(st.sampled_from(["failures.device", "travel.speed", "client.id", "profile.confirmed"])),
)
@settings(deadline=None, max_examples=150)
def test_pol11_losing_values_never_turns_an_answer_round(text: str, facts: dict[str, Any], lost: set[str]) -> None:
    try:
        leaf = compile_leaf(text)
    except ExpressionInvalid:
        return
    before = leaf.evaluate(known(facts, NOW)).result
    after = leaf.evaluate(known({name: value for name, value in facts.items() if name not in lost}, NOW)).result
    assert after in (before, "missing", "error")
    turned = compile_leaf(f"!({text})").evaluate(known(facts, NOW)).result
    assert turned == {"true": "false", "false": "true"}.get(before, before)


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("keystroke.llr / keystroke.confidence > 2.0", {"keystroke.llr": 0.0, "keystroke.confidence": 0.0}),
        ("keystroke.llr / keystroke.confidence == 2.0", {"keystroke.llr": 1.0, "keystroke.confidence": 0.0}),
        ("1.0 / (travel.speed / session.age) == 0.0", {"travel.speed": 1.0, "session.age": 0.0}),
        ("travel.speed * 1e300 - travel.speed * 1e300 > 1.0", {"travel.speed": 1e300}),
        ("double(user.id) > 5.0", {"user.id": "nan"}),
        ("double(user.id) < 5.0", {"user.id": "-inf"}),
        ("double(user.id) * 2.0 < 5.0", {"user.id": "1e308"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("written", ["{}", "!({})", "!({}) || profile.confirmed", "profile.confirmed || ({})"])
def test_pol11_a_number_that_is_not_finite_is_an_error_under_negation_too(
    text: str, facts: dict[str, Any], written: str
) -> None:
    leaf = compile_leaf(written.format(text))
    assert leaf.evaluate(known(facts | {"profile.confirmed": False}, NOW)).result == "error"


@pytest.mark.parametrize(
    "text",
    [
        "string(keystroke.llr / 0.5) != \"1\"", "[keystroke.llr].exists(x, x / 0.5 > 1.0)", "[double(user.id)].all(x, !(x > 1.0))",
        "dyn(keystroke.llr) / dyn(0.5) == 1.0", "{'a': keystroke.llr * 2.0}['a'] > 1.0", "string(double(user.id)) != 'x'",
    ],
)  # fmt: skip
def test_pol11_arithmetic_is_refused_where_its_result_would_not_be_looked_at(text: str) -> None:
    with pytest.raises(ExpressionInvalid, match="no finite number"):
        compile_leaf(text)


@pytest.mark.parametrize(
    ("text", "facts", "truth"),
    [
        ("failures.device > 3 || int(user.id) > 3", {"user.id": "x"}, "error"),
        ("int(user.id) > 3 || failures.device > 3", {"user.id": "x"}, "error"),
        ("failures.device > 3 && int(user.id) > 3", {"user.id": "x"}, "error"),
        ("failures.device > 3 && int(user.id) > 3", {"user.id": "x", "failures.device": 1}, "false"),
        ("failures.device > 3 || int(user.id) > 3", {"user.id": "x", "failures.device": 4}, "true"),
        ("failures.device > int(user.id)", {"user.id": "x"}, "error"),
        ("failures.device > 3 ? int(user.id) > 3 : true", {"user.id": "x"}, "error"),
        ("failures.device > 3 ? profile.confirmed : profile.confirmed", {"profile.confirmed": True}, "true"),
        ("[failures.device, int(user.id)].exists(x, x > 3)", {"user.id": "x"}, "error"),
        ("[int(user.id), failures.device].exists(x, x > 3)", {"user.id": "x"}, "error"),
        ("user.groups.exists(g, failures.device > 3 || int(g) > 3)", {"user.groups": ["x"]}, "error"),
        ("user.groups.exists(g, int(g) > 3 || failures.device > 3)", {"user.groups": ["x"]}, "error"),
        ('user.groups.exists(g, failures.device > 3 || g == "x")', {"user.groups": ["x"]}, "true"),
        ('user.groups.exists(g, failures.device > 3 || g == "x")', {"user.groups": ["y"]}, "missing"),
        ("client.id.startsWith(user.id)", {"user.id": "x"}, "missing"),
    ],
)
def test_pol11_an_error_outweighs_a_missing_value_in_whatever_order(
    text: str, facts: dict[str, Any], truth: str
) -> None:
    assert compile_leaf(text).evaluate(known(facts, NOW)).result == truth


def test_a_variable_of_a_macro_is_no_signal_although_it_is_called_like_one() -> None:
    leaf = compile_leaf('user.groups.exists(action, action == "login")')
    assert leaf.signals == ("user.groups",)
    assert leaf.evaluate(known({"user.groups": ["login"]}, NOW)).result == "true"
