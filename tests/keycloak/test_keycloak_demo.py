"""``make demo-keycloak`` as far as the first login."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyotp
import pytest
from server import ROOT, VERSION

from sidecar.demo.keycloak import AMELIA, REALM
from sidecar.demo.launch import free_port
from sidecar.demo.seeding import synthetic_login
from sidecar.rehearsal import keyboard

pytestmark = pytest.mark.timeout(900)


def test_ops1_one_command_brings_a_realm_with_a_seeded_user_who_signs_in(browser: Any, tmp_path: Path) -> None:
    port, other = free_port(), free_port()
    words = ["--port", str(port), "--sidecar-port", str(other), "--state", str(tmp_path / "demo"), "--version", VERSION]
    command = [sys.executable, "-u", "-m", "sidecar.demo.keycloak", *words]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout
        said = []
        for line in demo.stdout:
            said.append(line)
            if line.startswith("Ctrl-C"):
                break
        try:
            assert "Nothing to change." not in "".join(said)
            url = next((line.split()[-1] for line in said if line.startswith("Sign in here")), None)
            assert url == f"http://127.0.0.1:{port}/realms/{REALM}/account/", "".join(said)
            _sign_in(browser, url)
        finally:
            demo.send_signal(signal.SIGINT)
            rest = demo.stdout.read()
            assert demo.wait(60) == 0
    assert rest.strip() == "stopped"


def _sign_in(browser: Any, url: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector("#username")
    page.wait_for_load_state()
    names, rows = synthetic_login(int(AMELIA.typist or 0), 9001, AMELIA.username, AMELIA.password)
    page.focus("#username")
    keyboard.play(context.new_cdp_session(page), AMELIA.username, names)
    page.keyboard.press("Tab")
    page.focus("#password")
    keyboard.play(context.new_cdp_session(page), AMELIA.password, rows)
    page.wait_for_selector("#otp, [data-testid='page-heading'], #root h1")
    if page.query_selector("#otp"):  # a machine too busy for the deadline of 250 ms
        page.fill("#otp", pyotp.TOTP(str(AMELIA.totp_secret)).now())
        page.click("#kc-login")
    page.wait_for_selector("text=Personal info")
    context.close()
