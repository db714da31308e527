"""``gaitkeeper recalibrate``: put scores right by the installation's own decisions. Fit for cron; goes on where it was stopped.

Own scores are those of logins that succeeded, allowed or confirmed: together they are all of a person's logins, however they
scored. Strangers' are those that strangers usually have, as nobody knows the installation's own.
"""

import hashlib
import json as jsons
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from sidecar.administration.opened import by, run
from sidecar.config import Settings, load_settings
from sidecar.domain.biometrics import Floats
from sidecar.errors import NotFound
from sidecar.main import Sidecar
from sidecar.scoring.recalibrate import AS_SHIPPED, FEWEST_STRANGE, Correction, Tally, correction, cost
from sidecar.scoring.strangers import usual_strangers

PAGE = 50  # people, after which the progress is kept
NEWEST = 20  # scores of a person that count, so that nobody's habits are everybody's
FEWEST = 5  # scores of a person below which none count
FEWEST_PEOPLE = 20
BETTER = 0.005  # bits of Cllr by which each half of the people must be served better by the other half's correction


@dataclass(frozen=True, slots=True)
class Found:
    """What the counts say. ``chosen``: None where scores stay as shipped, with the reason in ``why``. ``before``, ``after``:
    mean Cllr (bits) of the halves, each under the other's correction.
    """

    chosen: Correction | None
    why: str
    before: float | None = None
    after: float | None = None


def command(config: Path, tenant: str | None, *, reset: bool, dry: bool) -> None:
    """Run, with a bar where somebody watches; print a line about each tenant."""
    with Progress(transient=True, disable=not sys.stderr.isatty(), console=Console(stderr=True)) as bar:
        task = bar.add_task("people counted", total=None)
        lines = recalibrate(
            load_settings(config), tenant, reset=reset, dry=dry, progress=lambda n: bar.update(task, completed=n)
        )
    for line in lines:
        print(jsons.dumps(line))


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


def decided(halves: Sequence[Tally], people: int) -> Found:
    """Choose a correction where it helps people it was not fitted to. Pure."""
    if people < FEWEST_PEOPLE:
        return Found(None, f"{people} people with {FEWEST} scores; {FEWEST_PEOPLE} are needed")
    try:
        each = [correction(half) for half in halves]
        whole = correction(halves[0].merged(halves[1]))
    except ValueError as wrong:
        return Found(None, f"{wrong}: look for a change of widget, keyboards or detector first")
    if whole is None or None in each:
        return Found(None, "too few logins in one half of the people")
    one, two = (found for found in each if found is not None)
    before = [cost(half, AS_SHIPPED) for half in halves]
    after = [cost(halves[0], two), cost(halves[1], one)]
    means = float(np.mean(before)), float(np.mean(after))
    if any(was - now < BETTER for was, now in zip(before, after, strict=True)):
        return Found(None, "it would not help people it was not fitted to", *means)
    return Found(whole, "it helps people it was not fitted to", *means)


def tallied(tally: Tally, scores: Floats) -> bool:
    """Count a person's newest scores; tell whether there were enough."""
    known = scores[np.isfinite(scores)]
    if known.size < FEWEST:
        return False
    for llr in known[-NEWEST:].tolist():
        tally.add(llr, own=True)
    return True


def with_strangers(halves: Sequence[Tally], model: str) -> list[Tally]:
    """Return tallies with strangers' usual scores, as often as a fit needs."""
    usual = usual_strangers(model).tolist()
    made = [half.merged(Tally()) for half in halves]
    for tally in made:
        for llr in usual * (-(-FEWEST_STRANGE // len(usual)) if usual else 0):
            tally.add(llr, own=False)
    return made


async def _one(
    sidecar: Sidecar, tenant: str, *, reset: bool, dry: bool, progress: Callable[[int], None]
) -> dict[str, Any]:
    model, store = sidecar.settings.detector, sidecar.recalibrations
    now = sidecar.assessor.clock()
    before = (await store.in_force()).get((tenant, model), AS_SHIPPED)
    line: dict[str, Any] = {"tenant": tenant, "model": model, "was": _line(before)}
    if reset:
        await store.finish(tenant, model, None, 0, by(), now)
        return line | {"is": _line(AS_SHIPPED), "why": "reset"}
    if sidecar.settings.shared_text(tenant):  # strangers' usual scores are of the strict scorer alone
        return line | {"skipped": "a text is declared as shared: its background is fitted already"}
    halves, people = await _counted(sidecar, tenant, model, progress, keep=not dry)
    found = decided(with_strangers(halves, model), people)
    if not dry:
        await store.finish(tenant, model, found.chosen, people, by(), now)
    return line | {
        "is": _line(found.chosen or AS_SHIPPED),
        "why": found.why,
        "people": people,
        "cllr_as_shipped": found.before,
        "cllr_recalibrated": found.after,
        "dry": dry,
    }


async def _counted(
    sidecar: Sidecar, tenant: str, model: str, progress: Callable[[int], None], *, keep: bool
) -> tuple[list[Tally], int]:
    now, store, profiles = sidecar.assessor.clock(), sidecar.recalibrations, sidecar.profiles
    last, halves, people = await store.progress(tenant, model, now) if keep else ("", [Tally(), Tally()], 0)
    progress(people)
    while page := await profiles.known_after(tenant, last, PAGE):
        for subject in page:
            # A pseudonym is a keyed hash already; this only takes a bit of it that does not depend on its order.
            half = hashlib.sha256(subject.encode()).digest()[0] & 1
            scores = [person.entries.accepted(model) for person in await profiles.person(tenant, subject)]
            people += tallied(halves[half], np.concatenate(scores)) if scores else 0
        last = page[-1]
        if keep:
            await store.advance(tenant, model, last, halves, people, now)
        progress(people)
    return halves, people


def _line(one: Correction) -> dict[str, float]:
    return {"scale": one.scale, "offset": one.offset}
