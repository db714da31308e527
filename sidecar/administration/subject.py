"""``gaitkeeper subject show | export | forget``: what is kept about one person, readable, and gone on demand (PRV2)."""

import asyncio
import json
import math
import secrets
import time
from datetime import UTC, datetime
from typing import Any

from sidecar.config import Settings
from sidecar.errors import NotFound
from sidecar.main import Sidecar, build
from sidecar.usecases.profiles import describe

FORMAT = "gaitkeeper-subject-1"


def show(settings: Settings, tenant: str, subject: str) -> dict[str, Any]:
    """Return states and counts of one person. Raises NotFound."""
    sidecar = build(settings)
    try:
        return _summary(sidecar, tenant, subject)
    finally:
        sidecar.close()


def export(settings: Settings, tenant: str, subject: str) -> dict[str, Any]:
    """Return everything kept about one person as a document that a person can read. Raises NotFound."""
    sidecar = build(settings)
    try:
        found = _summary(sidecar, tenant, subject)
        pseudonym = sidecar.keyring.pseudonym(tenant, subject)
        found["samples"] = [
            {
                "field": profile.key.field,
                "input": profile.key.context,
                "confirmed_at": _moment(sample.at),
                "timings_ms": [None if math.isnan(value) else round(value, 1) for value in sample.values.tolist()],
            }
            for profile in sidecar.profiles.find(tenant, pseudonym)
            for sample in sidecar.profiles.samples(profile.key)
        ]
        found["decisions"] = [
            {"at": _moment(decision.at), "client": decision.body["client"], **decision.body["answer"]}
            for decision in sidecar.decisions.of_subject(tenant, pseudonym)
        ]
        return found
    finally:
        sidecar.close()


def forget(settings: Settings, tenant: str, subject: str) -> bool:
    """Destroy a person's key and every row about them; True when there was a key.

    The key goes first: whatever happens then, nothing sealed under it can be read again, in no backup either.
    """
    sidecar = build(settings)
    try:
        pseudonym = sidecar.keyring.pseudonym(tenant, subject)
        return asyncio.run(_forget(sidecar, tenant, pseudonym))
    finally:
        sidecar.close()


async def _forget(sidecar: Sidecar, tenant: str, pseudonym: str) -> bool:
    there = await sidecar.keys.destroy(tenant, pseudonym)
    spent = ("administration", secrets.token_urlsafe(16), int(time.time()) + 60)
    await sidecar.profiles.reset(tenant, pseudonym, None, spent)
    return there


def _summary(sidecar: Sidecar, tenant: str, subject: str) -> dict[str, Any]:
    pseudonym = sidecar.keyring.pseudonym(tenant, subject)
    person = sidecar.decisions.person(tenant, pseudonym)
    profiles = describe(
        sidecar.profiles, sidecar.keyring, sidecar.settings.learning, tenant, subject, sidecar.assessor.clock
    )
    if not person and not profiles:
        raise NotFound("nothing is kept about this person")
    return {
        "format": FORMAT,
        "tenant": tenant,
        "subject": subject,
        "name": person.get("name"),
        "pseudonym": pseudonym,
        "profiles": profiles,
        "usual_password_entry": [str(how) if how else None for how in sidecar.profiles.usual(tenant, pseudonym)],
    }


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def readable(document: dict[str, Any]) -> str:
    """Return a document as indented JSON."""
    return json.dumps(document, indent=2, ensure_ascii=False)
