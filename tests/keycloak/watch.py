"""A process of its own that times two kinds of requests over and over, until its input ends.

In the process of a hundred clients, the clients would be what is measured.
"""

import http.client
import json
import sys
import threading
import time
from urllib.parse import urlsplit

PAUSE_SECONDS = 0.02


def timed(connection: http.client.HTTPConnection, path: str, form: str | None) -> float:
    began = time.monotonic()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST" if form else "GET", path, form, headers if form else {})
    answer = connection.getresponse()
    answer.read()
    if answer.status != http.client.OK:
        raise SystemExit(f"{path} answered {answer.status}")
    return time.monotonic() - began


def main(health: str, token: str, form: str) -> None:
    """Print the longest seconds of each kind: {"count": .., "health": .., "login": ..}."""
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    count, worst = 0, {"health": 0.0, "login": 0.0}
    calls = [("health", urlsplit(health), None), ("login", urlsplit(token), form)]
    connections = {name: http.client.HTTPConnection(url.netloc, timeout=30) for name, url, _ in calls}
    while not ended.is_set():
        for name, url, body in calls:
            worst[name] = max(worst[name], timed(connections[name], url.path, body))
        count += 1
        if count == 1:
            worst = {"health": 0.0, "login": 0.0}  # the first ones opened the connections
            print("ready", flush=True)
        time.sleep(PAUSE_SECONDS)
    print(json.dumps({"count": count, **worst}), flush=True)


main(*sys.argv[1:])
