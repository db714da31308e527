# ruff: noqa: E501 - a row of the table is one mistake
"""More mistakes, as people who know other languages make them, and many in one file: each is told, at its place (POL1)."""

import re

import pytest
from test_policy_mistakes import GOOD, REFUSAL

from sidecar.errors import PolicyInvalid
from sidecar.policy.language import parse
from sidecar.policy.reading import TOLD
from sidecar.policy.testing import parse_cases

GOLD = "then: {action: step_up, acr_values: gold, effects: [notify]}"
FIVE = "failures.device >= 5"
NONE = 'device.state != "known"'
# what: (old text, new text, line of the refusal counted from the old text's first line, part of the hint)
MISTAKES: dict[str, tuple[str, str, int, str]] = {
    "tab for indentation": ("    when:\n      all:\n        - listed", "    when:\n\tall:\n        - listed", 1, "check indentation"),
    "colon in a text": ("description: Ask", "description: Ask: now", 0, "check indentation, quotes"),
    "bracket left open": ("cidrs: [192.0.2.0/24]", "cidrs: [192.0.2.0/24", 1, "check indentation, quotes and brackets"),
    "dash forgotten": ("      - id: ann\n        users", "        id: ann\n        users", -1, "begin with a dash"),
    "typographic quotes": ("'mark.state == \"compromised\"'", "\u2018mark.state == \"compromised\"\u2019", 0, "straight quotes"),
    "and for &&": ("keystroke.confidence > 0.5", "keystroke.confidence > 0.5 and profile.confirmed", 0, "CEL writes &&"),
    "OR for ||": (FIVE, FIVE + " OR profile.confirmed", 0, "CEL writes &&"),
    "not for !": (FIVE, "not profile.confirmed", 0, "CEL writes &&"),
    "word without quotes": ('mark.state == "compromised"', "mark.state == compromised", 0, "the signals that exist"),
    "percent": ("keystroke.confidence > 0.5", "keystroke.confidence > 50%", 0, "without a percent sign"),
    "number in quotes": ("travel.speed > 1000.0", 'travel.speed > "1000"', 0, "different types"),
    "=> for >=": (FIVE, "failures.device => 5", 0, "CEL compares with"),
    "<> for !=": (NONE, 'device.state <> "known"', 0, "CEL compares with"),
    "=== of JavaScript": (NONE, 'device.state === "known"', 0, "CEL compares with"),
    "in a text": (NONE, 'device.state in "known"', 0, "after in: a list"),
    "one of a list never is": (NONE, 'device.state in ["known", "old"]', 0, "that the signal can have"),
    "empty expression": (FIVE, "", 0, "the expression is empty"),
    "blank expression": (FIVE, "  ", 0, "the expression is empty"),
    "made a comment, another below": ("- keystroke.confidence > 0.5", "- # keystroke.confidence > 0.5\n        - profile.confirmed", 0, "a look-up is written"),
    "function of no language": (FIVE, "count(failures.device) >= 5", 0, "the signals that exist"),
    "underscore for dot": (FIVE, "failures_device >= 5", 0, "did you mean failures.device?"),
    "capitals": (FIVE, "Failures.Device >= 5", 0, "did you mean failures.device?"),
    "null": (FIVE, "failures.device == null", 0, "different types"),
    "pattern that is none": (NONE, 'device.state.matches("(")', 0, "patterns are RE2"),
    "zero byte in a text": (NONE, r'client.id == "a\x00b"', 0, "leave it out"),
    "infinite number": ("travel.speed > 1000.0", "travel.speed > 1e400", 0, "write a smaller one"),
    "whole number too large": (FIVE, "failures.device >= 99999999999999999999", 0, "CEL over the signals"),
    "duration": (FIVE, 'session.age > duration("1h")', 0, "different types"),
    "SQL": (FIVE, "failures.device between 1 and 5", 0, "CEL writes &&"),
    "number for an id": ("id: office\n    owner", "id: 5\n    owner", 0, "put it in quotes"),
    "blank in an id": ("id: office\n    owner", "id: 'the office'\n    owner", 0, "letters, digits"),
    "date of another order": ("since: 2026-11-01", "since: 01.11.2026", 0, "write 2027-01-31"),
    "day that is none": ("since: 2026-11-01", "since: 2026-11-31", 0, "write 2027-01-31"),
    "time without its zone": ("since: 2026-11-01", "since: 2026-11-01T10:00:00", 0, "18:00:00Z"),
    "one user, no list": ("users: [ann]", "users: ann", 0, "begin with a dash"),
    "number for a user": ("users: [ann]", "users: [7]", 0, "put it in quotes"),
    "scope by what is none": ("scope: {clients: [app]", "scope: {apps: [app]", 0, "it takes idps"),
    "network in place of a list": ("networks: [office]", "networks: [192.0.2.0/24]", 0, "name it under lists:"),
    "capital in a list's name": ("- listed: office", "- listed: Office", 0, "did you mean office?"),
    "prefix too long": ("192.0.2.0/24", "192.0.2.0/33", 0, "write 192.0.2.0/24"),
    "name of a network": ("192.0.2.0/24", "intranet", 0, "write 192.0.2.0/24"),
    "verb misspelt beside an acr": (GOLD, "then: {action: stepup, acr_values: gold}", 0, "did you mean step_up?"),
    "verb forgotten": (GOLD, "then: {acr_values: gold}", 0, "add a line action"),
    "then a list": (GOLD, "then: [step_up]", 0, "or a mapping with action"),
    "then empty": (GOLD, "then:", 0, "or a mapping with action"),
    "effect of another product": ("effects: [notify]", "effects: [email]", 0, "write revoke_session"),
    "trust with a factor": (GOLD, "then: {action: trust, factor: otp}", 0, "leave it out"),
    "on_error milder": ("on_error: step_up", "on_error: trust", 0, "write skip"),
    "on_missing yes": ("on_missing: skip", "on_missing: yes", 0, "write skip"),
    "mode of another product": ("mode: shadow", "mode: dry-run", 0, "write enforce, shadow"),
    "prior in percent": ("prior: 0.02", "prior: 2%", 0, "plain number"),
    "decimal comma": ("prior: 0.02", "prior: 0,02", 0, "plain number"),
    "prior no number": ("prior: 0.02", "prior: .nan", 0, "plain number"),
    "band infinite": ("mismatch_from: 0.8", "mismatch_from: .inf", 0, "plain number"),
    "one verb for three states": ("  insufficient:\n    none: step_up\n    learning: step_up\n    stale: step_up\n", "  insufficient: step_up\n", 0, "its keys are none"),
    "audit a word": ("audit: {full: error}", "audit: error", 0, "its keys are full"),
    "two documents": ("schema: 1", "schema: 1\n---\nschema: 1", 1, "check indentation"),
    "byte 0": ("prior: 0.02", "prior: 0.02\x00", 0, "delete it"),
    "all and any": (f"all: ['{FIVE}']", f"all: ['{FIVE}']\n      any: ['profile.confirmed']", -1, "as in all:"),
    "none for not": (f"all: ['{FIVE}']", f"none: ['{FIVE}']", -1, "as in all:"),
    "blank in a key": ("prior: 0.02", "pri or: 0.02", 0, "did you mean prior?"),
    "no colon after key": ("    when:\n      all: ['mark", "    when\n      all: ['mark", 0, "check indentation, quotes and brac"),
    "no blank after colon": ("prior: 0.02", "prior:0.02", 0, "check indentation, quotes and brac"),
    "no blank after dash": ("  - id: usually-filled", "  -id: usually-filled", 1, "check indentation, quotes and brac"),
    "rule one blank short": ("  - id: usually-filled", "- id: usually-filled", 1, "check indentation, quotes and brac"),
    "then too deep": ("    then: allow", "      then: allow", -6, "add a line then: ..."),
    "then too shallow": ("    then: allow", "  then: allow", 0, "check indentation, quotes and brac"),
    "when at list level": ("      all: ['mark", "    all: ['mark", 0, "it takes id, when, then, descripti"),
    "key: = value": ("prior: 0.02", "prior = 0.02", 0, "check indentation, quotes and brac"),
    "wrong quotes inside": ("['mark.state == \"compromised\"']", "['mark.state == 'compromised'']", 0, "check indentation, quotes and brac"),
    "double in double": ("['mark.state == \"compromised\"']", '["mark.state == "compromised""]', 0, "check indentation, quotes and brac"),
    "backtick": (FIVE, "`failures.device` >= 5", 0, "a signal is written bare, as in fa"),
    "single = ": (FIVE, "failures.device = 5", 0, "== compares; a single = means noth"),
    "== for string no quotes": ('mark.state == "compromised"', "mark.state == compromised", 0, 'a text stands in quotes: "compromi'),
    "NOT": ('- "!profile.confirmed"', "- NOT profile.confirmed", 0, "CEL writes && for and, || for or,"),
    "not unquoted": ('- "!profile.confirmed"', "- not: profile.confirmed", 0, "write the entries on lines that be"),
    "is false": ('- "!profile.confirmed"', "- profile.confirmed is false", 0, "CEL expressions look like: keystro"),
    "== False": ('- "!profile.confirmed"', "- profile.confirmed == False", 0, "write true or false"),
    "== no": ('- "!profile.confirmed"', "- profile.confirmed == no", 0, "write true or false"),
    "== 'false'": ('- "!profile.confirmed"', '- profile.confirmed == "false"', 0, "write true or false"),
    "== 0": ('- "!profile.confirmed"', "- profile.confirmed == 0", 0, "write true or false"),
    "number string": (FIVE, 'failures.device >= "5"', 0, "numbers go bare"),
    "five": (FIVE, "failures.device >= five", 0, "a text stands in quotes; a list is"),
    "int for double": ("travel.speed > 1000.0", "travel.speed > 1000", 0, "write the number like the signal's"),
    "thousands": ("travel.speed > 1000.0", "travel.speed > 1,000.0", 0, "numbers stand alone, without units"),
    "underscored": ("travel.speed > 1000.0", "travel.speed > 1_000.0", 0, "numbers stand alone, without units"),
    "unit": ("travel.speed > 1000.0", "travel.speed > 1000 km/h", 0, "numbers stand alone, without units"),
    "greater than words": ("travel.speed > 1000.0", "travel.speed greater than 1000", 0, "CEL compares with ==, !=, <, <=, >"),
    "chained": ("keystroke.confidence > 0.5", "0.5 < keystroke.confidence < 0.9", 0, "write a > 0.5 && a < 0.9"),
    "semicolon": (FIVE, "failures.device >= 5;", 0, "an entry for each expression, or o"),
    "trailing &&": (FIVE, "failures.device >= 5 &&", 0, "something is missing beside the op"),
    "leading &&": (FIVE, "&& failures.device >= 5", 0, "something is missing beside the op"),
    "single &": (FIVE, "failures.device >= 5 & profile.confirmed", 0, "CEL writes && for and, || for or,"),
    "single |": (FIVE, "failures.device >= 5 | profile.confirmed", 0, "CEL writes && for and, || for or,"),
    "comma": (FIVE, "failures.device >= 5, profile.confirmed", 0, "an entry for each expression, or o"),
    "paren open": (FIVE, "(failures.device >= 5", 0, "CEL expressions look like: keystro"),
    "braces": (FIVE, "{{ failures.device >= 5 }}", 0, "a signal is written bare, as in fa"),
    "dollar": (FIVE, "${failures.device} >= 5", 0, "a signal is written bare, as in fa"),
    "!= null": (FIVE, "failures.device != null", 0, "what is not known is missing by it"),
    "dash name": (FIVE, "failures-device >= 5", 0, "did you mean failures.device?"),
    "colon name": (FIVE, "failures:device >= 5", 0, "CEL expressions look like: keystro"),
    "slash name": (FIVE, "failures/device >= 5", 0, "did you mean failures.device?"),
    "camel": (FIVE, "failuresDevice >= 5", 0, "did you mean failures.device?"),
    "plural": (FIVE, "failure.device >= 5", 0, "did you mean failures.device?"),
    "swapped": (FIVE, "device.failures >= 5", 0, "did you mean failures.device?"),
    "short": (FIVE, "failures >= 5", 0, "did you mean failures.device?"),
    "country name": ("network.country_changed", 'network.country == "Germany"', 0, "two capitals of ISO 3166-1, as in"),
    "in tuple": (NONE, 'device.state in ("new", "none")', 0, 'after in: a list, as in ["known",'),
    "in set": (NONE, 'device.state in {"new", "none"}', 0, 'after in: a list, as in ["known",'),
    "not in": (NONE, 'device.state not in ["known"]', 0, "CEL writes && for and, || for or,"),
    "notin2": (NONE, '!device.state in ["known"]', 0, "write the plain value; an expressi"),
    "contains list": (NONE, '["new"].contains(device.state)', 0, "check indentation, quotes and brac"),
    "startswith case": (NONE, 'client.id.startswith("a")', 0, "did you mean startsWith?"),
    "lower()": (NONE, 'client.id.lower() == "a"', 0, "functions are startsWith, endsWith"),
    "len()": (NONE, "len(client.id) > 3", 0, "did you mean size?"),
    "regex ~": (NONE, 'client.id =~ "a.*"', 0, "a pattern is asked for by x.matche"),
    "glob like": (NONE, 'client.id like "a%"', 0, "CEL expressions look like: keystro"),
    "group membership wrong": (NONE, 'user.groups.contains("admins")', 0, 'a list is asked by "admins" in use'),
    "group ==": (NONE, 'user.groups == "admins"', 0, 'a list is asked by "admins" in use'),
    "if then": (NONE, 'if device.state == "new" then true', 0, "expressions are CEL over the signa"),
    "list ref in expr": (NONE, "network.address in office", 0, "a text stands in quotes; a list is"),
    "listed in text": (NONE, '"listed: office"', 0, "a look-up is no text: write listed"),
    "listed nested": ("- listed: office", "- {listed: [office]}", 0, "put it in quotes"),
    "list key": ("- listed: office", "- list: office", 0, "as in all: ['keystroke.outcome =="),
    "leaf mapping": ("- keystroke.confidence > 0.5", "- keystroke.confidence: 0.5", 0, "as in all: ['keystroke.outcome =="),
    "all in leaf": ("- keystroke.confidence > 0.5", "- all: keystroke.confidence > 0.5", 0, "write the entries on lines that be"),
    "any empty": ("all: ['mark.state == \"compromised\"']", "any: []", 0, "write the entries on lines that be"),
    "All capital": ("all: ['mark.state == \"compromised\"']", "All: ['mark.state == \"compromised\"']", -1, "as in all: ['keystroke.outcome =="),
    "and:": ("all: ['mark.state == \"compromised\"']", "and: ['mark.state == \"compromised\"']", -1, "as in all: ['keystroke.outcome =="),
    "or:": ("all: ['mark.state == \"compromised\"']", "or: ['mark.state == \"compromised\"']", -1, "as in all: ['keystroke.outcome =="),
    "then Step_up": ("    then: allow", "    then: Step_Up", 0, "did you mean step_up?"),
    "then stepup": ("    then: allow", "    then: step-up", 0, "did you mean step_up?"),
    "then mfa": ("    then: allow", "    then: mfa", 0, "did you mean step_up? write trust,"),
    "then block": ("    then: allow", "    then: block", 0, "did you mean deny? write trust, al"),
    "then yes": ("    then: allow", "    then: yes", 0, "did you mean allow? write trust, a"),
    "then action nested": ("    then: allow", "    then: {allow}", 0, "add a line action: ..."),
    "then key": ("    then: allow", "    then: {allow: true}", 0, "add a line action: ..."),
    "then action list": ("    then: allow", "    then: {action: [allow]}", 0, "did you mean allow?"),
    "else": ("    then: allow", "    then: allow\n    else: step_up", 1, "it takes id, when, then, descripti"),
    "name": ("    then: allow", "    then: allow\n    name: x", 1, "it takes id, when, then, descripti"),
    "mode shadows": ("mode: shadow", "mode: shadows", 0, "write enforce, shadow"),
    "since no": ("since: 2026-11-01", "since: 2026-11", 0, "write 2027-01-31, or 2027-01-31T18"),
    "since us": ("since: 2026-11-01", "since: 11/01/2026", 0, "write 2027-01-31, or 2027-01-31T18"),
    "since epoch": ("since: 2026-11-01", "since: 1793491200", 0, "write 2027-01-31, or 2027-01-31T18"),
    "expires never exc": ("expires: 2026-12-01", "expires: never", 0, "write 2027-01-31, or 2027-01-31T18"),
    "expires 24h": ("expires: 2026-12-01", "expires: 30d", 0, "write 2027-01-31, or 2027-01-31T18"),
    "exc everybody": ("        users: [ann]\n", "", -1, "add one of idps, realms, clients,"),
    "users string": ("users: [ann]", "users: ann, bob", 0, "write the entries on lines that be"),
    "outcome mising colon": ("  match: allow", "  match allow", 1, "check indentation, quotes and brac"),
    "unavailable star": ("    pasted: step_up", "    '*': step_up", 0, "it takes no_capture, malformed, ex"),
    "default outcome": ("  match: allow", "  default: allow", 0, "it takes match, mismatch, insuffic"),
    "insufficient ready": ("    stale: step_up", "    ready: step_up", 0, "it takes none, learning, stale"),
    "mismatch case": ("  mismatch: step_up", "  Mismatch: step_up", 0, "did you mean mismatch?"),
    "cause camel": ("    no_capture: step_up", "    noCapture: step_up", 0, "did you mean no_capture?"),
    "cause dash": ("    no_capture: step_up", "    no-capture: step_up", 0, "did you mean no_capture?"),
    "behaviour spelling": ("prior: 0.02", "prior: 0.02\nbehaviour_may_deny: true", 1, "did you mean behavior_may_deny?"),
    "version": ("schema: 1", "version: 1", 0, "it takes schema, id, prior, bands,"),
    "schema v1": ("schema: 1", "schema: v1", 0, "write schema: 1"),
    "bands flat": ("bands:\n  keystroke:\n", "bands:\n  keystrokes:\n", 1, "did you mean keystroke?"),
    "mismatch_from text": ("mismatch_from: 0.8", 'mismatch_from: "0.9"', 0, "write a plain number such as -6.0"),
    "mismatch_from end": ("mismatch_from: 0.8", "mismatch_from: 6", 0, "write one between"),
    "mismatch_from expr": ("mismatch_from: 0.8", 'mismatch_from: ">0.9"', 0, "write a plain number such as -6.0"),
    "hex": ("mismatch_from: 0.8", "mismatch_from: 0x1", 0, "write a plain number such as -6.0"),
    "lists a list": ("lists:\n  office:\n", "lists:\n  - office:\n", 0, "from a list's name to its entries"),
    "list cidr key": ("    cidrs: [192.0.2.0/24]", "    cidr: [192.0.2.0/24]", 0, "did you mean cidrs?"),
    "list ips key": ("    cidrs: [192.0.2.0/24]", "    ips: [192.0.2.0/24]", 0, "it takes owner, expires, cidrs, us"),
    "list cidr text": ("    cidrs: [192.0.2.0/24]", "    cidrs: 192.0.2.0/24", 0, "write the entries on lines that be"),
    "list two in one": ("    cidrs: [192.0.2.0/24]", "    cidrs: [192.0.2.0/24 198.51.100.0/24]", 0, "write 192.0.2.0/24 or 2001:db8::/3"),
    "list host bits": ("    cidrs: [192.0.2.0/24]", "    cidrs: [192.0.2.7/24]", 0, "did you mean 192.0.2.0/24? the bit"),
}  # fmt: skip


def refused(text: str) -> list[re.Match[str]]:
    with pytest.raises(PolicyInvalid) as found:
        parse(text.encode(), "policies/mine.yaml")
    told = [REFUSAL.fullmatch(line) for line in found.value.message.splitlines()]
    assert all(told), found.value.message
    return [item for item in told if item]


@pytest.mark.parametrize(("old", "new", "line", "hint"), MISTAKES.values(), ids=list(MISTAKES))
def test_pol1_each_is_refused_with_line_column_and_hint(old: str, new: str, line: int, hint: str) -> None:
    assert GOOD.count(old) >= 1
    wanted = GOOD[: GOOD.index(old)].count("\n") + 1 + line
    told = refused(GOOD.replace(old, new, 1))
    assert [item for item in told if int(item[1]) == wanted and hint in item[4]], [item[0] for item in told]
    assert all(int(item[2]) >= 1 for item in told)


def test_pol1_every_mistake_of_a_file_is_told_in_its_order() -> None:
    """One in each part of the file, and none that follows from another."""
    rows = ["band infinite", "network in place of a list", "prior in percent", "on_missing yes", "effect of another product",
            "pattern that is none", "number in quotes", "underscore for dot", "word without quotes",
            "one verb for three states", "audit a word", "one user, no list", "date of another order"]  # fmt: skip
    text = GOOD
    for row in rows:
        old, new, *_ = MISTAKES[row]
        assert old in text, row
        text = text.replace(old, new, 1)
    told = refused(text)
    assert len(told) == len(rows), [item[0] for item in told]
    for row in rows:
        assert [item for item in told if MISTAKES[row][3] in item[4]], row
    places = [(int(item[1]), int(item[2])) for item in told]
    assert places == sorted(places)


def test_pol1_what_follows_from_a_mistake_is_not_told() -> None:
    broken_list = GOOD.replace("192.0.2.0/24", "intranet")  # rules and scopes name this list
    assert len(refused(broken_list)) == 1
    denying = GOOD.replace("then: {action: step_up, effects: [notify]}", "then: deny", 1)
    assert len(refused(denying.replace('mark.state == "compromised"', "mark.sate == 1"))) == 1


def test_pol1_all_that_is_missing_is_told() -> None:
    assert {item[3].split("'")[1] for item in refused("{}")} == {"schema", "id", "prior", "bands", "rules", "outcomes"}


def test_pol1_a_file_of_nothing_but_mistakes_is_told_in_part() -> None:
    rules = "".join(f"  - id: r{n}\n    when: {{all: ['nonsense{n}']}}\n    then: step_up\n" for n in range(100))
    text = GOOD[: GOOD.index("rules:\n") + 7] + rules + GOOD[GOOD.index("\n# What each outcome") :]
    with pytest.raises(PolicyInvalid) as found:
        parse(text.encode(), "policies/mine.yaml")
    *told, more = found.value.message.splitlines()
    assert (len(told), more) == (TOLD, "and 75 more")


def test_pol9_mistakes_of_a_test_file_are_told_together() -> None:
    text = """schema: 1
now: noon
facts: {keystroke.outcom: match}
cases:
  - name: a
    facts: {profile.samples: many}
    expect: {action: pass}
  - name: b
    expect: {}
"""
    with pytest.raises(PolicyInvalid) as found:
        parse_cases(text.encode(), "policies/mine.yaml")
    assert [int(line.split(":")[1]) for line in found.value.message.splitlines()] == [2, 3, 6, 7, 9]
