"""Kill the sidecar (SIGKILL) under load, again and again, and look for acknowledged decisions that are gone.

``python -m benchmarks.kills --kills 200``. A decision counts as acknowledged when its answer was read completely. After
each kill the database must open, pass ``PRAGMA integrity_check`` and hold every acknowledged decision, whole: body, and
the sample or the completion that was acknowledged with it. Ends with exit code 1 and the ids otherwise.
"""

import argparse
import asyncio
import json
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pysqlite3.dbapi2 as sqlite3

from sidecar.demo.launch import free_port
from sidecar.demo.layout import Layout, write
from sidecar.evaluation.synthetic import typist
from sidecar.rehearsal.payload import hidden_field
from sidecar.tokens import SigningKey, load_signing_key, sign_request

CLIENTS = 8
USERS = 40


@dataclass
class Acknowledged:
    """What callers were told."""

    decisions: set[str] = field(default_factory=set)
    completions: set[str] = field(default_factory=set)
    degraded: int = 0
    lost_connections: int = 0


def main() -> None:
    """Run the loop and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="gaitkeeper-kills-") as directory:
        layout = Layout(Path(directory), free_port())
        settings = write(layout)
        key = load_signing_key((layout.state / "idp-assertion.pem").read_text())
        told = Acknowledged()
        began = time.monotonic()
        for number in range(1, arguments.kills + 1):
            asyncio.run(_one_life(layout, key, told, rng.uniform(0.05, 0.6)))
            missing = _missing(settings.data_dir / "gaitkeeper.db", told)
            if missing:
                sys.exit(f"kill {number}: acknowledged but gone: {', '.join(sorted(missing)[:5])}")
            if number % 10 == 0 or number == arguments.kills:
                print(
                    f"{number} kills, {len(told.decisions)} decisions and {len(told.completions)} completions"
                    f" acknowledged, 0 lost, {told.degraded} degraded, {time.monotonic() - began:.0f} s",
                    flush=True,
                )
    if len(told.decisions) < arguments.kills:
        sys.exit("too few decisions were acknowledged for the kills to mean anything")


async def _one_life(layout: Layout, key: SigningKey, told: Acknowledged, seconds: float) -> None:
    """Start the sidecar, load it for ``seconds`` after it is ready, kill it."""
    process = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs in this loop yet
        [sys.executable, "-m", "sidecar", "serve", "-c", str(layout.sidecar_settings)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        async with httpx.AsyncClient(base_url=layout.sidecar_url, timeout=5.0) as client:
            await _ready(client, process)
            clients = [asyncio.create_task(_load(client, layout, key, told)) for _ in range(CLIENTS)]
            await asyncio.sleep(seconds)
            process.send_signal(signal.SIGKILL)
            await asyncio.gather(*clients)
    finally:
        process.kill()
        process.wait()


async def _ready(client: httpx.AsyncClient, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if process.poll() is not None:
            sys.exit(f"the sidecar did not start again (exit {process.returncode})")
        try:
            if (await client.get("/health/ready")).status_code == 200:
                return
        except httpx.HTTPError:
            await asyncio.sleep(0.05)
    sys.exit("the sidecar was not ready within 30 s")


async def _load(client: httpx.AsyncClient, layout: Layout, key: SigningKey, told: Acknowledged) -> None:
    """Log in and complete with a second factor until the connection breaks."""
    rng = random.Random(secrets.randbits(64))
    generator = np.random.default_rng(secrets.randbits(64))
    while True:
        user = rng.randrange(USERS)
        asked = {
            "subject": {"id": f"user-{user}"},
            "action": {"name": "login"},
            "resource": {"id": "harbour-bank"},
            "context": {
                "attempt": secrets.token_urlsafe(12),
                "capture": hidden_field(typist(user).login(generator, 10)),
            },
        }
        try:
            answer = await _post(client, layout, key, "/access/v1/evaluation", asked)
            decision = answer["context"]["decision_id"]
            if decision is None:
                told.degraded += 1
                continue
            told.decisions.add(decision)
            report = {"outcome": "succeeded", "second_factor": True}
            await _post(client, layout, key, f"/v1/decisions/{decision}/completion", report)
            told.completions.add(decision)
        except (httpx.HTTPError, ValueError):
            told.lost_connections += 1
            return


async def _post(
    client: httpx.AsyncClient, layout: Layout, key: SigningKey, path: str, content: object
) -> dict[str, Any]:
    body = json.dumps(content).encode()
    url = layout.sidecar_url + path
    token = sign_request(
        key, issuer=layout.idp_url, audience=layout.sidecar_url, method="POST", url=url, body=body, now=time.time()
    )
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    response = await client.post(path, content=body, headers=headers)
    response.raise_for_status()
    return response.json()


def _missing(path: Path, told: Acknowledged) -> set[str]:
    """Return the ids of acknowledged decisions or completions that the database does not hold whole."""
    connection = sqlite3.connect(str(path))
    if connection.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
        sys.exit("the database is damaged")
    found = {row[0]: (row[1], row[2]) for row in connection.execute("SELECT id, body, completion FROM decisions")}
    taught = {row[0] for row in connection.execute("SELECT DISTINCT decision FROM samples")}
    waiting = {row[0] for row in connection.execute("SELECT DISTINCT decision FROM waiting_probes")}
    connection.close()
    gone = told.decisions - found.keys()
    gone |= {name for name in told.completions if name in found and found[name][1] is None}
    half = {name for name, (_, completion) in found.items() if completion is None and name in taught}
    return gone | half | (waiting - found.keys())


if __name__ == "__main__":
    main()
