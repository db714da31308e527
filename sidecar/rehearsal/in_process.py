"""Play a script through the same use cases as the HTTP hook, without browser and sockets."""

import asyncio
import json
import re
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from sidecar.config import IdpSettings, LearningSettings, Settings
from sidecar.demo.seeding import enroll
from sidecar.domain.decisions import Action, Attempt
from sidecar.evaluation.synthetic import probe_of
from sidecar.main import Sidecar, build
from sidecar.rehearsal.payload import hidden_field
from sidecar.rehearsal.script import Login, Script
from sidecar.shipped import policy_directory

TENANT = "rehearsal"
ISSUER = "http://localhost"
CLIENT = "rehearsed"
TOGETHER = 32

Decided = list[tuple[Login, Action]]


async def play(
    script: Script, progress: Callable[[], None], *, detector: str | None = None, mismatch_from: float | None = None
) -> Decided:
    """Enroll, freeze, play every login, pass the second factor where a genuine one is asked for it.

    ``detector``: the scorer's name, that of the default settings if left out. ``mismatch_from``: in place of the shipped
    policy's.
    """
    async with frozen_sidecar({"detector": detector} if detector else None, mismatch_from) as sidecar:
        for subject, enrolled in script.enrolled.items():
            await enroll(sidecar, TENANT, subject, [probe_of(rows) for rows in enrolled], origin="rehearsal")
        gate = asyncio.Semaphore(TOGETHER)

        async def one(login: Login) -> tuple[Login, Action]:
            async with gate:
                action = await _decide(sidecar, login)
            progress()
            return login, action

        return list(await asyncio.gather(*(one(login) for login in script.logins)))


@asynccontextmanager
async def frozen_sidecar(
    settings_extra: Mapping[str, object] | None = None, mismatch_from: float | None = None
) -> AsyncIterator[Sidecar]:
    """A sidecar on a database of its own that scores but does not learn."""
    with tempfile.TemporaryDirectory(prefix="gaitkeeper-rehearsal-") as directory:
        base = Path(directory)
        (base / "jwks.json").write_text(json.dumps({"keys": []}))
        idp = IdpSettings(
            tenant=TENANT,
            issuer=ISSUER,
            jwks_file=base / "jwks.json",
            site_key="rehearsal",
            origins=(ISSUER,),
            legal_basis="other",
        )
        settings = Settings(
            base_url=ISSUER, data_dir=base / "data", idps=(idp,), learning=LearningSettings(frozen=True)
        ).model_copy(update=dict(settings_extra or {}))
        if mismatch_from is not None:
            text = (policy_directory() / "default.yaml").read_text()
            (base / "policy.yaml").write_text(re.sub(r"mismatch_from: .*", f"mismatch_from: {mismatch_from}", text))
            settings = settings.model_copy(update={"policy": base / "policy.yaml"})
        sidecar = build(settings)
        try:
            yield sidecar
        finally:
            sidecar.close()


async def _decide(sidecar: Sidecar, login: Login) -> Action:
    """One login: evaluation, then the report that a genuine user finished it and an impostor gave up."""
    attempt = Attempt(
        tenant=TENANT,
        issuer=ISSUER,
        subject=login.victim,
        name=login.victim,
        action="login",
        client=CLIENT,
        attempt=secrets.token_urlsafe(12),
        started_at=None,
        captures=(hidden_field(login.rows),),
        sid=None,
        ip=None,
        user_agent=None,
    )
    answer = await sidecar.assessor.assess(attempt, _assertion(), None)
    action = answer.consequence.action
    genuine = login.kind == "genuine"
    await sidecar.completer.complete(
        TENANT,
        ISSUER,
        str(answer.decision_id),
        outcome="succeeded" if genuine or action is Action.ALLOW else "abandoned",
        second_factor=genuine and action is Action.STEP_UP,
        sid=None,
        assertion=_assertion(),
    )
    return action


def _assertion() -> tuple[str, str, int]:
    return (ISSUER, secrets.token_urlsafe(12), int(time.time()) + 60)
