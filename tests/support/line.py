"""A TCP line to a server that can be cut at a chosen moment: after what was sent arrived, before its answer comes back."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Line:
    """Forwards connections to a port of this machine."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._word: bytes | None = None
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_at(self, word: bytes) -> None:
        """Deliver the next message that holds ``word``, wait until it is answered, swallow the answer and hang up."""
        self._word = word

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                cut = threading.Event()
                threading.Thread(target=self._out, args=(near, far, cut), daemon=True).start()
                threading.Thread(target=self._back, args=(near, far, cut), daemon=True).start()

    def _out(self, near: socket.socket, far: socket.socket, cut: threading.Event) -> None:
        with suppress(OSError):
            while data := near.recv(65536):
                if self._word is not None and self._word in data:
                    self._word = None
                    cut.set()
                far.sendall(data)
            far.shutdown(socket.SHUT_WR)

    def _back(self, near: socket.socket, far: socket.socket, cut: threading.Event) -> None:
        with suppress(OSError), near, far:
            while data := far.recv(65536):
                if cut.is_set():
                    near.shutdown(socket.SHUT_RDWR)
                    return
                near.sendall(data)


@contextmanager
def line(to: int) -> Iterator[Line]:
    """Open a line until the end of the block."""
    made = Line(to)
    try:
        yield made
    finally:
        made.close()
