"""How long a backtest takes: ``python -m benchmarks.policy_backtest --decisions N [--jobs J] [--installation]``.

With ``--installation`` the decisions are recorded in an installation's database, sealed, and read from there as
``backtest --config`` does; else they are lines of a file.

Synthetic logins of ten thousand people with facts as a full deployment records them, decided by the balanced policy when
they are made; then replayed against the strict one. Fifty thousand are distinct, more repeat them: making them would take
longer than replaying. Making them is not counted. Prints decisions per second, CPU time
(what counts on a machine that others use too) and the size of the largest process.
"""

import argparse
import asyncio
import os
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import msgspec

from sidecar.administration.policy import recorded
from sidecar.config import IdpSettings, Settings
from sidecar.drafting.replay import replayed
from sidecar.main import DATABASE, build
from sidecar.policy.backtest import report
from sidecar.policy.evaluate import decide
from sidecar.policy.language import load, parse
from sidecar.ports import DecisionRecord
from sidecar.shipped import policy_directory

NOW = 1_787_000_000.0
TENANT, ISSUER = "world", "http://localhost"
PEOPLE = 10_000
DISTINCT = 50_000


def logins(count: int, seed: int) -> Iterator[bytes]:
    """Lines of recorded decisions, spread over ninety days."""
    draw = random.Random(seed)
    balanced = load(policy_directory() / "default.yaml")
    encoder = msgspec.json.Encoder()
    for number in range(count):
        person = draw.randrange(PEOPLE)
        at = NOW + number * 90 * 86_400 / count
        facts = facts_of(draw, person)
        verdict = decide(balanced, facts, at)
        then = verdict.consequence
        yield encoder.encode(
            {
                "id": f"d{number}", "subject": f"u{person}", "client": facts["client.id"], "groups": facts["user.groups"],
                "at": at, "facts": facts, "rule": verdict.rule_id,
                "consequence": {"action": then.action, "acr_values": then.acr_values, "factor": then.factor,
                                "effects": then.effects, "trust": then.trust},
            }
        ) + b"\n"  # fmt: skip


def facts_of(draw: random.Random, person: int) -> dict[str, Any]:
    """What a login looked like: mostly as usual."""
    outcome = draw.choices(["match", "mismatch", "insufficient", "unavailable"], [80, 6, 4, 10])[0]
    filled = outcome == "unavailable"
    return {
        "action": "login", "client.id": f"app-{person % 7}", "client.floor": "allow",
        "client.sensitivity": "high" if person % 50 == 0 else "normal", "idp.issuer": "https://idp.example", "idp.realm": "main",
        "user.id": f"u{person}", "user.roles": ["user"], "user.groups": [f"group-{person % 20}"],
        "network.address": f"192.0.2.{person % 250}", "keystroke.outcome": outcome,
        "keystroke.llr": {"match": min(draw.gauss(-2, 1), 0.89), "mismatch": max(draw.gauss(2, 1), 0.9)}.get(outcome),
        "keystroke.confidence": draw.random(), "keystroke.cause": "filled" if filled else None,
        "profile.state": "learning" if outcome == "insufficient" else "ready", "profile.samples": draw.randint(10, 200),
        "profile.confirmed": draw.random() < 0.98, "provenance.username": "typed",
        "provenance.password": "filled" if filled else "typed", "provenance.usual": "filled" if person % 10 == 0 else "typed",
        "risk.probability": 0.02, "bot.sign": "none", "replay.nearest": draw.uniform(4, 60),
        "device.state": draw.choices(["known", "new", "none"], [90, 5, 5])[0], "network.changed": draw.random() < 0.1,
        "network.asn": 64500, "network.asn_changed": draw.random() < 0.05, "network.country": "NO",
        "network.country_changed": draw.random() < 0.01, "travel.speed": draw.expovariate(1 / 30),
        "time.unusual": draw.random(), "failures.device": 0, "session.age": None, "consent.state": "given", "consent.gpc": False,
        "mark.state": "none",
    }  # fmt: skip


async def kept(settings: Settings, lines: Iterator[bytes]) -> None:
    """Record decisions as logins do, in an installation of their own."""
    sidecar = build(settings)
    decoder, known = msgspec.json.Decoder(), set[str]()

    async def record(number: int, line: dict[str, Any]) -> None:
        body = {
            "client": line["client"], "facts": line["facts"], "verdict": line["consequence"],
            "answer": {"rule_id": line["rule"]}, "sid": None,
        }  # fmt: skip
        await sidecar.decisions.record(
            DecisionRecord(
                id=f"d{number}", tenant=TENANT, issuer=ISSUER, subject=line["subject"], at=line["at"], body=body,
                assertion=(ISSUER, f"a{number}", int(line["at"]) + 60), idempotency=None, uses=(), digests=(), waiting=(),
                outbox=(), directory={"id": line["subject"], "name": ""},
            )
        )  # fmt: skip

    number = 0
    while part := list(islice(lines, 1000)):
        rows = [decoder.decode(line) for line in part]
        for subject in {row["subject"] for row in rows} - known:
            await sidecar.keys.ensure(TENANT, subject)
            known.add(subject)
        await asyncio.gather(*(record(number + place, row) for place, row in enumerate(rows)))
        number += len(part)
    sidecar.close()


def installation(base: Path) -> Settings:
    """Settings of an installation in a directory."""
    (base / "jwks.json").write_text('{"keys": []}')
    idp = IdpSettings(tenant=TENANT, issuer=ISSUER, jwks_file=base / "jwks.json", site_key="x", origins=(ISSUER,))
    return Settings(base_url=ISSUER, data_dir=base / "data", idps=(idp,))


def cpu_seconds() -> float:
    """CPU time of this process and of those that have ended."""
    return sum(os.times()[:4])


def main() -> None:
    """Make the decisions, replay them, print the rate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=1_000_000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--installation", action="store_true")
    chosen = parser.parse_args()
    strict = policy_directory() / "strict.yaml"
    raw = strict.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        made = list(logins(min(DISTINCT, chosen.decisions), chosen.seed))
        lines = islice(cycle(made), chosen.decisions)
        if chosen.installation:
            settings = installation(Path(folder))
            asyncio.run(kept(settings, lines))
            path = settings.data_dir / DATABASE
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            began, worked = time.perf_counter(), cpu_seconds()
            with recorded(settings, [TENANT], 0.0, NOW * 2) as replay:
                found = replayed(raw, "strict", replay.decisions(), jobs=chosen.jobs)
        else:
            path = Path(folder) / "decisions.jsonl"
            with path.open("wb") as file:
                file.writelines(lines)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            began, worked = time.perf_counter(), cpu_seconds()
            with path.open("rb") as file:
                found = replayed(raw, "strict", file, jobs=chosen.jobs)
        took, worked = time.perf_counter() - began, cpu_seconds() - worked
        size = path.stat().st_size
    figures = report(found, parse(strict.read_bytes()))
    largest = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(
        f"{figures['decisions']:,} decisions ({size / 1e6:,.0f} MB) in {took:.1f} s with {chosen.jobs} processes: "
        f"{figures['decisions'] / took:,.0f} a second, {worked / figures['decisions'] * 1e6:.0f} us CPU each; "
        f"{figures['more']:,} more, {figures['fewer']:,} fewer; "
        f"largest process {largest / 1024:,.0f} MB ({before / 1024:,.0f} MB before replaying)"
    )


if __name__ == "__main__":
    main()
