"""The load: people who log in with a second factor, and the provider that keeps what it was told."""

import asyncio
import functools
import json
import random
import secrets
import time
from collections import Counter
from dataclasses import dataclass, field

import httpx
import numpy as np

from benchmarks.soak.installation import Installation
from sidecar.evaluation.synthetic import Typist, typist
from sidecar.rehearsal.payload import hidden_field
from sidecar.tokens import sign_request

CLIENTS = 8
USERS = 300  # of one installation: few enough to become known, too many for a profile to be trimmed
HANG_SECONDS = 12.0


@dataclass
class Told:
    """What callers were told. ``wrong``: answers that nothing documents."""

    decisions: dict[str, float] = field(default_factory=dict)  # id: when the answer was read to its end (monotonic)
    completions: set[str] = field(default_factory=set)
    degraded: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    broken: int = 0
    wrong: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    slowest_completion: float = 0.0

    @property
    def acknowledged(self) -> int:
        """How many answers said that something is durable."""
        return len(self.decisions) + len(self.completions)


@dataclass
class Provider:
    """An identity provider: signs what it asks. ``rest``: seconds between two logins of one client."""

    installation: Installation
    told: Told
    rng: random.Random
    rest: float = 0.0
    stopped: bool = False

    async def clients(self, url: str, count: int = CLIENTS, *, enduring: bool) -> None:
        """Log in at one sidecar until ``stopped``; who is not ``enduring`` ends with the connection."""
        async with httpx.AsyncClient(base_url=url, timeout=HANG_SECONDS) as client:
            await asyncio.gather(*(self._client(client, enduring=enduring) for _ in range(count)))

    async def _client(self, client: httpx.AsyncClient, *, enduring: bool) -> None:
        while not self.stopped:
            try:
                await self._log_in(client, self.rng.randrange(USERS))
            except httpx.TimeoutException:
                self.told.wrong[f"no answer within {HANG_SECONDS:.0f} s"] += 1
            except (httpx.HTTPError, ValueError):
                self.told.broken += 1
                if not enduring:
                    return
                await asyncio.sleep(0.05)
            await asyncio.sleep(self.rest)

    async def _log_in(self, client: httpx.AsyncClient, user: int) -> None:
        generator = np.random.default_rng(self.rng.getrandbits(64))
        asked = {
            "subject": {"id": f"user-{user}", "properties": {"name": f"Name of {user}"}},
            "action": {"name": "login"},
            "resource": {"id": "harbour-bank"},
            "context": {
                "attempt": secrets.token_urlsafe(12),
                "capture": hidden_field(_typist(user).login(generator, 10)),
                "consent": {"given": True, "version": "soak"},
            },
        }
        began = time.monotonic()
        response = await self._post(client, "/access/v1/evaluation", asked)
        ended = time.monotonic()
        self.told.slowest = max(self.told.slowest, ended - began)
        if response.status_code != 200:
            self.told.wrong[f"evaluation: {response.status_code} {response.text[:80]}"] += 1
            return
        decision = response.json()["context"]["decision_id"]
        if decision is None:
            self.told.degraded += 1
            return
        self.told.decisions[decision] = ended
        await self._complete(client, decision)

    async def _complete(self, client: httpx.AsyncClient, decision: str) -> None:
        began = time.monotonic()
        report = {"outcome": "succeeded", "second_factor": True}
        response = await self._post(client, f"/v1/decisions/{decision}/completion", report)
        self.told.slowest_completion = max(self.told.slowest_completion, time.monotonic() - began)
        answer = response.json()
        if response.status_code == 200 and answer["closed"]:
            self.told.completions.add(decision)
        elif response.status_code == 503:
            self.told.refused[answer["error"]] += 1
        else:
            self.told.wrong[f"completion: {response.status_code} {response.text[:80]}"] += 1

    async def _post(self, client: httpx.AsyncClient, path: str, content: object) -> httpx.Response:
        layout = self.installation.layout
        body = json.dumps(content).encode()
        url = layout.sidecar_url + path
        token = sign_request(
            self.installation.key,
            issuer=layout.idp_url,
            audience=layout.sidecar_url,
            method="POST",
            url=url,
            body=body,
            now=time.time(),
        )
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        return await client.post(path, content=body, headers=headers)


@functools.lru_cache(USERS)
def _typist(user: int) -> Typist:
    return typist(user)
