"""What the file is before it is a policy: bytes, characters, YAML. Nothing is dropped or read otherwise than it looks (POL1)."""

import re
import time

import pytest

from sidecar.errors import PolicyInvalid
from sidecar.policy.language import parse
from sidecar.policy.reading import MAX_DEPTH
from sidecar.policy.testing import parse_cases
from sidecar.shipped import policy_directory

GOOD = (policy_directory() / "default.yaml").read_text()
CASES = "schema: 1\nnow: 2026-11-21\nfacts: {profile.confirmed: true}\ncases:\n  - {name: a, expect: {action: allow}}\n"


def refusal(raw: bytes) -> tuple[int, int, str]:
    with pytest.raises(PolicyInvalid) as refused:
        parse(raw, "p.yaml")
    found = re.fullmatch(r"p\.yaml:(\d+):(\d+): (.+; hint: .+)", refused.value.message)
    assert found, refused.value.message
    return int(found[1]), int(found[2]), found[3]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('- "!profile.confirmed"', "- ! profile.confirmed"),
        ('- "!profile.confirmed"', '- ! "profile.confirmed"'),
        ("['mark.state == \"compromised\"']", "[! profile.confirmed]"),
        ("id: balanced", "id: ! balanced"),
        ("prior: 0.02", "prior: ! 0.02"),
        ("rules:\n", "rules: !\n"),
        ("    then: allow", "    then: ! deny"),
        ("outcomes:\n", "! outcomes:\n"),
        ("schema: 1", "--- !\nschema: 1"),
        ("id: balanced", "id: !!str balanced"),
        ("id: balanced", "id: !<tag:yaml.org,2002:str> balanced"),
    ],
)
def test_pol11_a_tag_is_refused_where_it_stands_so_that_no_negation_is_lost(old: str, new: str) -> None:
    """``- ! a`` is the expression ``a`` to a YAML parser."""
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    at = text.index(new) + new.index("!")
    before = text[:at]
    assert refusal(text.encode()) == (
        before.count("\n") + 1,
        len(before) - before.rfind("\n"),
        "tags are not allowed; hint: write the plain value; an expression that begins with ! needs quotes",
    )


def test_pol11_so_in_test_files() -> None:
    with pytest.raises(PolicyInvalid, match=r"^p:3:28: tags are not allowed; hint: "):
        parse_cases(CASES.replace(": true", ": ! true").encode(), "p")


@pytest.mark.parametrize("directive", ["%YAML 1.1", "%YAML 1.2", "%TAG ! tag:x,2000:", "%FOO bar"])
def test_every_directive_is_refused(directive: str) -> None:
    assert refusal(f"{directive}\n---\n{GOOD}".encode())[:2] == (1, 1)


@pytest.mark.parametrize(
    ("raw", "line", "column", "message"),
    [
        (GOOD.encode("utf-16"), 1, 1, "UTF-16"),
        (GOOD.encode("utf-16-be"), 1, 1, "U+0000"),
        (GOOD.replace("id: balanced", "id: balåncæd").encode("latin-1"), 3, 8, "not UTF-8: the byte 0xe5"),
        (b"\xef\xbb\xbf" + GOOD.replace("schema: 1", "sch\xe9ma: 1").encode("latin-1"), 2, 4, "0xe9"),
        (GOOD.replace("schema: 1\n", "schema: 1\r").encode(), 2, 10, "end lines with LF or CR LF"),
        (GOOD.replace("id: balanced", "id: balanced\u0085").encode(), 3, 13, "U+0085"),
        (GOOD.replace("id: balanced", "id: balanced # \u202e").encode(), 3, 16, "U+202E"),
        (GOOD.replace("id: balanced", "\ufeffid: balanced").encode(), 3, 1, "U+FEFF"),
        (GOOD.replace("prior:", "pri\u200bor:").encode(), 10, 4, "U+200B"),
        (GOOD.replace("Ask for", "Ask\u2028for").encode(), 4, 17, "U+2028"),
        (GOOD.replace("prior: 0.02", "prior: \x1b").encode(), 10, 8, "U+001B"),
    ],
)  # fmt: skip
def test_what_is_no_text_is_refused_at_its_first_byte(raw: bytes, line: int, column: int, message: str) -> None:
    found = refusal(raw)
    assert found[:2] == (line, column)
    assert message in found[2]


@pytest.mark.parametrize("raw", [b"\xef\xbb\xbf" + GOOD.encode(), GOOD.replace("\n", "\r\n").encode()])
def test_a_byte_order_mark_of_utf_8_and_line_ends_of_windows_are_taken(raw: bytes) -> None:
    assert parse(raw).id == "balanced"


@pytest.mark.parametrize(
    ("raw", "line", "column"),
    [
        (b"- " * 524_288, 1, 2 * MAX_DEPTH + 1),
        (b"[" * 1_048_576, 1, MAX_DEPTH + 1),
        (b"? " * 524_288, 1, 2 * MAX_DEPTH + 1),
        (b"".join(b" " * depth + b"a:\n" for depth in range(1400)), MAX_DEPTH + 1, MAX_DEPTH + 1),
        (b"- [{ " * 200_000, 1, 124),
    ],
    ids=["dashes", "brackets", "keys", "indentation", "mixed"],
)
def test_nesting_is_bounded_where_it_begins_to_be_too_deep_and_at_once(raw: bytes, line: int, column: int) -> None:
    began = time.process_time()
    found = refusal(raw[: 1024 * 1024])
    assert found[:2] == (line, column)
    assert "nested deeper than 50 levels" in found[2]
    assert time.process_time() - began < 5.0


@pytest.mark.parametrize("inside", ["# " + ":[ " * 60, "# " + "{[" * 60])
def test_brackets_in_a_comment_or_a_text_nest_nothing(inside: str) -> None:
    assert parse(GOOD.replace("rules:\n", f"{inside}\nrules:\n", 1).encode()).id == "balanced"
    assert parse(GOOD.replace("description: Ask", f"description: '{inside}'\nx: ", 1).replace("\nx: ", " #").encode())


def test_a_file_of_many_mistakes_of_one_kind_is_refused_soon() -> None:
    began = time.process_time()
    with pytest.raises(PolicyInvalid):
        parse(b"- &a x\n" * 140_000, "p")
    assert time.process_time() - began < 5.0
