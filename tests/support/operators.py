"""Operators who are signed in: their cookie, made with the installation's real key."""

import base64
import itertools
import json
import time
from collections.abc import Iterable
from typing import Any

import itsdangerous

from support.world import World, carried

CSRF = "right"
OWNER = 7
_logins = itertools.count(20_000)


def cookie(world: World, roles: Iterable[str] = ("administrator",), **changed: Any) -> dict[str, str]:
    """Return the cookie header of an operator with these roles; ``until`` and ``tenants`` may be changed."""
    who = {"name": "Olive", "roles": list(roles), "csrf": CSRF, "until": int(time.time()) + 600, "tenants": None}
    signer = itsdangerous.TimestampSigner(world.inside.keyring.cookies)
    signed = signer.sign(base64.b64encode(json.dumps({"operator": who | changed}).encode())).decode()
    return {"Cookie": f"gaitkeeper_operator={signed}"}


def acting(world: World, roles: Iterable[str] = ("administrator",), **changed: Any) -> dict[str, str]:
    """Return the headers of an act: the cookie, and the proof that the operator's own page asked for it."""
    return cookie(world, roles, **changed) | {"X-CSRF": CSRF}


async def known_person(world: World, sub: str, *, other: bool = False) -> str:
    """Let somebody with a profile log in with a session; return the decision's id."""
    caller = world.other if other else world.idp
    await world.enroll(sub, OWNER, caller=caller)
    answer = await caller.login(sub, carried(OWNER, next(_logins)), second_factor=True, sid=f"sid of {sub}")
    return str(answer["decision_id"])
