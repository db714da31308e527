# ruff: noqa: E501 - a row of the table is one mistake
"""Seeded mistakes in a policy file: each refused at its very line and column, with a hint that says what to write."""

import re
from pathlib import Path

import pytest

from sidecar.errors import PolicyInvalid
from sidecar.policy.language import load, parse
from sidecar.policy.testing import parse_cases
from sidecar.shipped import policy_directory

GOOD = (
    (policy_directory() / "default.yaml")
    .read_text()
    .replace(
        "rules:\n",
        """lists:
  office:
    cidrs: [192.0.2.0/24]
    owner: ops
    expires: 2027-01-01

rules:
  - id: office
    owner: ops
    mode: shadow
    since: 2026-11-01
    scope: {clients: [app], networks: [office]}
    when:
      all:
        - listed: office
        - keystroke.confidence > 0.5
    then: {action: step_up, acr_values: gold, effects: [notify]}
    on_error: step_up
    on_missing: skip
    exceptions:
      - id: ann
        users: [ann]
        owner: hr
        expires: 2026-12-01

""",
        1,
    )
)
# what: (old text, new text, the text whose first character is where the refusal points, part of the hint)
MISTAKES: dict[str, tuple[str, str, str, str]] = {
    "schema of another version": ("schema: 1", "schema: 2", "schema: 2", "write schema: 1"),
    "schema a decimal": ("schema: 1", "schema: 1.0", "schema: 1.0", "write schema: 1"),
    "effect twice": ("effects: [notify]}\n    on", "effects: [notify, notify]}\n    on", "notify]}", "each effect once"),
    "negation without quotes": ('- "!profile.confirmed"', "- !profile.confirmed", "!profile", "begins with ! needs quotes"),
    "control character": ("prior: 0.02", "prior: \x07", "\x07", "delete it"),
    "acr a number": ("acr_values: gold", "acr_values: 2", "acr_values: 2", "quotes"),
    "when one expression": ("    when:\n      all: ['mark.state == \"compromised\"']", "    when: mark.state == 'x'", "when: mark", "as in all:"),
    "schema true": ("schema: 1", "schema: true", "schema: true", "write schema: 1"),
    "key misspelt": ("rules:\n", "ruels:\n", "ruels:", "did you mean rules?"),
    "key unknown": ("prior: 0.02", "prior: 0.02\nweights: 3", "weights", "it takes schema, id"),
    "key twice": ("prior: 0.02", "prior: 0.02\nprior: 0.03", "prior: 0.03", "keep one"),
    "rule key twice": ("    owner: ops\n    mode", "    owner: ops\n    owner: hr\n    mode", "owner: hr\n", "keep one"),
    "no prior": ("prior: 0.02\n", "", "schema: 1", "add a line prior"),
    "prior a text": ("prior: 0.02", 'prior: "0.02"', 'prior: "', "plain number"),
    "prior out of range": ("prior: 0.02", "prior: 2", "prior: 2", "plain number"),
    "prior nan": ("prior: 0.02", "prior: .nan", "prior: .nan", "plain number"),
    "band out of range": ("mismatch_from: 0.8", "mismatch_from: 60", "mismatch_from", "plain number"),
    "band misspelt": ("mismatch_from: 0.8", "mismatch_form: 0.9", "mismatch_form", "did you mean mismatch_from?"),
    "policy id with a dot": ("id: balanced", "id: balanced.new", "id: balanced.new", "letters, digits"),
    "policy id with a space": ("id: balanced", "id: our policy", "id: our policy", "letters, digits"),
    "description a list": ("description: Ask", "description: [Ask]\nx: Ask", "x: Ask", "it takes"),
    "audit misspelt": ("audit: {full: error}", "audit: {full: eror}", "full: eror", "write continue, error"),
    "audit empty": ("audit: {full: error}", "audit: {}", "audit: {}", "add a line full"),
    "anchor": ("    then: step_up", "    then: &ask step_up", "&ask", "repeat the value"),
    "alias": ("prior: 0.02", "prior: *usual", "*usual", "repeat the value"),
    "merge key": ("  error: step_up", "  <<: *all\n  error: step_up", "<<:", "write the keys out"),
    "merge of keys written inline": ("    then: allow", "    <<: {then: allow}", "<<:", "write the keys out"),
    "tag": ("prior: 0.02", "prior: !!float 0.02", "!!float", "plain value"),
    "python tag": ("prior: 0.02", "prior: !!python/object/apply:os.system [ls]", "!!python", "plain value"),
    "directive of YAML 1.1": ("# Gaitkeeper's", "%YAML 1.1\n---\n# Gaitkeeper's", "%YAML", "leave the line out"),
    "tab": ("prior: 0.02", "\tprior: 0.02", "\tprior", "indentation"),
    "bracket left open": ("    then: allow\n", "    then: [allow\n", "", "brackets"),
    "quote left open": ("prior: 0.02", 'prior: "0.02', "", "quotes"),
    "second document": ("rules:\n", "---\nrules:\n", "---\nrules", "indentation"),
    "rules a mapping": ("rules:\n", "rules: {a: b}\nlists:\n", "lists:\n  - id", "keep one"),
    "rule a text": ("  - id: office\n", "  - just a text\n  - id: office\n", "just a text", "its keys are id"),
    "rule without when": ("    when:\n      all: ['mark", "    whenever:\n      all: ['mark", "whenever", "did you mean when?"),
    "rule without then": ('"filled"\n    then: allow\n', '"filled"\n', "id: usually-filled", "add a line then"),
    "rule id twice": ("id: usually-filled", "id: impossible-travel", "id: impossible-travel\n    description: A pass", "another id"),
    "rule id with a dot": ("id: usually-filled", "id: outcome.match", "id: outcome.match", "letters, digits"),
    "rule id a number": ("id: usually-filled", "id: 7", "id: 7", "quotes"),
    "mode unknown": ("mode: shadow", "mode: dry-run", "mode: dry-run", "write enforce, shadow"),
    "shadow without since": ("    since: 2026-11-01\n", "", "mode: shadow", "today's date"),
    "since without shadow": ("    mode: shadow\n", "", "since: 2026-11-01", "leave the line out"),
    "since no date": ("since: 2026-11-01", "since: last week", "since: last week", "write 2027-01-31"),
    "since without a zone": ("since: 2026-11-01", "since: 2026-11-01T10:00:00", "since: 2026-11", "write 2027-01-31"),
    "since an impossible date": ("since: 2026-11-01", "since: 2026-13-01", "since: 2026-13", "write 2027-01-31"),
    "scope empty": ("scope: {clients: [app], networks: [office]}", "scope: {}", "scope: {}", "leave it out"),
    "scope unknown": ("clients: [app]", "tenants: [app]", "tenants", "it takes idps"),
    "scope no list": ("clients: [app]", "clients: app", "clients: app", "dash"),
    "scope of no such list": ("networks: [office]", "networks: [ofice]", "ofice", "did you mean office?"),
    "list without expiry": ("    expires: 2027-01-01\n", "", "office:\n    cidrs", "add a line expires"),
    "list without owner": ("    owner: ops\n    expires: 2027", "    expires: 2027", "office:\n    cidrs", "add a line owner"),
    "list of two kinds": ("cidrs: [192.0.2.0/24]", "cidrs: [192.0.2.0/24]\n    users: [a]", "office:\n    cidrs", "two lists"),
    "network with host bits": ("[192.0.2.0/24]", "[192.0.2.7/24]", "192.0.2.7/24", "bits after the prefix"),
    "network no network": ("[192.0.2.0/24]", "[head office]", "head office", "192.0.2.0/24"),
    "country in small letters": ("cidrs: [192.0.2.0/24]", "countries: [no]", "no]", "did you mean NO?"),
    "list unknown in a condition": ("- listed: office", "- listed: lab", "listed: lab", "name it under lists"),
    "network list of users": ("cidrs: [192.0.2.0/24]", "users: [ann]", "office]}", "a list of cidrs"),
    "exception without expiry": ("        expires: 2026-12-01\n", "", "id: ann", "add a line expires"),
    "exception without owner": ("        owner: hr\n", "", "id: ann", "add a line owner"),
    "exception for nobody": ("        users: [ann]\n", "", "id: ann", "add one of idps"),
    "when a text": ("      all: ['mark.state", "      say: ['mark.state", "when:\n      say", "as in all:"),
    "when empty": ("all: ['mark.state == \"compromised\"']", "all: []", "all: []", "dash"),
    "not of two": ("      all: ['mark.state == \"compromised\"']", "      not: ['true', 'false']", "not: [", "inside not"),
    "leaf a number": ("['mark.state == \"compromised\"']", "[7]", "7]", "as in all"),
    "leaf a boolean": ("['mark.state == \"compromised\"']", "[true]", "true]", "as in all"),
    "signal misspelt": ("- keystroke.confidence >", "- keystroke.confidance >", "keystroke.confidance", "did you mean keystroke.confidence?"),
    "signal unknown": ("- keystroke.confidence >", "- moon.phase >", "moon.phase", "signals that exist"),
    "int for a double": ("keystroke.confidence > 0.5", "keystroke.confidence > 1", "keystroke.confidence > 1", "1.0 for a double"),
    "double for an int": ("failures.device >= 5", "failures.device >= 5.0", "'failures", "1.0 for a double"),
    "text for a number": ("keystroke.confidence > 0.5", 'keystroke.confidence > "high"', "keystroke.confidence", "different types"),
    "one equals sign": ('mark.state == "compromised"', 'mark.state = "compromised"', "'mark", "a single = means nothing"),
    "a value the signal never has": ('"compromised"', '"compromized"', "'mark", "did you mean compromised?"),
    "a value in a list it never has": ('mark.state == "compromised"', 'mark.state in ["safe", "lost"]', "'mark", "compare with a value"),
    "a range that is impossible": ("keystroke.confidence > 0.5", "keystroke.confidence > 1.5", "keystroke.confidence", "the signal can have"),
    "a negative count": ("failures.device >= 5", "failures.device < -1", "'failures", "the signal can have"),
    "no question": ("keystroke.confidence > 0.5", "keystroke.confidence * 2.0", "keystroke.confidence", "compare the signal"),
    "has()": ("keystroke.confidence > 0.5", "has(keystroke.confidence)", "has(", "handled for you"),
    "leaf too long": ("keystroke.confidence > 0.5", "keystroke.confidence > 0.5" + " || true" * 300, "keystroke.confidence", "split it"),
    "action unknown": ("    then: allow", "    then: challenge", "then: challenge", "write trust, allow, step_up, deny"),
    "action missing": ("{action: step_up, effects: [notify]}", "{effects: [notify]}", "then: {effects", "add a line action"),
    "acr for allow": ("    then: allow", "    then: {action: allow, acr_values: x}", "acr_values: x", "action: step_up"),
    "factor for trust": ("    then: allow", "    then: {action: trust, factor: x}", "factor: x", "action: step_up"),
    "effect unknown": ("effects: [notify]}\n    on", "effects: [email]}\n    on", "email", "revoke_session"),
    "effects empty": ("effects: [notify]}\n    on", "effects: []}\n    on", "effects: []", "dash"),
    "on_error milder": ("on_error: step_up", "on_error: allow", "on_error", "write skip"),
    "on_missing unknown": ("on_missing: skip", "on_missing: ignore", "on_missing", "write skip"),
    "deny by behaviour": ("    then: step_up\n", "    then: deny\n", "then: deny", "in so many words"),
    "deny by an outcome": ("  mismatch: step_up", "  mismatch: deny", "mismatch: deny", "in so many words"),
    "deny allowed lukewarmly": ("prior: 0.02", 'prior: 0.02\nbehavior_may_deny: "yes"', "behavior_may_deny", "without quotes"),
    "outcome missing": ("  match: allow\n", "", "outcomes:", "add a line match"),
    "cause missing": ("    pasted: step_up\n", "", "unavailable:", "add a line pasted"),
    "cause unknown": ("    pasted: step_up", "    paste: step_up\n    pasted: step_up", "paste: step_up", "did you mean pasted?"),
    "state missing": ("    stale: step_up\n", "", "insufficient:", "add a line stale"),
    "outcome a list": ("  match: allow", "  match: [allow]", "match: [allow]", "write trust, allow"),
    "outcome empty": ("  match: allow", "  match:", "match:\n", "write trust, allow"),
}  # fmt: skip
REFUSAL = re.compile(r"policies/mine\.yaml:(\d+):(\d+): (.+); hint: (.+)")


def test_the_file_without_a_mistake_is_accepted() -> None:
    assert len(parse(GOOD.encode()).rules) == len(load(policy_directory() / "default.yaml").rules) + 1
    assert len(MISTAKES) >= 50


@pytest.mark.parametrize(("old", "new", "at", "hint"), MISTAKES.values(), ids=list(MISTAKES))
def test_pol1_each_mistake_is_refused_at_its_place_with_a_hint(old: str, new: str, at: str, hint: str) -> None:
    assert GOOD.count(old) >= 1
    text = GOOD.replace(old, new, 1)
    with pytest.raises(PolicyInvalid) as refused:
        parse(text.encode(), "policies/mine.yaml")
    told = [REFUSAL.fullmatch(line) for line in refused.value.message.splitlines()]
    assert all(told), refused.value.message
    said = [(int(found[1]), int(found[2])) for found in told if found and hint in found[4]]
    assert said, refused.value.message
    if at:
        before = text[: text.index(at)]
        assert (before.count("\n") + 1, len(before) - before.rfind("\n")) in said, refused.value.message


CASES = """schema: 1
now: 2026-11-21T12:00:00Z
facts: {keystroke.outcome: match}
cases:
  - name: a
    facts: {profile.samples: 3}
    expect: {action: allow}
"""
CASE_MISTAKES = {
    "schema": ("schema: 1", "schema: 3", "schema: 3", "write schema: 1"),
    "no now": ("now: 2026-11-21T12:00:00Z\n", "", "schema", "add a line now"),
    "now no time": ("2026-11-21T12:00:00Z", "noon", "now: noon", "write 2027"),
    "signal misspelt": ("profile.samples", "profile.sample", "profile.sample", "did you mean profile.samples?"),
    "value of another type": ("samples: 3", "samples: 3.5", "profile.samples", "type int"),
    "value it never has": ("outcome: match", "outcome: matched", "keystroke.outcome", "write match"),
    "no cases": ("  - name: a\n    facts: {profile.samples: 3}\n    expect: {action: allow}\n", "  []\n", "cases", "dash"),
    "expect nothing": ("expect: {action: allow}", "expect: {}", "expect: {}", "name one of"),
    "expect the unknown": ("action: allow", "verdict: allow", "verdict", "it takes action"),
    "action unknown": ("action: allow", "action: pass", "action: pass", "write trust"),
    "shadow a text": ("action: allow", "shadow: allow", "shadow: allow", "from a rule's id"),
    "merge key": ("    expect: {", "<<:\n    expect: {", "<<:", "write the keys out"),
    "name twice": ("  - name: a", "  - {name: a, expect: {action: allow}}\n  - name: a", "name: a, ex", "how the cases differ"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "at", "hint"), CASE_MISTAKES.values(), ids=list(CASE_MISTAKES))
def test_pol9_so_are_mistakes_in_test_files(old: str, new: str, at: str, hint: str) -> None:
    assert old in CASES
    assert len(parse_cases(CASES.encode(), "p").cases) == 1
    text = CASES.replace(old, new, 1)
    with pytest.raises(PolicyInvalid) as refused:
        parse_cases(text.encode(), "policies/mine.yaml")
    found = REFUSAL.fullmatch(refused.value.message)
    assert found is not None, refused.value.message
    assert hint in found[4], refused.value.message
    before = text[: text.index(at)]
    assert (int(found[1]), int(found[2])) == (before.count("\n") + 1, len(before) - before.rfind("\n"))


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    from sidecar.policy.reading import MAX_BYTES

    path = tmp_path / "big.yaml"
    path.write_bytes(b"#" * (MAX_BYTES * 3))
    with pytest.raises(PolicyInvalid, match="larger than 1 MiB; hint"):
        load(path)
