"""The demo command itself: one at a time on a state directory, and nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from sidecar.demo.launch import free_port


def _demo(state: Path, port: int, *words: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-W", "ignore", "-m", "sidecar", "demo", "--no-browser", "--state", str(state)]
    return subprocess.Popen(
        [*command, "--port", str(port), *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def _ready(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("ready: operator URL"):
            return
    raise AssertionError("the demo did not get ready")


def test_a_second_start_touches_nothing(tmp_path: Path) -> None:
    port = free_port()
    first = _demo(tmp_path / "state", port)
    try:
        _ready(first)
        before = (tmp_path / "state" / "demo.json").read_bytes()
        for words in (("--fresh",), ()):
            second = _demo(tmp_path / "state", free_port(), *words)
            out, _ = second.communicate(timeout=60)
            assert second.returncode == 2
            assert "a demo already runs" in out
        third = _demo(tmp_path / "elsewhere", port)
        assert "choose another --port" in third.communicate(timeout=60)[0]
        assert (tmp_path / "state" / "demo.json").read_bytes() == before
        assert httpx.get(f"http://localhost:{port + 2}/login", follow_redirects=True).status_code == 200
        for name in ("idp.db", "demo.json", "idp-oidc.pem", "sidecar/gaitkeeper.db", "sidecar/keys/master.json"):
            assert (tmp_path / "state" / name).stat().st_mode & 0o077 == 0, name
    finally:
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=30)


def test_fresh_empties_nothing_but_a_demo(tmp_path: Path) -> None:
    """A mistyped --state must not cost anybody their files."""
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "one.txt").write_text("dear")
    process = _demo(tmp_path, free_port(), "--fresh")
    try:
        _ready(process)
        assert (tmp_path / "letters" / "one.txt").read_text() == "dear"
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_stops_all_it_started(tmp_path: Path, how: signal.Signals) -> None:
    """Ctrl-C, a polite kill and a closed terminal, while it starts and when it is there."""
    port = free_port()
    for wait in (False, True):
        process = _demo(tmp_path, port)
        if wait:
            _ready(process)
        else:
            time.sleep(2.5)
        process.send_signal(how)
        process.communicate(timeout=60)
        left = [
            entry.name
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and entry.name != str(os.getpid()) and str(tmp_path).encode() in _words(entry)
        ]
        assert left == []


def _words(entry: Path) -> bytes:
    try:
        return (entry / "cmdline").read_bytes()
    except OSError:
        return b""
