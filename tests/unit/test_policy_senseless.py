"""Expressions that compile and cannot be meant are refused where they are wrong; what can be meant is taken (POL1)."""

import pytest

from sidecar.policy.countries import COUNTRIES
from sidecar.policy.expressions import ExpressionInvalid, compile_leaf
from sidecar.policy.registry import SIGNALS
from sidecar.policy.senseless import doubts, refuse_senseless
from sidecar.scoring.calibration import LIMIT

# expression: (the text at whose first character it is refused, part of the message, part of the hint)
REFUSED = {
    'network.country == "de"': ("==", "no country", "did you mean DE?"),
    'network.country in ["NO", "UK"]': ("in [", "'UK' is no country", "did you mean GB?"),
    'network.country == "EU"': ("==", "no country", "one by one"),
    'network.country != "Norway"': ("!=", "no country", "two capitals"),
    'network.address == "192.0.2.0/24"': ("==", "never the network", "listed: NAME"),
    'network.address in ["10.0.0.*"]': ("in [", "never the network", "listed: NAME"),
    'failures.device in ["five", 5]': ("[", "several types", "the signal's type"),
    "failures.device in [true, 5]": ("[", "several types", "the signal's type"),
    "profile.confirmed in [0, true]": ("[", "several types", "the signal's type"),
    "keystroke.llr in [1, 1.5]": ("[", "several types", "the signal's type"),
    'keystroke.llr > double("nan")': ("(", "error at every login", "depends on the login"),
    'session.age > double("1e400")': ("(", "error at every login", "depends on the login"),
    'int("x") == 1 || profile.confirmed': ("(", "error at every login", "depends on the login"),
    "profile.confirmed && 1 / 0 == 1": ("/", "error at every login", "depends on the login"),
    "failures.device / 0 > 1": ("/", "division by zero", "something else"),
    "!(keystroke.llr / 0.0 > 1.0)": ("/", "division by zero", "something else"),
    "failures.device % 0 == 1": ("%", "division by zero", "something else"),
    "[1][7] == failures.device": ("[7]", "error at every login", "depends on the login"),
    '{"a": 1}["b"] == failures.device': ('["b"]', "error at every login", "depends on the login"),
    "1 == 1": ("==", "the same for every login", "true alone"),
    "!true": ("true", "the same for every login", "true alone"),
    "keystroke.llr > 1.0 || true": ("true", "the same for every login", "leave it out"),
    "keystroke.llr > 1.0 && false": ("false", "the same for every login", "leave it out"),
    "true ? profile.confirmed : false": ("true", "the same for every login", "leave it out"),
    "[1, 2].exists(x, x > 1)": ("(x", "the same for every login", "leave it out"),
    'timestamp("2026-01-01T00:00:00Z") < timestamp("2027-01-01T00:00:00Z")': ("<", "the same for every login", "leave it out"),
    "keystroke.llr == keystroke.llr": ("==", "both sides", "another signal"),
    "keystroke.confidence > 1.5 && profile.confirmed": ("> 1.5", "between 0 and 1", "that the signal can have"),
    "risk.probability > 95.0": (">", "between 0 and 1", "95.0 percent are 0.95"),
    "time.unusual >= 22.0": (">=", "between 0 and 1", "0.22"),
    "keystroke.llr > 100.0": (">", "between -6 and 6", "that the signal can have"),
    "failures.device == -1": ("==", "0 and above", "that the signal can have"),
    "((mark.state == \"lost\"))": ("==", "never 'lost'", "that the signal can have"),
    '"lost" != mark.state': ("!=", "never 'lost'", "that the signal can have"),
    'profile.confirmed && mark.state == "lost"': ("== \"lost", "never 'lost'", "that the signal can have"),
    'mark.state == "safe" || mark.state == "lost"': ("== \"lost", "never 'lost'", "that the signal can have"),
    'profile.confirmed ? mark.state == "lost" : false': ("==", "never 'lost'", "that the signal can have"),
    'user.groups.exists(g, mark.state == "lost")': ("==", "never 'lost'", "that the signal can have"),
    'keystroke.outcome == "Mismatch"': ("==", "never 'Mismatch'", "did you mean mismatch?"),
    'keystroke.outcome == "MATCH"': ("==", "never 'MATCH'", "did you mean match?"),
    'keystroke.outcome < "match"': ("<", "has no order", "with =="),
    'mark.state.startsWith("Comp")': ("(\"", "never true", "that the signal can have"),
    'mark.state.matches("^lost")': ("(\"", "never true", "that the signal can have"),
    '["lost"].exists(x, x == mark.state)': ("(x", "never true", "that the signal can have"),
    '{"lost": true}[mark.state]': ("[mark", "never true", "that the signal can have"),
    "device.state in []": ("in []", "never true", "that the signal can have"),
    'matches(client.id, "(")': ('"("', "cannot be read", "RE2"),
    'client.id.matches(r"(")': ('r"', "cannot be read", "RE2"),
    'client.id.matches("(" + "")': ('+', "cannot be read", "RE2"),
    'client.id.matches("*app")': ('"*', "cannot be read", "RE2"),
    "profile.confirmed // and more": ("//", "comment", "begin with #"),
    "keystroke.llr\u00a0> 1.0": ("\u00a0", "U+00A0", "plain characters"),
    "k\u0435ystroke.llr > 1.0": ("\u0435", "Syntax error", "cyrillic small letter ie"),
    'client.id == "a\u200bpp"': ("\u200b", "U+200B (zero width space)", "plain characters"),
}  # fmt: skip
TAKEN = [
    "true", "false", "profile.confirmed", 'network.country in ["NO", "XK"]', 'network.address == "192.0.2.7"',
    'mark.state.startsWith("comp")', '["safe"].exists(x, x == mark.state)', "keystroke.llr > 6.0", "keystroke.llr >= -6.0",
    "10 / profile.samples > 4", "size(user.groups) > 2", 'user.groups.exists(g, g in ["a", "b"] || g == "c")',
    "keystroke.cause == keystroke.absence", 'client.id.matches("^app-[0-9]+$")', 'client.id != "https://app//x"',
    "failures.device > 3 ? true : network.changed", 'client.id in ["app"] && !(travel.speed * 2.0 > 900.0)',
    "risk.probability > 1.0", 'client.id > "m"', "double(failures.device) / 2.0 > 1.0", "client.id == 'it\\'s // fine'",
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "at", "message", "hint"), [(text, *row) for text, row in REFUSED.items()], ids=list(REFUSED)
)
def test_pol1_what_cannot_be_meant_is_refused_where_it_stands(text: str, at: str, message: str, hint: str) -> None:
    with pytest.raises(ExpressionInvalid) as refused:
        refuse_senseless(compile_leaf(text))
    assert message in str(refused.value)
    assert hint in refused.value.hint
    assert refused.value.column == text.index(at) + 1


@pytest.mark.parametrize("text", TAKEN)
def test_what_can_be_meant_is_taken(text: str) -> None:
    leaf = compile_leaf(text)
    refuse_senseless(leaf)
    assert list(doubts(leaf.node)) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('client.id == "app-*"', "letter by letter"),
        ('profile.confirmed && client.id in ["app", "app"]', "twice"),
        ('network.address == "office"', "no address"),
        ('user.id == "ann "', "blank"),
        ('"staff " in user.groups', "blank"),
    ],
)
def test_what_is_odd_is_doubted(text: str, message: str) -> None:
    leaf = compile_leaf(text)
    refuse_senseless(leaf)
    assert any(message in said for said, _ in doubts(leaf.node))


def test_the_range_of_an_llr_is_the_one_that_scoring_keeps() -> None:
    for name in ("keystroke.llr", "keystroke.deciding_llr"):
        assert (SIGNALS[name].low, SIGNALS[name].high) == (-LIMIT, LIMIT)


def test_there_are_as_many_countries_as_iso_3166_names_and_one() -> None:
    assert len(COUNTRIES) == 249 + 1


@pytest.mark.parametrize("blank", ["\n", "\u00a0", "\u200b", "\0"])
@pytest.mark.parametrize("place", [0, 3, len("profile.confirmed")])
def test_pol1_what_cannot_be_seen_is_refused_wherever_it_stands(blank: str, place: int) -> None:
    text = "profile.confirmed"
    with pytest.raises(ExpressionInvalid, match="cannot be printed") as refused:
        compile_leaf(text[:place] + blank + text[place:])
    assert refused.value.column == place + 1
