"""How long a backtest takes: ``python -m benchmarks.policy_backtest --decisions N [--jobs J]``.

Synthetic logins of ten thousand people with facts as a full deployment records them, decided by the balanced policy when
they are made; then replayed against the strict one. Fifty thousand are distinct, more repeat them: making them would take
longer than replaying. Making them is not counted. Prints decisions per second, CPU time
(what counts on a machine that others use too) and the size of the largest process.
"""

import argparse
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

from sidecar.drafting.replay import replayed
from sidecar.policy.backtest import report
from sidecar.policy.evaluate import decide
from sidecar.policy.language import load, parse
from sidecar.shipped import policy_directory

NOW = 1_787_000_000.0
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


def cpu_seconds() -> float:
    """CPU time of this process and of those that have ended."""
    return sum(os.times()[:4])


def main() -> None:
    """Make the decisions, replay them, print the rate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=1_000_000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    strict = policy_directory() / "strict.yaml"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "decisions.jsonl"
        with path.open("wb") as file:
            made = list(logins(min(DISTINCT, chosen.decisions), chosen.seed))
            file.writelines(islice(cycle(made), chosen.decisions))
        began, worked = time.perf_counter(), cpu_seconds()
        with path.open("rb") as lines:
            found = replayed(strict.read_bytes(), "strict", lines, jobs=chosen.jobs)
        took, worked = time.perf_counter() - began, cpu_seconds() - worked
        size = path.stat().st_size
    figures = report(found, parse(strict.read_bytes()))
    largest = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(
        f"{figures['decisions']:,} decisions ({size / 1e6:,.0f} MB) in {took:.1f} s with {chosen.jobs} processes: "
        f"{figures['decisions'] / took:,.0f} a second, {worked / figures['decisions'] * 1e6:.0f} us CPU each; "
        f"{figures['more']:,} more, {figures['fewer']:,} fewer; "
        f"largest process {largest / 1024:,.0f} MB"
    )


if __name__ == "__main__":
    main()
