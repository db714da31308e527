"""A man in the middle between Keycloak and a sidecar who can do whatever a broken one does."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sidecar.demo.launch import free_port

HANG_SECONDS = 6.0
DRIP_SECONDS = 0.3
Answer = Callable[["Caller", httpx.Response], None]


class Middle:
    """Listens on a port of its own and forwards to the port ``to``, unless ``fault`` names what to do instead.

    ``asked``: path and content of every call, oldest first.
    """

    def __init__(self) -> None:
        self.to, self.port = free_port(), free_port()
        self.fault: str | None = None
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._server: ThreadingHTTPServer | None = None
        self.serve()

    @property
    def url(self) -> str:
        """Where Keycloak finds it."""
        return f"http://127.0.0.1:{self.port}"

    def serve(self, context: ssl.SSLContext | None = None) -> None:
        """Listen."""
        middle = self

        class Bound(Caller):
            owner = middle

        self._server = Patient(("127.0.0.1", self.port), Bound)
        if context:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def calls(self, path: str) -> list[dict[str, Any]]:
        """Return what was sent to a path."""
        return [content for where, content in list(self.asked) if where == path]

    def vanish(self) -> None:
        """Stop listening: who calls is refused."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class Patient(ThreadingHTTPServer):
    """Takes a hundred callers at once."""

    request_queue_size = 256
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: object) -> None:
        """Callers that hang up are what is tested here."""


class Caller(BaseHTTPRequestHandler):
    """One connection."""

    owner: Middle
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if body:
            self.owner.asked.append((self.path, json.loads(body)))
        if self.owner.fault == "hang":
            time.sleep(HANG_SECONDS)
            self.close_connection = True
            return
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
        url = f"http://127.0.0.1:{self.owner.to}{self.path}"
        answer = httpx.request(self.command, url, content=body, headers=headers, trust_env=False)
        fault = self.owner.fault if self.path == "/access/v1/evaluation" else None
        FAULTS.get(fault or "", _forward)(self, answer)

    do_GET = do_POST  # noqa: N815 - http.server's name

    def answer(self, status: int, body: bytes) -> None:
        """Answer at once."""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")  # or a caller would still be heard on it after we vanished
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


def _forward(caller: Caller, answer: httpx.Response) -> None:
    caller.answer(answer.status_code, answer.content)


def _drip(caller: Caller, answer: httpx.Response) -> None:
    caller.send_response(200)
    caller.send_header("Content-Length", str(len(answer.content)))
    caller.end_headers()
    caller.close_connection = True
    for one in answer.content[:20]:
        caller.wfile.write(bytes([one]))
        caller.wfile.flush()
        time.sleep(DRIP_SECONDS)


def _said(**otherwise: Any) -> Answer:
    """Return an answerer that lets everybody in, and says something else than the sidecar did about whom."""

    def answer(caller: Caller, real: httpx.Response) -> None:
        context = real.json()["context"] | {"action": "allow"} | otherwise
        caller.answer(200, json.dumps({"decision": True, "context": context}).encode())

    return answer


FAULTS: dict[str, Answer] = {
    "drip": _drip,
    "error": lambda caller, answer: caller.answer(500, answer.content),
    "garbage": lambda caller, _: caller.answer(200, b"<html>All is well"),
    "wrong_id": _said(decision_id="../../admin"),
    "other_login": _said(attempt="another-attempt"),
    "other_user": _said(subject="another-user"),
}


def self_signed(directory: Path) -> ssl.SSLContext:
    """Return a server's context with a certificate that nobody trusts."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, socket.gethostname()[:60])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = directory / "self-signed.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
