"""The pages about policies say what happens: their commands are run, their rules are parsed, their tables are complete."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.policy.language import load, parse
from sidecar.shipped import policy_directory

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "policies.md").read_text()
BLOCK = re.compile(
    r"(?:<!-- (?P<role>file|rules|top)(?:: (?P<name>\S+))? -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```", re.M | re.S
)


def commands(text: str) -> list[tuple[str, list[str]]]:
    """The commands of a console block with the lines they must print; ``> `` continues a command."""
    found: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.startswith(">"):
            command, printed = found.pop()
            found.append((f"{command}\n{line[2:]}", printed))
        else:
            found[-1][1].append(line)
    return found


def printed_as_said(said: list[str], printed: list[str]) -> bool:
    """``...`` stands for any lines, and within a line for anything."""
    lines = (re.escape(line).replace(re.escape("..."), ".*") + "\n" for line in said)
    pattern = "".join("(?:.*\n)*" if line == ".*\n" else line for line in lines)
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in printed)) is not None


@pytest.mark.timeout(600)  # two dozen commands, each its own process
def test_the_tutorial_is_what_happens(tmp_path: Path) -> None:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "200"}
    ran = 0
    for block in BLOCK.finditer(PAGE):
        if block["role"] == "file":
            (tmp_path / block["name"]).write_text(block["text"])
        if block["kind"] != "console":
            continue
        for command, said in commands(block["text"]):
            done = subprocess.run(
                ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
            )
            printed = (done.stdout + done.stderr).splitlines()
            assert printed_as_said(said, printed), f"$ {command}\n" + "\n".join(printed)
            ran += 1
    assert ran > 15
    assert "Backtest of balanced" in (tmp_path / "report.html").read_text()


def test_every_rule_on_the_page_is_accepted() -> None:
    text = (policy_directory() / "default.yaml").read_text()
    tops = "".join(block["text"] for block in BLOCK.finditer(PAGE) if block["role"] == "top")
    rules = [block["text"] for block in BLOCK.finditer(PAGE) if block["role"] == "rules"]
    indented = "".join(
        "  " + line if line.strip() else line for block in rules for line in block.splitlines(keepends=True)
    )
    made = parse(text.replace("rules:\n", f"{tops}\nrules:\n{indented}\n", 1).encode(), "page")
    assert {"three-failures", "payroll-from-elsewhere", "spare-the-second-factor"} <= {rule.id for rule in made.rules}
    assert set(made.lists) == {"head-office", "travellers", "nordic"}


def test_every_consequence_on_the_page_is_accepted() -> None:
    text = (policy_directory() / "default.yaml").read_text()
    lines = re.findall(r"^then: .+$", PAGE, re.M)
    assert len(lines) == 3
    for line in lines:
        assert parse(text.replace("    then: allow", f"    {line}", 1).encode(), "page")


def test_the_page_of_shipped_policies_names_every_rule() -> None:
    page = (ROOT / "docs" / "shipped-policies.md").read_text()
    for name in ("default", "observe-only", "strict"):
        policy = load(policy_directory() / f"{name}.yaml")
        assert {rule.id for rule in policy.rules if f"`{rule.id}`" not in page} == set()
        assert f"{policy.mismatch_from:g}" in page.replace("0.0", "0")
