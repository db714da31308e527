"""What looking at software, copies and muting adds to a login: ``python -m benchmarks.living``.

A whole evaluation in process (SQLite, durable), interleaved: with the list of earlier entries filled to its bound, and without
any. Prints medians and the ratio with a bootstrap interval; and how long the parts take by themselves.
"""

import argparse
import asyncio
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from sidecar.demo.seeding import enroll
from sidecar.domain import entries as lists
from sidecar.domain.biometrics import Floats
from sidecar.domain.decisions import Attempt
from sidecar.domain.entries import Ended, Entries, Entry
from sidecar.evaluation.synthetic import probe_of, typist
from sidecar.main import Sidecar
from sidecar.rehearsal.in_process import ISSUER, TENANT, frozen_sidecar
from sidecar.rehearsal.payload import hidden_field
from sidecar.risk.context import machine
from sidecar.risk.muting import distinguished
from sidecar.storage.arrays import pack_entries, unpack_entries

OWNER, LENGTH, SAMPLES = 7, 10, 60
DRAWS = 2000


def rows_of(login: int) -> list[tuple[float, float]]:
    """Return one login of the synthetic owner."""
    return typist(OWNER).login(np.random.default_rng([OWNER, login]), LENGTH)


def full() -> Entries:
    """Return a list at its bound: 200 logins and 300 samples before them."""
    made = lists.nothing()
    for number in range(500):
        entry = Entry(
            "password", "keyboard", probe_of(rows_of(10_000 + number)), float(number), -3.0, "nearest-recent-2"
        )
        made = lists.learned(made, entry) if number < 300 else lists.added(made, entry)
        made = lists.ended(made, float(number), Ended.CONFIRMED)
    return replace(made, model="nearest-recent-2", llr=np.random.default_rng(1).normal(-3, 1, len(made)))


async def login(sidecar: Sidecar, subject: str, number: int) -> float:
    """Return the ms of one evaluation."""
    attempt = Attempt(
        tenant=TENANT, issuer=ISSUER, subject=subject, name=subject, action="login", client="app",
        attempt=secrets.token_urlsafe(8), started_at=None, captures=(hidden_field(rows_of(number)),), sid=None, ip=None,
        user_agent=None,
    )  # fmt: skip
    began = time.perf_counter()
    await sidecar.assessor.assess(attempt, (ISSUER, secrets.token_urlsafe(8), int(time.time()) + 60), None)
    return (time.perf_counter() - began) * 1000.0


async def measured(count: int) -> tuple[Floats, Floats]:
    """Return ms of logins beside a full list and beside none, interleaved."""
    filled = full()
    found: list[list[float]] = [[], []]
    async with frozen_sidecar() as sidecar:
        for subject in ("full", "empty"):
            await enroll(sidecar, TENANT, subject, [probe_of(rows_of(n)) for n in range(SAMPLES)], origin="benchmark")
        who = [sidecar.keyring.pseudonym(TENANT, subject) for subject in ("full", "empty")]
        for number in range(count):
            await _put(sidecar, who[0], filled)
            await _put(sidecar, who[1], None)
            for place, subject in enumerate(("full", "empty")):
                found[place].append(await login(sidecar, subject, 1000 + 2 * number + place))
    return np.array(found[0]), np.array(found[1])


async def _put(sidecar: Sidecar, subject: str, entries: Entries | None) -> None:
    from sidecar.ports import ProfileKey  # noqa: PLC0415
    from sidecar.storage.entries import place  # noqa: PLC0415

    key = ProfileKey(TENANT, subject, "keystroke", "password", "keyboard")
    made = lists.nothing() if entries is None else entries
    one = made if len(made) else lists.added(made, Entry("password", "keyboard", probe_of(rows_of(1)), 1.0, None, ""))
    oldest, newest = float(one.at.min()), float(one.at.max())
    sealed = sidecar.keys.seal(TENANT, subject).close(pack_entries(one), *place(key, oldest, newest))
    await sidecar.database.write(
        lambda connection: connection.execute(
            "UPDATE entries SET oldest_at = ?, newest_at = ?, sealed = ? WHERE subject = ?",
            (oldest, newest, sealed, subject),
        )
    )


def ratio(one: Floats, two: Floats) -> tuple[float, float, float]:
    """Return the ratio of medians with a 95% bootstrap interval over pairs."""
    draw = np.random.default_rng(1).integers(0, one.size, (DRAWS, one.size))
    drawn = np.median(one[draw], axis=1) / np.median(two[draw], axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(np.median(one) / np.median(two)), float(low), float(high)


def parts() -> dict[str, float]:
    """Return ms of each part alone, medians of 200."""
    filled, probe = full(), probe_of(rows_of(1))
    packed = pack_entries(filled)
    from sidecar.domain.biometrics import Sample  # noqa: PLC0415
    from sidecar.scoring import DETECTORS  # noqa: PLC0415

    samples = [Sample(probe_of(rows_of(n)).values, float(n)) for n in range(SAMPLES)]
    template = DETECTORS["nearest-recent-2"].enroll(samples, probe.kinds, "positions")
    jobs = {
        "read the list": lambda: unpack_entries(packed),
        "software and copies": lambda: machine.look(probe, filled),
        "does it tell the person apart": lambda: distinguished(filled, template, 0.9),
    }
    return {name: _median_ms(job) for name, job in jobs.items()}


def _median_ms(job: object) -> float:
    times = []
    for _ in range(200):
        began = time.perf_counter()
        job()  # type: ignore[operator]
        times.append((time.perf_counter() - began) * 1000.0)
    return float(np.median(times))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--logins", type=int, default=300)
    parser.add_argument("--json", default=None)
    chosen = parser.parse_args(arguments)
    one, two = asyncio.run(measured(chosen.logins))
    value, low, high = ratio(one, two)
    found = {
        "full_ms": float(np.median(one)),
        "empty_ms": float(np.median(two)),
        "ratio": value,
        "low": low,
        "high": high,
    }
    found |= {"full_p95_ms": float(np.quantile(one, 0.95)), "empty_p95_ms": float(np.quantile(two, 0.95))}
    print(f"a login beside a full list {found['full_ms']:.2f} ms, beside an empty one {found['empty_ms']:.2f} ms")
    print(
        f"ratio {value:.2f} ({low:.2f} to {high:.2f}); p95 {found['full_p95_ms']:.2f} and {found['empty_p95_ms']:.2f} ms"
    )
    for name, took in parts().items():
        found[name] = took
        print(f"{name}: {took:.3f} ms")
    if chosen.json:
        Path(chosen.json).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
