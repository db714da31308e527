"""What a login costs more with the plugin: the same server, the same user, with and without it in turn.

    make bench-keycloak                         # a server of its own
    python -m benchmarks.keycloak_latency --url http://127.0.0.1:8080 --keys DIR   # one that runs, with its key-dir

Logins come at a fixed rate, whether the last one is done or not, and alternate between a client with our flow and one with
Keycloak's own. The user has no second factor, so both end after one form; the passwords are hashed cheaply, or hashing would
be all that is measured. Printed: the time from the form to the redirect, the difference of medians and of 95th percentiles
with bootstrap intervals, and the time in our execution as measured inside the server.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "keycloak"))

from direct import Direct
from server import ADMIN, Server, running
from stage import Stage

from idp_adapters.keycloak.admin import AdminApi
from sidecar.demo.launch import free_port

WITH, WITHOUT = "side", "app"
USER = "emil"
WORKERS = 32
WARM_UP = 30
DRAWS = 2000
GOAL_MS = 10.0

Floats = npt.NDArray[np.float64]


@contextmanager
def _server(url: str | None, keys: Path | None) -> Iterator[Server]:
    if url and keys:
        yield Server(url, keys, Path("/dev/null"))
        return
    with tempfile.TemporaryDirectory() as directory, running(Path(directory)) as started:
        yield started


def _login(stage: Stage, client: str) -> float:
    """Log in from nowhere; return the milliseconds from the posted form to the redirect. The page is not counted."""
    with Direct(stage) as direct:
        page = direct.sign_in(direct.open(client), USER, typed=True)
    if page.name != "app":
        raise SystemExit(f"a login at {client} ended at {page.name}")
    return page.seconds * 1000


def measured(stage: Stage, logins: int, rate: float) -> dict[str, Floats]:
    """Return the milliseconds of ``logins`` logins of each kind, begun ``rate`` a second."""
    for number in range(WARM_UP):
        _login(stage, (WITH, WITHOUT)[number % 2])
    began = time.monotonic()
    running_logins = []
    with ThreadPoolExecutor(WORKERS) as workers:
        for number in range(2 * logins):
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            client = (WITH, WITHOUT)[number % 2]
            running_logins.append((client, workers.submit(_login, stage, client)))
    return {
        kind: np.array([login.result() for client, login in running_logins if client == kind])
        for kind in (WITH, WITHOUT)
    }


def difference(found: dict[str, Floats], percent: float, seed: int) -> dict[str, float]:
    """Return the difference of a percentile, with minus without, and its 95% bootstrap interval over logins."""
    rng = np.random.default_rng(seed)
    draws = [
        np.percentile(rng.choice(found[WITH], len(found[WITH])), percent)
        - np.percentile(rng.choice(found[WITHOUT], len(found[WITHOUT])), percent)
        for _ in range(DRAWS)
    ]
    low, high = np.percentile(draws, [2.5, 97.5])
    value = np.percentile(found[WITH], percent) - np.percentile(found[WITHOUT], percent)
    return {"ms": round(float(value), 2), "low": round(float(low), 2), "high": round(float(high), 2)}


def report(stage: Stage, found: dict[str, Floats], rate: float, seed: int) -> dict[str, object]:
    """Return the figures."""
    told = stage.call_realm("events", b"{}").json()
    names = {WITH: "with", WITHOUT: "without"}
    percentiles = {
        names[kind]: {f"p{percent}": round(float(np.percentile(found[kind], percent)), 2) for percent in (50, 95, 99)}
        for kind in found
    }
    return {
        "logins": {names[kind]: len(found[kind]) for kind in found},
        "rate_per_second": rate,
        "form_to_redirect_ms": percentiles,
        "added_median": difference(found, 50, seed),
        "added_p95": difference(found, 95, seed),
        "in_our_execution_ms": {
            name.removesuffix("_us"): value / 1000 for name, value in told["times"].items() if name.endswith("_us")
        },
        "evaluations": told["evaluations"],
    }


def main() -> None:
    """Run the benchmark; exit with 1 when the goal is asked for and missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="a running server with our jar")
    parser.add_argument("--keys", type=Path, help="its key-dir")
    parser.add_argument("--logins", type=int, default=300, help="of each kind")
    parser.add_argument("--rate", type=float, default=8.0, help="logins a second, both kinds together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--require", action="store_true", help=f"added p95 at most {GOAL_MS:.0f} ms")
    chosen = parser.parse_args()
    with _server(chosen.url, chosen.keys) as server, tempfile.TemporaryDirectory() as state:
        name = f"bench-{int(time.time())}"
        with AdminApi(server.url, name, user=ADMIN, password=ADMIN) as api:
            options = ("--client", WITH, "--deadline-ms", "250")
            stage = Stage(server, name, Path(state), None, api, port=free_port(), options=options)
            try:
                stage.prepare()
                # It refuses two logins of one person at once.
                api.put("", {"realm": name, "bruteForceProtected": False})
                stage.add_person(USER, otp=False, gaitkeeper_consent=["given 1 1795270000"])
                stage.learn(USER)
                figures = report(stage, measured(stage, chosen.logins, chosen.rate), chosen.rate, chosen.seed)
            finally:
                stage.close()
                api.delete("")
    print(json.dumps(figures, indent=2))
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n")
    if chosen.require and figures["added_p95"]["ms"] > GOAL_MS:  # type: ignore[index]
        raise SystemExit(1)


if __name__ == "__main__":
    main()
