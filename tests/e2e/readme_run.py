"""Run the README's shell blocks in an empty HOME on a clean clone, up to the first challenge of a stranger.

``make readme-run``. Needs what the README asks for: Python 3.11, Node 20, make, Chromium. The blocks tagged ``sh`` are run
in order; the one that starts the demo is left running while, in a real browser, a stranger types the printed password
and the seeded user types it in its own (synthetic) rhythm. Ends with 0 and the seconds, or with 1 and the reason.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
READY = "ready: operator URL"
LIMIT_SECONDS = 900

# Runs inside the clone's own environment: the demo's people, widget and player are the clone's.
VISIT = """
import sys, re, json
from sidecar.demo.layout import PEOPLE, Layout
from sidecar.rehearsal.browser import chromium
from sidecar.config import load_settings
from sidecar.main import build
from pathlib import Path
sys.path.insert(0, "tests")
from support.stage import Demo, Visitor, STRANGER
person = PEOPLE[0]
assert person.password in sys.argv[1] and person.username in sys.argv[1], "the password is not printed"
layout = Layout(Path(".gaitkeeper/demo"), 8800)
sidecar = build(load_settings(layout.sidecar_settings))
with chromium() as browser:
    demo = Demo(layout, sidecar, browser, [])
    for who, where in ((STRANGER, "otp"), (int(person.typist), "app")):
        visitor = demo.visitor()
        visitor.open()
        visitor.type_login(person, who)
        visitor.arrived(where)
        if where == "otp":
            print("challenged", flush=True)
        answer = demo.last()["answer"]
        expected = {"otp": ("step_up", "keystroke-mismatch"), "app": ("allow", "outcome.match")}[where]
        assert (answer["action"], answer["rule_id"]) == expected, answer
print("allowed", flush=True)
"""


def main() -> None:
    """Clone, run, report."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gaitkeeper-readme-") as directory:
        home, clone = Path(directory) / "home", Path(directory) / "clone"
        home.mkdir()
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        environment = {"HOME": str(home), "PATH": _bare_path(), "LANG": "C.UTF-8"} | _network()
        blocks = BLOCK.findall((clone / "README.md").read_text())
        demo = next((block for block in blocks if "make demo" in block), None)
        if demo is None:
            sys.exit("the README has no block with make demo")
        for block in blocks[: blocks.index(demo)]:
            subprocess.run(["bash", "-euc", block], cwd=clone, env=environment, check=True)
        shown = _start(demo, clone, environment)
        try:
            text = _until_ready(shown)
            visit = subprocess.Popen(
                [clone / ".venv/bin/python", "-W", "ignore", "-c", VISIT, text],
                cwd=clone,
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
            )
            for line in visit.stdout or ():
                if line.strip() == "challenged":
                    print(f"from clone to the first challenge of a stranger: {time.monotonic() - began:.0f} s")
                if line.strip() == "allowed":
                    print("the seeded user's own synthetic rhythm was allowed")
            if visit.wait() != 0:
                sys.exit("the visit did not go as the README says")
        finally:
            os.killpg(shown.pid, signal.SIGINT)
            shown.wait(20)


def _start(block: str, clone: Path, environment: dict[str, str]) -> "subprocess.Popen[str]":
    # A shell may leave SIGINT ignored for what it starts in the background; Ctrl-C must work as for a person.
    return subprocess.Popen(
        ["bash", "-euc", block],
        cwd=clone,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )


def _until_ready(shown: "subprocess.Popen[str]") -> str:
    lines = []
    deadline = time.monotonic() + LIMIT_SECONDS
    for line in shown.stdout or ():
        lines.append(line)
        print("  | " + line, end="", flush=True)
        if line.startswith(READY):
            return "".join(lines)
        if time.monotonic() > deadline:
            break
    sys.exit("the demo did not get ready")


def _bare_path() -> str:
    """Return a PATH with only the tools the README asks for."""
    tools = ("python3", "node", "npm", "make", "git", "chromium", "bash")
    found = [str(Path(path).parent) for tool in tools if (path := shutil.which(tool))]
    return os.pathsep.join(dict.fromkeys([*found, "/usr/bin", "/bin"]))


def _network() -> dict[str, str]:
    """Keep what a machine needs to reach its package indexes, and nothing else."""
    wanted = re.compile(
        r"(?i)^(https?_proxy|no_proxy|ssl_cert_.*|requests_ca_bundle|node_extra_ca_certs|pip_.*|npm_config_.*)$"
    )
    return {name: value for name, value in os.environ.items() if wanted.match(name)}


if __name__ == "__main__":
    main()
