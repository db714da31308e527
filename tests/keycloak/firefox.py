"""Debian's Firefox, driven by Marionette: Playwright drives only a Firefox of its own making."""

import json
import math
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sidecar.demo.launch import free_port
from sidecar.evaluation.synthetic import Row

EXECUTABLES = ("firefox-esr", "firefox")
START_SECONDS = 120
ENTER, TAB = "\ue007", "\ue004"
QUIET = {
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "app.update.enabled": False,
    "network.proxy.type": 0,
}


class Firefox:
    """One window. Commands are WebDriver's, spoken over Marionette's socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._number = connection, 0
        self._read()  # it greets
        self.call("WebDriver:NewSession", capabilities={"alwaysMatch": {}})

    def call(self, command: str, **parameters: Any) -> Any:
        """Run a command; return its value."""
        self._number += 1
        message = json.dumps([0, self._number, command, parameters]).encode()
        self._connection.sendall(str(len(message)).encode() + b":" + message)
        _, _, error, result = self._read()
        assert error is None, error
        return result.get("value") if isinstance(result, dict) and set(result) == {"value"} else result

    def open(self, url: str) -> None:
        """Go to a page and wait until it is there."""
        self.call("WebDriver:Navigate", url=url)

    def script(self, source: str) -> Any:
        """Run a function's body in the page."""
        return self.call("WebDriver:ExecuteScript", script=source, args=[])

    def press(self, events: Sequence[tuple[float, str, str]]) -> None:
        """Press and release keys: (milliseconds, keyDown or keyUp, key), in order."""
        actions: list[dict[str, object]] = []
        before = events[0][0]
        for at, kind, key in events:
            actions += [{"type": "pause", "duration": round(at - before)}, {"type": kind, "value": key}]
            before = at
        self.call("WebDriver:PerformActions", actions=[{"type": "key", "id": "keyboard", "actions": actions}])

    def until(self, holds: str, seconds: float = 20) -> None:
        """Wait until an expression is true in the page."""
        end = time.monotonic() + seconds
        while not self.script(f"return Boolean({holds})"):
            assert time.monotonic() < end, f"{self.script('return location.href')}: never {holds}"
            time.sleep(0.1)

    def _read(self) -> Any:
        length = b""
        while (one := self._connection.recv(1)) != b":":
            assert one, "Firefox hung up"
            length += one
        left, parts = int(length), []
        while left:
            parts.append(self._connection.recv(left))
            left -= len(parts[-1])
        return json.loads(b"".join(parts))


def keys(text: str, rows: Sequence[Row], last: str) -> list[tuple[float, str, str]]:
    """Return the events of typing a text with these rows, and ``last`` after it."""
    events = []
    for character, (down, hold) in zip([*text, last], [*rows, (rows[-1][0] + 300, 80.0)], strict=False):
        events += [(down, "keyDown", character), (down + (80.0 if math.isnan(hold) else hold), "keyUp", character)]
    return sorted(events)


@contextmanager
def firefox(profile: Path) -> Iterator[Firefox]:
    """Run Firefox without a screen until the end of the block."""
    executable = next((found for name in EXECUTABLES if (found := shutil.which(name))), None)
    assert executable, "install Firefox (Debian: apt install firefox-esr)"
    port = free_port()
    preferences = QUIET | {"marionette.port": port}
    lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in preferences.items())
    profile.mkdir(parents=True, exist_ok=True)
    (profile / "user.js").write_text("\n".join(lines))
    command = [executable, "--headless", "--marionette", "--no-remote", "--profile", str(profile)]
    env = os.environ | {"HOME": str(profile), "MOZ_CRASHREPORTER_DISABLE": "1"}
    with (profile / "log").open("wb") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        with _connected(port, process) as connection:
            yield Firefox(connection)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def _connected(port: int, process: "subprocess.Popen[bytes]") -> socket.socket:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=60)
        except OSError:
            time.sleep(0.2)
    raise AssertionError("Firefox did not start")
