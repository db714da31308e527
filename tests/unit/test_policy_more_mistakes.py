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
    "band infinite": ("mismatch_from: 0.9", "mismatch_from: .inf", 0, "plain number"),
    "one verb for three states": ("  insufficient:\n    none: step_up\n    learning: step_up\n    stale: step_up\n", "  insufficient: step_up\n", 0, "its keys are none"),
    "audit a word": ("audit: {full: error}", "audit: error", 0, "its keys are full"),
    "two documents": ("schema: 1", "schema: 1\n---\nschema: 1", 1, "check indentation"),
    "byte 0": ("prior: 0.02", "prior: 0.02\x00", 0, "delete it"),
    "all and any": (f"all: ['{FIVE}']", f"all: ['{FIVE}']\n      any: ['profile.confirmed']", -1, "as in all:"),
    "none for not": (f"all: ['{FIVE}']", f"none: ['{FIVE}']", -1, "as in all:"),
    "blank in a key": ("prior: 0.02", "pri or: 0.02", 0, "did you mean prior?"),
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
