"""One origin for a Keycloak and its sidecar: a reverse proxy, as an administrator puts one before them."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

from sidecar.demo.launch import free_port

HOP = ("connection", "transfer-encoding", "content-length", "content-encoding", "keep-alive")


class Front:
    """Sends what is below ``/gate`` to the sidecar, and everything else to Keycloak under the host that was asked for."""

    def __init__(self, keycloak: str, sidecar_port: int) -> None:
        self.port = free_port()
        self.sent: list[str] = []
        front = self

        class Bound(_Caller):
            owner = front

        self.keycloak, self.sidecar = keycloak, f"http://127.0.0.1:{sidecar_port}"
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Bound)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        """The origin that browsers see."""
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class _Caller(BaseHTTPRequestHandler):
    owner: Front
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        gate = self.path.startswith("/gate/")
        url = f"{self.owner.sidecar}{self.path[5:]}" if gate else f"{self.owner.keycloak}{self.path}"
        headers = [
            (name, value) for name, value in self.headers.items() if name.lower() not in (*HOP, "accept-encoding")
        ]
        answer = httpx.request(self.command, url, content=body, headers=headers, trust_env=False, timeout=30)
        if gate:
            self.owner.sent.append(f"{self.command} {self.path[5:]} {answer.status_code}")
        self.send_response(answer.status_code)
        for name, value in answer.headers.multi_items():
            if name.lower() not in (*HOP, "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    do_POST = do_GET  # noqa: N815 - http.server's name

    def log_message(self, *_: object) -> None:
        """Stay quiet."""
