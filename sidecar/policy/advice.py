"""What to write instead of an expression that does not compile: for those who know other languages better than CEL."""

import difflib
import re
import unicodedata

from sidecar.policy.registry import SIGNALS

_LOOKS_LIKE = 'CEL expressions look like: keystroke.outcome == "mismatch"'
_UNDECLARED = re.compile(r"undeclared reference to '([\w.]+)'")
_FUNCTIONS = ("startsWith", "endsWith", "contains", "matches", "size", "exists", "all", "int", "double", "string")
_OTHERWISE = {
    "len": "size",
    "length": "size",
    "count": "size",
    "match": "matches",
    "includes": "contains",
    "has": "contains",
}
_FLAGS = ("true", "false", "yes", "no", "on", "off")
# Slips of the pen, the first that is found in the expression, and what CEL writes.
_SLIPS = (
    (re.compile("[\u2018\u2019\u201c\u201d]"), "write straight quotes"),
    (re.compile(r"^\s*$"), "the expression is empty; write one, or take the line out"),
    (re.compile(r"\bnot\s+in\b", re.IGNORECASE), "CEL writes && for and, || for or, ! for not: !(x in [..])"),
    (re.compile(r"\b(?:and|or|not)\b", re.IGNORECASE), "CEL writes && for and, || for or, ! for not"),
    (re.compile(r"(?<!&)&(?!&)|(?<!\|)\|(?!\|)"), "CEL writes && for and, || for or, ! for not"),
    (re.compile(r"=~|~="), 'a pattern is asked for by x.matches("..")'),
    (re.compile(r"=>|=<|<>|==="), "CEL compares with ==, !=, <, <=, >, >="),
    (re.compile(r"\b(?:greater|less|larger|smaller|more|than|equals?)\b", re.IGNORECASE), "CEL compares with ==, !=, <, <=, >, >="),
    (re.compile(r"(?<![=!<>])=(?!=)"), "== compares; a single = means nothing here"),
    (re.compile(r"\d\s*%"), "shares are numbers from 0.0 to 1.0, without a percent sign"),
    (re.compile(r"\bin\s*[({]"), 'after in: a list, as in ["known", "new"], or a signal that is one'),
    (re.compile(r"\d[,_']\d{3}\b|\d\s*(?:[a-zA-Z/]+\s*)$"), "numbers stand alone, without units and thousands: 1000.0"),
    (re.compile(r"^\s*listed\s*:"), "a look-up is no text: write listed: NAME without quotes"),
    (re.compile(r"[$`{}]"), "a signal is written bare, as in failures.device >= 5"),
    (re.compile(r"(?:&&|\|\||[=<>!+*/-])\s*$|^\s*(?:&&|\|\|)"), "something is missing beside the operator"),
    (re.compile(r"[,;]"), "an entry for each expression, or one joined by && and ||"),
    (re.compile(r"\b(?:is|like|between|contains)\b", re.IGNORECASE), _LOOKS_LIKE + '; texts: x.contains("a"), x.startsWith("a")'),
)  # fmt: skip
# Types that do not go together, as the engine names them.
_CLASHES = (
    (re.compile(r"\((?:double, int|int, double)\)"), "write the number like the signal's type: 1.0 for a double, 1 for an int"),
    (re.compile(r"'@in'"), 'after in: a list, as in ["known", "new"], or a signal that is one'),
    (re.compile(r"null_type"), "the two sides have different types: what is not known is missing by itself, see on_missing"),
    (re.compile(r"list\(string\)"), 'the two sides have different types; a list is asked by "admins" in user.groups'),
    (re.compile(r"\(bool, (?:string|int)\)|\((?:string|int), bool\)"), "the two sides have different types: write true or false"),
    (re.compile(r"'_[<>]=?_'.*\(bool, (?:double|int)\)"), "the two sides have different types: write a > 0.5 && a < 0.9"),
    (re.compile(r"\((int|double), string\)|\(string, (int|double)\)"), "the two sides have different types: numbers go bare"),
)  # fmt: skip


def advice(message: str, bare: str) -> str:
    """Return a hint. ``message``: the engine's; ``bare``: the expression, the texts in it blanked."""
    if undeclared := _UNDECLARED.search(message):
        return _unknown_name(undeclared[1], bare)
    if "no matching overload" in message:
        return next((hint for clash, hint in _CLASHES if clash.search(message)), "the two sides have different types")
    if "Syntax error" in message:
        return next((hint for slip, hint in _SLIPS if slip.search(bare)), _foreign(bare) or _LOOKS_LIKE)
    return "expressions are CEL over the signals of docs/policies.md"


def _unknown_name(name: str, bare: str) -> str:
    if name.lower() in _FLAGS:
        return "write true or false"
    if re.search(rf"\b{re.escape(name)}\s*\(", bare):
        last = name.rpartition(".")[2]
        near = difflib.get_close_matches(last, _FUNCTIONS, n=1)
        meant = _OTHERWISE.get(last.lower()) or (near[0] if near else None)
        known = f"did you mean {meant}?" if meant else f"functions are {', '.join(_FUNCTIONS)}"
        return f"the signals that exist are in docs/policies.md; {known}"
    words = {value for signal in SIGNALS.values() for value in signal.values}
    if name in words:
        return f'the signals that exist are in docs/policies.md; a text stands in quotes: "{name}"'
    near = difflib.get_close_matches(name, SIGNALS, n=1) or difflib.get_close_matches(_turned(name), SIGNALS, n=1)
    if near:
        return f"the signals that exist are in docs/policies.md; did you mean {near[0]}?"
    return (
        "the signals that exist are in docs/policies.md; a text stands in quotes; a list is looked up by listed: NAME"
    )


def _turned(name: str) -> str:
    return ".".join(reversed(name.split(".")))


def _foreign(bare: str) -> str:
    """Name the first letter that only looks like one of CEL's."""
    found = next((character for character in bare if not character.isascii()), "")
    return f"{found} is {unicodedata.name(found, 'unknown').lower()}; write plain letters" if found else ""
