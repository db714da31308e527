# ruff: noqa: E501 - a row of the table is one mistake
"""Lists, scopes, dates, consequences and tests that say what cannot be meant: refused, or doubted where they could (POL1)."""

import re
from pathlib import Path

import pytest
from test_policy_mistakes import CASES, GOOD
from typer.testing import CliRunner

from sidecar.cli import app
from sidecar.errors import PolicyInvalid
from sidecar.policy.language import parse
from sidecar.policy.testing import parse_cases

MORE = GOOD.replace(
    "\nrules:\n",
    """  north: {countries: ["NO", SE], owner: ops, expires: 2030-01-01}
  crew: {users: [ann, bob], owner: ops, expires: 2030-01-01}

rules:
""",
    1,
).replace("- listed: office", "- any: [listed: office, listed: north, listed: crew]", 1)
GOLD = "{action: step_up, acr_values: gold, effects: [notify]}"
NETWORK, COUNTRIES, USERS = "[192.0.2.0/24]", '["NO", SE]', "[ann, bob]"
# what: (old text, new text, the text whose first character is where the refusal points, part of the message, of the hint)
REFUSED = {
    "country EU": (COUNTRIES, "[EU]", "EU]", "no country", "one by one"),
    "country UK": (COUNTRIES, "[UK]", "UK]", "no country", "did you mean GB?"),
    "country XX": (COUNTRIES, "[XX]", "XX]", "no country", "two capitals"),
    "country of three letters": (COUNTRIES, "[NOR]", "NOR]", "no country", "two capitals"),
    "country false": (COUNTRIES, "[false]", "false]", "must be a text", "quotes"),
    "mapped network": (NETWORK, '["::ffff:192.0.2.0/120"]', '"::ffff', "never match", "write 192.0.2.0/24"),
    "host bits": (NETWORK, "[192.0.2.7/24]", "192.0.2.7", "host bits", "did you mean 192.0.2.0/24?"),
    "host bits of IPv6": (NETWORK, '["2001:db8::1/32"]', '"2001', "host bits", "did you mean 2001:db8::/32?"),
    "netmask": (NETWORK, "[192.0.2.0/255.255.255.0]", "192.0.2.0/2", "a mask", "write 192.0.2.0/24"),
    "hostmask": (NETWORK, "[192.0.2.0/0.0.0.255]", "192.0.2.0/0", "a mask", "write 192.0.2.0/24"),
    "zone": (NETWORK, '["fe80::1%eth0"]', '"fe80', "zone", "leave the zone out"),
    "range": (NETWORK, "[192.0.2.0-192.0.2.255]", "192.0.2.0-", "does not appear", "by its prefix"),
    "two networks in one": (NETWORK, '["192.0.2.0/24, 198.51.100.0/24"]', '"192', "", "an entry for each"),
    "blank after a network": (NETWORK, '["192.0.2.0/24 "]', '"192', "begins or ends with a blank", "take it away"),
    "leading zeros": (NETWORK, "[192.000.002.000/24]", "192.000", "does not appear", "write 192.0.2.0/24"),
    "two users in one": (USERS, '["ann, bob"]', '"ann', "not one user", "an entry for each"),
    "users by blanks": (USERS, "[ann bob]", "ann bob", "not one user", "an entry for each"),
    "user with a blank": (USERS, '["ann "]', '"ann', "begins or ends with a blank", "take it away"),
    "wildcard of users": (USERS, '["*@example.com"]', '"*@', "no wildcards", "name each user"),
    "blank user": (USERS, '["  "]', '"  "', "is blank", "write something"),
    "user in typographic quotes": (USERS, "[\u201cann\u201d]", "\u201cann", "has quotes within", "straight"),
    "user in two pairs of quotes": (USERS, "['\"ann\"']", "'\"ann", "has quotes within", "straight"),
    "user of no width": (USERS, '["an\\u200bn"]', '"an', "U+200B", "plain characters"),
    "user with a bell": (USERS, '["ann\\a"]', '"ann', "U+0007", "plain characters"),
    "client of no width": ("clients: [app]", 'clients: ["a\\u2060pp"]', '"a\\u', "U+2060", "plain characters"),
    "blank owner": ("    owner: ops\n    expires: 2027", '    owner: " "\n    expires: 2027', 'owner: " "', "is blank", "write something"),
    "blank acr": ("acr_values: gold", 'acr_values: " "', 'acr_values: " "', "is blank", "write something"),
    "blank description": ("    owner: ops\n    mode", '    owner: ops\n    description: " "\n    mode', 'description: " "', "is blank", "write something"),
    "scope of all": ("clients: [app]", 'clients: ["*"]', '"*"]', "no wildcards", "leave clients: out"),
    "client twice": ("clients: [app]", "clients: [app, web, app]", "app], networks", "stands twice", "name each once"),
    "list twice": ("networks: [office]", "networks: [office, office]", "office]}\n    when", "stands twice", "name each once"),
    "excepted twice": ("users: [ann]", "users: [ann, ann]", "ann]\n        owner", "stands twice", "name each once"),
    "exception of all": ("users: [ann]", 'users: ["*"]', '"*"]', "no wildcards", "leave users: out"),
    "issuer without its scheme": ("clients: [app]", "idps: [idp.example]", "idp.example]", "no issuer", "https://login"),
    "issuer by its name": ("clients: [app]", "idps: [keycloak]", "keycloak]", "no issuer", "https://login"),
    "year 1": ("expires: 2027-01-01", "expires: 0001-01-01", "expires: 0001", "year 0001", "from 2000 to 2099"),
    "year 9999": ("expires: 2027-01-01", "expires: 9999-12-31", "expires: 9999", "year 9999", "from 2000 to 2099"),
    "year turned": ("expires: 2026-12-01", "expires: 2206-12-01", "expires: 2206", "year 2206", "from 2000 to 2099"),
    "week": ("expires: 2027-01-01", "expires: 2027-W05-1", "expires: 2027-W", "must be a date", "write 2027-01-31"),
    "date without dashes": ("expires: 2027-01-01", "expires: 20270101", "expires: 2027", "must be a date", "write 2027-01-31"),
    "Never": ("expires: 2027-01-01", "expires: Never", "expires: Never", "must be a date", "write 2027-01-31"),
    "factors": ("acr_values: gold", "factor: webauthn otp", "factor: web", "not one factor", "webauthn"),
    "let in and thrown out": (GOLD, "{action: allow, effects: [notify, revoke_all]}", "revoke_all", "would end the session", "deny"),
    "trusted and thrown out": (GOLD, "{action: trust, effects: [revoke_session]}", "revoke_session", "would end the session", "deny"),
    "error trust": ("  error: step_up", "  error: trust", "error: trust", "cannot be trust", "that matches"),
    "mismatch trust": ("  mismatch: step_up", "  mismatch: trust", "mismatch: trust", "cannot be trust", "that matches"),
    "unavailable trust": ("no_capture: step_up", "no_capture: trust", "no_capture: trust", "cannot be trust", "that matches"),
    "insufficient trust": ("    none: step_up", "    none: {action: trust}", "none: {", "cannot be trust", "that matches"),
    "every typing a mismatch": ("mismatch_from: 0.8", "mismatch_from: -6", "mismatch_from", "on every typing", "one between"),
    "no typing a mismatch": ("mismatch_from: 0.8", "mismatch_from: 6.0", "mismatch_from", "on no typing", "one between"),
    "hexadecimal": ("mismatch_from: 0.8", "mismatch_from: 0x1", "mismatch_from", "must be a number", "plain number"),
    "octal": ("mismatch_from: 0.8", "mismatch_from: 0o1", "mismatch_from", "must be a number", "plain number"),
    "underscore": ("mismatch_from: 0.8", "mismatch_from: 0_9", "mismatch_from", "must be a number", "plain number"),
    "leading zero": ("mismatch_from: 0.8", "mismatch_from: 01", "mismatch_from", "must be a number", "plain number"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "at", "message", "hint"), REFUSED.values(), ids=list(REFUSED))
def test_pol1_what_cannot_be_meant_is_refused_at_its_place(
    old: str, new: str, at: str, message: str, hint: str
) -> None:
    assert MORE.count(old) >= 1
    text = MORE.replace(old, new, 1)
    with pytest.raises(PolicyInvalid) as refused:
        parse(text.encode(), "p.yaml")
    found = re.fullmatch(r"p\.yaml:(\d+):(\d+): (.+); hint: (.+)", refused.value.message)
    assert found, refused.value.message
    before = text[: text.index(at)]
    assert (int(found[1]), int(found[2])) == (before.count("\n") + 1, len(before) - before.rfind("\n")), found[0]
    assert message in found[3]
    assert hint in found[4]


# what: (old text, new text, part of the warning)
DOUBTED = {
    "network twice": (NETWORK, "[192.0.2.0/24, 192.0.2.0/24]", "192.0.2.0/24 stands twice in office"),
    "network within": (NETWORK, "[198.51.100.0/24, 192.0.2.128/25, 192.0.2.0/24]", "192.0.2.128/25 lies within 192.0.2.0/24"),
    "every address": (NETWORK, "[0.0.0.0/0]", "0.0.0.0/0 is every address"),
    "every address of IPv6": (NETWORK, '["::/0"]', "::/0 is every address"),
    "country twice": (COUNTRIES, '["NO", SE, "NO"]', "NO stands twice in north"),
    "user twice": (USERS, "[ann, bob, ann]", "ann stands twice in crew"),
    "factor misspelt": ("acr_values: gold", "factor: webautn", "did you mean webauthn?"),
    "factor unknown": ("acr_values: gold", "factor: retina", "known are second_factor"),
    "acr and factor": ("acr_values: gold", "acr_values: gold, factor: webauthn", "both an acr and a factor"),
    "flag for nothing": ("prior: 0.02", "prior: 0.02\nbehavior_may_deny: true", "nothing does"),
    "ids in capitals": ("id: impossible-travel", "id: Office", "differ in capitals only"),
    "a pattern compared": ("keystroke.confidence > 0.5", 'idp.realm == "main-*"', "letter by letter"),
    "the rest a comment": ("keystroke.confidence > 0.5", "keystroke.confidence > 0.5 # && profile.confirmed", "a comment"),
    "an address of no form": ("keystroke.confidence > 0.5", 'network.address == "office"', "no address"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), DOUBTED.values(), ids=list(DOUBTED))
def test_pol1_what_is_odd_is_a_warning_at_its_place(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert MORE.count(old) >= 1
    path = tmp_path / "mine.yaml"
    path.write_text(MORE.replace(old, new, 1))
    line = MORE[: MORE.index(old)].count("\n") + 1 + new.count("\n")
    told = CliRunner().invoke(app, ["policy", "lint", str(path), "--now", "2026-11-21T00:00:00Z"])
    assert told.exit_code == 0, told.output
    warned = [text for text in told.output.splitlines() if message in text]
    assert len(warned) == 1, told.output
    assert re.match(rf"{re.escape(str(path))}:{line}:\d+: warning: .+; hint: .+", warned[0])


def test_the_file_with_lists_of_each_kind_has_nothing_odd_in_it() -> None:
    assert parse(MORE.encode()).doubts == ()
    names = [
        "CN=Ann Bee,O=Acme",
        "auth0|5f7c",
        "ann@example.com",
        "2b1e:7",
    ]  # a directory's, and what providers make of ids
    assert parse(MORE.replace(USERS, str(names), 1).encode()).doubts == ()


@pytest.mark.parametrize(
    ("old", "new", "severity", "message"),
    [
        ("expires: 2027-01-01", "expires: 2020-01-01", "warning", "list office expired on 2020-01-01"),
        ("expires: 2026-12-01", "expires: 2025-12-01", "warning", "exception ann expired"),
        ("expires: 2027-01-01", "expires: 2033-01-01", "warning", "in more than 5 years"),
        ("expires: 2027-01-01", "expires: 2062-01-01", "error", "list office expires on 2062"),
        ("expires: 2026-12-01", "expires: 2062-12-01", "error", "exception ann expires on 2062"),
        ("since: 2026-11-01", "since: 2026-11-22", "error", "since a day to come"),
    ],
)
def test_pol1_dates_are_held_against_today(old: str, new: str, severity: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(MORE.replace(old, new, 1))
    told = CliRunner().invoke(app, ["policy", "lint", str(path), "--now", "2026-11-21T00:00:00Z"])
    assert told.exit_code == (severity == "error")
    assert [line for line in told.output.splitlines() if f": {severity}: " in line and message in line], told.output


CASE_MISTAKES = {
    "percent for a share": ("profile.samples: 3", "risk.probability: 80.0", "lies between 0 and 1", "percent are 0.8"),
    "negative count": ("profile.samples: 3", "failures.device: -3", "at 0 and above", "that the signal can have"),
    "llr out of range": ("profile.samples: 3", "keystroke.llr: 9.0", "between -6 and 6", "that the signal can have"),
    "not a number": ("profile.samples: 3", "keystroke.llr: .nan", "no finite number", "null is unknown"),
    "infinite": ("profile.samples: 3", "travel.speed: .inf", "no finite number", "null is unknown"),
    "no address": ("profile.samples: 3", "network.address: office", "no address", "192.0.2.7"),
    "a network": ("profile.samples: 3", "network.address: 192.0.2.0/24", "never the network", "listed"),
    "no country": ("profile.samples: 3", "network.country: Norway", "no country", "two capitals"),
    "a cause beside a match": ("profile.samples: 3", "keystroke.cause: pasted", "match never comes with", "keystroke.cause: null"),
    "shadow of nothing": ("action: allow", "shadow: {}", "must be a mapping", "from a rule's id"),
    "a factor of an allow": ("action: allow", "action: allow, factor: webauthn", "never comes with", "expect action: step_up"),
    "blank name": ("name: a", 'name: " "', "is blank", "write something"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message", "hint"), CASE_MISTAKES.values(), ids=list(CASE_MISTAKES))
def test_pol9_cases_that_could_not_be_are_refused(old: str, new: str, message: str, hint: str) -> None:
    assert old in CASES
    line = CASES[: CASES.index(old)].count("\n") + 1
    with pytest.raises(PolicyInvalid, match=rf"^p:{line}:\d+: .*{re.escape(message)}.*; hint: .*{re.escape(hint)}"):
        parse_cases(CASES.replace(old, new, 1).encode(), "p")


@pytest.mark.parametrize(
    ("old", "new", "exit_code", "message"),
    [
        ("action: allow", "action: deny", 1, "error: a: action: expected deny, got allow; hint: mend"),
        ("action: allow", "rule: outcome.mtach", 1, "there is no outcome.mtach, did you mean outcome.match?"),
        ("action: allow", "shadow: {ofice: allow}", 1, "no such rule in shadow, did you mean office?"),
        ("action: allow", "action: alow", 1, "error: action cannot be 'alow'"),
        ("profile.samples: 3", "keystroke.llr: 5.0", 0, "warning: a: keystroke.outcome is match, and keystroke.llr 5"),
    ],
)
def test_pol9_lint_tells_what_the_tests_beside_a_policy_say(
    old: str, new: str, exit_code: int, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(MORE)
    (tmp_path / "mine.test.yaml").write_text(
        CASES.replace("match}", "match, profile.confirmed: true}").replace(old, new, 1)
    )
    told = CliRunner().invoke(app, ["policy", "lint", str(path), "--now", "2026-11-21T00:00:00Z"])
    assert told.exit_code == exit_code, told.output
    assert [line for line in told.output.splitlines() if message in line], told.output


def test_pol1_each_line_of_several_mistakes_carries_its_severity(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        MORE.replace("prior: 0.02", "prior: 2").replace(COUNTRIES, "[UK]").replace("mode: shadow", "mode: off")
    )
    lines = CliRunner().invoke(app, ["policy", "lint", str(path)]).output.splitlines()
    assert len(lines) == 3
    assert all(re.match(r".+:\d+:\d+: error: .+; hint: .+", line) for line in lines)
