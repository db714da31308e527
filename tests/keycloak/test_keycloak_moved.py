"""A realm that moves: exported from a stopped server, imported into another, which has a vault and a proxy."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import httpx
import pytest
from direct import log_in
from server import ADMIN, VERSION, Machine
from stage import Stage

from idp_adapters.keycloak.admin import AdminApi

pytestmark = pytest.mark.timeout(1500)


class Forward(BaseHTTPRequestHandler):
    """A proxy for calls that are posted. ``passed``: their addresses."""

    passed: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        """Pass a call on and its answer back."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        sent = {
            name: value for name, value in self.headers.items() if name.lower() in ("authorization", "content-type")
        }
        answer = httpx.post(self.path, content=body, headers=sent, trust_env=False)
        self.passed.append(self.path)
        self.send_response(answer.status_code)
        self.send_header("Content-Type", answer.headers["Content-Type"])
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def proxy() -> Iterator[str]:
    """Run the proxy; yield its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Forward) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_an_exported_realm_works_on_another_server_as_soon_as_its_key_is_in_the_vault(
    restarted: Stage, tmp_path: Path
) -> None:
    stage, machine = restarted, restarted.server.machine
    assert machine, "needs a server of its own: run without KEYCLOAK_URL"
    assert log_in(stage, typed=True).name == "app"
    machine.end()
    exported = machine.export(stage.name, tmp_path / "export")
    key = (stage.server.keys / f"{stage.name}.jwk").read_text()
    assert json.loads(key)["d"] not in exported.read_text()
    vault = tmp_path / "vault"
    vault.mkdir()
    # At the same address: a realm's issuer is its address, and the sidecar knows it by that.
    with proxy() as between:
        options = (
            "--vault=file", f"--vault-dir={vault}", f"--spi-authenticator--gaitkeeper-risk--proxy={between}",
        )  # fmt: skip
        other = Machine(tmp_path / "no-keys", VERSION, name="demo", port=machine.port, options=options)
        try:
            other.start()
            with AdminApi(stage.server.url, stage.name, user=ADMIN, password=ADMIN) as api:
                api.post("//realms", json.loads(exported.read_text()))
            assert log_in(stage, typed=True).name == "login-login-otp"  # no key, no decision: the fail mode
            assert not Forward.passed
            (vault / f"{stage.name}_gaitkeeper-key").write_text(key)
            assert log_in(stage, typed=True).name == "app"
            assert f"{stage.sidecar_url}/access/v1/evaluation" in Forward.passed
            assert stage.decision().body["facts"]["keystroke.outcome"] == "match"
        finally:
            other.end()
            machine.start()
    assert log_in(stage, typed=True).name == "app"
