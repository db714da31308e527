"""``gaitkeeper recalibrate``: put scores right by the installation's own decisions. Fit for cron; goes on where it was stopped."""

import hashlib
import json as jsons
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from sidecar.administration.opened import by, run
from sidecar.config import Settings, load_settings
from sidecar.errors import NotFound
from sidecar.main import Sidecar
from sidecar.scoring.recalibration import AS_SHIPPED, BINS, Fitted, counted, fitted
from sidecar.scoring.strangers import usual_strangers

PAGE = 50  # people, after which the progress is kept


def recalibrate(
    settings: Settings, tenant: str | None, *, reset: bool, dry: bool, progress: Callable[[int], None]
) -> list[dict[str, Any]]:
    """Work through the tenants, or one; return a line about each. ``progress`` hears how many people are counted.

    Raises NotFound for another tenant.
    """
    if tenant is not None and tenant not in settings.tenants:
        raise NotFound("no such tenant")
    chosen = settings.tenants if tenant is None else (tenant,)

    async def job(sidecar: Sidecar) -> list[dict[str, Any]]:
        return [await _one(sidecar, name, reset=reset, dry=dry, progress=progress) for name in chosen]

    return run(settings, job)


def command(config: Path, tenant: str | None, *, reset: bool, dry: bool) -> None:
    """Run, with a bar where somebody watches; print a line about each tenant."""
    with Progress(transient=True, disable=not sys.stderr.isatty(), console=Console(stderr=True)) as bar:
        task = bar.add_task("people counted", total=None)
        lines = recalibrate(
            load_settings(config), tenant, reset=reset, dry=dry, progress=lambda n: bar.update(task, completed=n)
        )
    for line in lines:
        print(jsons.dumps(line))


async def _one(
    sidecar: Sidecar, tenant: str, *, reset: bool, dry: bool, progress: Callable[[int], None]
) -> dict[str, Any]:
    model, store = sidecar.settings.detector, sidecar.recalibrations
    now = sidecar.assessor.clock()
    before = (await store.in_force()).get((tenant, model), AS_SHIPPED)
    if reset:
        await store.finish(tenant, model, None, by(), now)
        return {"tenant": tenant, "model": model, "was": asdict(before), "is": asdict(AS_SHIPPED), "reset": True}
    if sidecar.settings.shared_text(tenant):  # strangers' usual scores are of the strict scorer alone
        return {
            "tenant": tenant,
            "model": model,
            "skipped": "a text is declared as shared: its background is fitted already",
        }
    found = await _counted(sidecar, tenant, model, progress, keep=not dry)
    if not dry:
        await store.finish(tenant, model, found.chosen, by(), now)
    return {
        "tenant": tenant,
        "model": model,
        "people": found.people,
        "was": asdict(before),
        "is": asdict(found.chosen or AS_SHIPPED),
        "cllr_as_shipped": found.before,
        "cllr_recalibrated": found.after,
        "dry": dry,
    }


async def _counted(sidecar: Sidecar, tenant: str, model: str, progress: Callable[[int], None], *, keep: bool) -> Fitted:
    now, store, profiles = sidecar.assessor.clock(), sidecar.recalibrations, sidecar.profiles
    last, counts, people = await store.progress(tenant, model, now) if keep else ("", np.zeros((2, BINS)), [0, 0])
    progress(sum(people))
    while page := await profiles.known_after(tenant, last, PAGE):
        for subject in page:
            # A pseudonym is a keyed hash already; this only takes a bit of it that does not depend on its order.
            half = hashlib.sha256(subject.encode()).digest()[0] & 1
            scores = [person.entries.accepted(model) for person in await profiles.person(tenant, subject)]
            shares = counted(np.concatenate(scores)) if scores else None
            if shares is not None:
                counts[half] += shares
                people[half] += 1
        last = page[-1]
        if keep:
            await store.advance(tenant, model, last, counts, people, now)
        progress(sum(people))
    return fitted(list(counts), people, usual_strangers(model), now)
