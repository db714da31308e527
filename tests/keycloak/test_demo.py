"""``make demo-keycloak`` as a visitor meets it: a stranger is asked, the operator reads why and ends the session."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyotp
import pytest

from sidecar.demo.launch import free_port
from sidecar.demo.layout import PEOPLE
from sidecar.evaluation.synthetic import typist
from sidecar.rehearsal import keyboard

START_SECONDS = 420
AMELIA, OPERATOR = PEOPLE[0], PEOPLE[1]
STRANGER = 3


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Run the command until its last line; return the URLs that it printed."""
    state = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "sidecar.demo.keycloak", "--port", str(free_port(4)), "--state", str(state)]
    version = os.environ.get("KEYCLOAK_VERSION")
    command += ["--version", version] if version else []
    printed = state / "printed"
    with printed.open("wb") as out:
        process = subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=out, stderr=out)
    try:
        end = time.monotonic() + START_SECONDS
        while "ready: operator URL" not in printed.read_text():
            assert process.poll() is None, printed.read_text()
            assert time.monotonic() < end, printed.read_text()
            time.sleep(0.5)
        lines = printed.read_text().splitlines()
        yield dict(line.removeprefix("ready: ").split(" URL ") for line in lines if line.startswith("ready: "))
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert "stopped" in printed.read_text()


@pytest.mark.timeout(600)
def test_a_stranger_is_asked_and_the_operator_ends_the_session(demo: dict[str, str], browser: Any) -> None:
    page = browser.new_context(locale="en-US").new_page()
    page.goto(demo["login"])
    page.focus("#username")
    rng, devtools = np.random.default_rng(STRANGER), page.context.new_cdp_session(page)
    keyboard.play(devtools, AMELIA.username, typist(STRANGER).login(rng, len(AMELIA.username), enter=False))
    page.keyboard.press("Tab")
    page.focus("#password")
    keyboard.play(devtools, AMELIA.password, typist(STRANGER).login(rng, len(AMELIA.password)))
    page.wait_for_selector("#otp")
    page.fill("#otp", pyotp.TOTP(str(AMELIA.totp_secret)).now())
    page.click("#kc-login")
    page.wait_for_selector("#account")
    assert "Amelia Hart" in page.inner_text("#account h1")

    watch = browser.new_context(locale="en-US").new_page()
    watch.goto(demo["operator"])
    watch.click("button:has-text('Sign in'), a:has-text('Sign in')")
    watch.fill("#username", OPERATOR.username)
    watch.fill("#password", OPERATOR.password)
    watch.click("#kc-login")
    row = watch.locator("li.decision", has_text=AMELIA.username).first
    row.locator("summary").click()
    assert "decided by keystroke-mismatch" in row.inner_text()
    row.get_by_role("button", name="End session").click()
    watch.get_by_text("session ended").first.wait_for(timeout=30_000)
    # Keycloak tells the application by a logout token (OpenID Connect Back-Channel Logout), which verifies it.
    page.get_by_text("You have been signed out by security").wait_for(timeout=15_000)
