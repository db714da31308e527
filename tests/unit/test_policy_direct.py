"""Plain leaves are answered without the engine: exactly as the engine would (POL11)."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.policy.expressions import Leaf, compile_leaf, known
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


def without(leaf: Leaf) -> Leaf:
    """The same leaf, answered by the engine."""
    return Leaf(leaf.text, leaf.signals, leaf.at, leaf._compiled)


def both(text: str, facts: dict[str, Any]) -> tuple[str, str]:
    leaf = compile_leaf(text)
    assert leaf._direct is not None, text
    return leaf.evaluate(known(facts, NOW)).result, without(leaf).evaluate(known(facts, NOW)).result


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
    if shape(text) is None:  # then the engine is asked anyway
        return
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


@pytest.mark.parametrize(
    "text", ['client.id == "a\\n"', "travel.speed > 1000.0 && profile.confirmed", 'client.id == r"a"']
)
def test_other_forms_are_the_engines(text: str) -> None:
    assert compile_leaf(text)._direct is None
