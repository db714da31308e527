"""A thousand people over ninety days: does a backtest foretell what a policy would have done?

``python -m benchmarks.policy_world --data PATH [--users 1000] [--days 90] [--seed 1] [--json FILE]``

Every user types like one subject of the data set (CMU layout), a stretch of that subject's repetitions each, on browsers,
networks and hours of their own; some come every working day, some once a week, some rarely (``HABITS``). One visit in twenty
is a stranger with the password, another subject from elsewhere, who cannot pass a second factor. All enroll and complete a
few logins; from there the same visits are played forward through the real use cases under ``balanced`` and under ``strict``.

With learning frozen the backtest of ``strict`` over what ``balanced`` recorded must equal the forward run of ``strict``,
decision by decision; else this ends with 1. With learning on the two may part, because the policies lead to other
histories: the share of logins that do is printed with its 95% interval over people.
"""

import argparse
import asyncio
import json
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from sidecar.config import AuditSettings, ContextSettings, IdpSettings, LearningSettings, Settings
from sidecar.demo.seeding import enroll
from sidecar.domain.decisions import Action, Attempt
from sidecar.evaluation.datasets import hold_and_down_down, load_cmu
from sidecar.evaluation.synthetic import Row, probe_of
from sidecar.main import Sidecar, build
from sidecar.policy.backtest import Recorded, difference
from sidecar.policy.bands import rebanded
from sidecar.policy.evaluate import decide
from sidecar.policy.language import load
from sidecar.rehearsal.payload import hidden_field
from sidecar.shipped import policy_directory
from sidecar.usecases.rehearse import recorded

TENANT, ISSUER, CLIENT = "world", "http://localhost", "app"
BEGAN = 1_787_000_000.0
DAY = 86_400.0
FLUSHED = 500  # visits
ENROLLED = 10
SETTLING = 3  # completed logins before the ninety days
HABITS = ((0.1, 5.0), (0.4, 1.0), (0.5, 0.25))  # share of users, visits a week
STRANGERS = 0.05
ABROAD = 0.03
OTHER_BROWSER = 0.08
NETWORKS = ("192.0.2.", "198.51.100.", "203.0.113.")
PLACES = (("NO", 59.9, 10.8, 64500), ("SE", 59.3, 18.1, 64501), ("AU", -33.9, 151.2, 64502))

Habits = Sequence[tuple[float, float]]
Typing = Mapping[str, Sequence[list[Row]]]


@dataclass(frozen=True, slots=True)
class Visit:
    """One login. ``browser``: which of the user's; a stranger has one of their own, and cannot pass a second factor."""

    user: str
    at: float
    rows: list[Row]
    browser: str
    address: str
    genuine: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """Who enrolls with what, the logins that settle histories, and the visits to be decided, by time."""

    enrolled: Mapping[str, list[list[Row]]]
    settling: Sequence[Visit]
    visits: Sequence[Visit]


def planned(typing: Typing, *, users: int, days: int, seed: int, habits: Habits = HABITS) -> Plan:
    """Draw who comes when, from where, and with whose fingers. ``habits``: (share of users, visits a week)."""
    draw = np.random.default_rng(seed)
    subjects = sorted(typing)
    enrolled: dict[str, list[list[Row]]] = {}
    settling: list[Visit] = []
    visits: list[Visit] = []
    for number in range(users):
        subject, user = subjects[number % len(subjects)], f"user-{number:04d}"
        mine = typing[subject]
        weekly = float(draw.choice([often for _, often in habits], p=[share for share, _ in habits]))
        logins = int(draw.poisson(weekly * days / 7))
        first = int(draw.integers(0, max(1, len(mine) - ENROLLED - SETTLING - logins)))
        own = iter(mine[first + ENROLLED :])
        enrolled[user] = list(mine[first : first + ENROLLED])
        hour, home = draw.uniform(7, 20), int(draw.integers(0, 2))
        network = f"{NETWORKS[home]}{int(draw.integers(1, 250))}"
        for early in range(SETTLING):
            at = BEGAN - (SETTLING - early) * DAY + hour * 3600
            settling.append(Visit(user, at, next(own), f"{user}-laptop", network, True))
        for at in sorted(draw.uniform(0, days, logins)):
            moment = BEGAN + int(at) * DAY + (hour + draw.normal(0, 1.5)) * 3600
            if draw.random() < STRANGERS:
                other = typing[subjects[int(draw.integers(0, len(subjects)))]]
                rows = other[int(draw.integers(0, len(other)))]
                visits.append(Visit(user, moment, rows, f"stranger-{secrets_of(draw)}", f"{NETWORKS[2]}9", False))
            elif (rows_ := next(own, None)) is not None:
                away = NETWORKS[2] + "7" if draw.random() < ABROAD else network
                browser = f"{user}-phone" if draw.random() < OTHER_BROWSER else f"{user}-laptop"
                visits.append(Visit(user, moment, rows_, browser, away, True))
    return Plan(enrolled, sorted(settling, key=_when), sorted(visits, key=_when))


def secrets_of(draw: np.random.Generator) -> str:
    """A name that nobody else has, of the plan's own seed."""
    return str(int(draw.integers(0, 2**62)))


def _when(visit: Visit) -> tuple[float, str]:
    return visit.at, visit.user


class World:
    """A sidecar in a directory, with a clock that the visits move."""

    def __init__(self, base: Path, *, policy: str, frozen: bool) -> None:
        self.now = BEGAN - 30 * DAY
        self.cookies: dict[str, str] = {}
        settings = Settings(
            base_url=ISSUER,
            data_dir=base / "data",
            policy=policy_directory() / f"{policy}.yaml",
            idps=(
                IdpSettings(
                    tenant=TENANT, issuer=ISSUER, jwks_file=base / "jwks.json", site_key="world", origins=(ISSUER,),
                    legal_basis="other",
                ),
            ),
            learning=LearningSettings(frozen=frozen, ready_samples=ENROLLED),
            context=ContextSettings(city=base / "city.mmdb", asn=base / "asn.mmdb"),
            audit=AuditSettings(mode="buffered"),
        )  # fmt: skip
        self.sidecar: Sidecar = build(settings, lambda: self.now)
        cookies = base / "cookies.json"
        if cookies.exists():
            self.cookies = json.loads(cookies.read_text())

    async def visit(self, visit: Visit, number: int) -> tuple[Action, str]:
        """Play one login to its end; return what was decided and by which rule."""
        self.now = visit.at
        attempt = Attempt(
            tenant=TENANT, issuer=ISSUER, subject=visit.user, name=None, action="login", client=CLIENT,
            attempt=f"visit-{number:08d}", started_at=None, captures=(hidden_field(visit.rows),), sid=None, ip=visit.address,
            user_agent=None, device=self.cookies.get(visit.browser), second_factor=True,
        )  # fmt: skip
        answer = await self.sidecar.assessor.assess(attempt, self._assertion(), None)
        if answer.cookie:
            self.cookies[visit.browser] = answer.cookie.value
        action = answer.consequence.action
        asked = action is Action.STEP_UP
        into = action is Action.ALLOW or (asked and visit.genuine)
        self.now += 20
        await self.sidecar.completer.complete(
            TENANT, ISSUER, str(answer.decision_id), outcome="succeeded" if into else "abandoned",
            second_factor=into and asked, sid=None, assertion=self._assertion(),
        )  # fmt: skip
        return action, answer.rule_id

    def _assertion(self) -> tuple[str, str, int]:
        return (ISSUER, secrets.token_urlsafe(12), int(self.now) + 60)

    async def close(self) -> None:
        await self.sidecar.audit.flush()
        self.sidecar.close()


def furnish(base: Path) -> None:
    """Write what a world needs besides its settings: the provider's keys, databases of places."""
    base.mkdir(parents=True, exist_ok=True)
    (base / "jwks.json").write_text('{"keys": []}')
    city, asn = MMDBWriter(4, "World-City", languages=["en"], description="simulated"), MMDBWriter(4, "World-ASN")
    for prefix, (code, latitude, longitude, number) in zip(NETWORKS, PLACES, strict=True):
        network = IPSet([f"{prefix}0/24"])
        spot = {"latitude": latitude, "longitude": longitude, "accuracy_radius": 20}
        city.insert_network(network, {"country": {"iso_code": code}, "location": spot})
        asn.insert_network(network, {"autonomous_system_number": number})
    city.to_db_file(str(base / "city.mmdb"))
    asn.to_db_file(str(base / "asn.mmdb"))


async def settled(base: Path, plan: Plan) -> None:
    """Enroll everybody and let them complete their first logins."""
    furnish(base)
    world = World(base, policy="strict", frozen=False)
    for user, rows in plan.enrolled.items():
        await enroll(world.sidecar, TENANT, user, [probe_of(item) for item in rows], origin="world")
    for number, visit in enumerate(plan.settling):
        await world.visit(visit, number)
        if number % FLUSHED == 0:
            await world.sidecar.audit.flush()
    await world.close()
    (base / "cookies.json").write_text(json.dumps(world.cookies))


@dataclass(frozen=True, slots=True)
class Played:
    """A forward run: what each visit got, and what was recorded of each, in the order of the visits."""

    answers: list[tuple[Action, str]]
    decisions: list[Recorded]


async def forward(
    start: Path, plan: Plan, *, policy: str, frozen: bool, progress: Callable[[], None] = lambda: None
) -> Played:
    """Play all visits under a policy, from the settled state in ``start``, which is left as it is."""
    with tempfile.TemporaryDirectory(prefix="policy-world-") as folder:
        base = Path(folder) / "run"
        shutil.copytree(start, base)
        world = World(base, policy=policy, frozen=frozen)
        answers = []
        for number, visit in enumerate(plan.visits):
            answers.append(await world.visit(visit, 1_000_000 + number))
            if number % FLUSHED == 0:  # as a serving sidecar does every quarter of a second
                await world.sidecar.audit.flush()
            progress()
        pages = recorded(world.sidecar.decisions, [TENANT], BEGAN, BEGAN + 10_000 * DAY, 10**9)
        decisions = [item async for page in pages for item in page]
        await world.close()
    if len(decisions) != len(answers):
        raise RuntimeError(f"{len(decisions)} decisions are recorded of {len(answers)}")
    return Played(answers, decisions)


def backtested(decisions: Sequence[Recorded], policy: str) -> list[tuple[Action, str]]:
    """Decide what was recorded anew, as ``gaitkeeper policy backtest`` does."""
    candidate = load(policy_directory() / f"{policy}.yaml")
    found = []
    for decision in decisions:
        facts = rebanded(decision.facts, candidate.mismatch_from, candidate.prior)
        verdict = decide(candidate, facts, decision.at)
        found.append((verdict.consequence.action, verdict.rule_id))
    return found


def divergence(plan: Plan, foretold: Sequence[Any], came: Sequence[Any]) -> dict[str, Any]:
    """Return how many logins came otherwise than foretold, with the 95% interval of their share over people."""
    people: dict[str, tuple[int, int]] = {}
    for visit, before, after in zip(plan.visits, foretold, came, strict=True):
        count, apart = people.get(visit.user, (0, 0))
        people[visit.user] = (count + 1, apart + (before != after))
    return difference(list(people.values())) | {"apart": sum(apart for _, apart in people.values())}


def read_typing(path: Path) -> Typing:
    """Return every subject's repetitions of a CMU-layout set as rows. ``path``: the file, its folder, or a folder of sets."""
    path = path / "cmu" if (path / "cmu").is_dir() else path
    found: dict[str, list[list[Row]]] = {}
    for subject, block in load_cmu(path).items():
        hold, down_down = hold_and_down_down(block)
        downs = np.hstack([np.zeros((len(down_down), 1)), np.cumsum(down_down, axis=1)])
        held = np.hstack([hold, np.full((len(hold), 1), np.nan)])
        found[subject] = [
            [(round(float(down), 1), round(float(kept), 1)) for down, kept in zip(*pair, strict=True)]
            for pair in zip(downs, held, strict=True)
        ]
    return found


async def compared(plan: Plan, *, say: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Play everything; return the figures."""
    with tempfile.TemporaryDirectory(prefix="policy-world-") as folder:
        start = Path(folder) / "start"
        say(f"{len(plan.enrolled):,} people settle, {len(plan.visits):,} visits follow")
        await settled(start, plan)
        figures: dict[str, Any] = {"users": len(plan.enrolled), "visits": len(plan.visits)}
        for name, frozen in (("frozen", True), ("learning", False)):
            balanced = await forward(start, plan, policy="default", frozen=frozen)
            say(f"{name}: balanced played")
            strict = await forward(start, plan, policy="strict", frozen=frozen)
            foretold = backtested(balanced.decisions, "strict")
            own = backtested(balanced.decisions, "default")
            figures[name] = {
                "asked_balanced": sum(action is not Action.ALLOW for action, _ in balanced.answers),
                "asked_strict": sum(action is not Action.ALLOW for action, _ in strict.answers),
                "asked_strict_foretold": sum(action is not Action.ALLOW for action, _ in foretold),
                "balanced_again": divergence(plan, own, balanced.answers),
                "answers": divergence(plan, [row[0] for row in foretold], [row[0] for row in strict.answers]),
                "rules": divergence(plan, foretold, strict.answers),
            }
            say(f"{name}: {figures[name]}")
    return figures


def main() -> None:
    """Print the figures; end with 1 where the frozen runs are not equal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    typing = read_typing(chosen.data)
    plan = planned(typing, users=chosen.users, days=chosen.days, seed=chosen.seed)
    figures = asyncio.run(compared(plan, say=lambda text: print(text, flush=True)))
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n")
    apart = figures["frozen"]["rules"]["apart"]
    print(f"frozen: {apart} of {figures['visits']:,} decisions came otherwise than foretold")
    learned = figures["learning"]["answers"]
    print(
        f"learning: {learned['apart']} answers, {learned['share']:.3%} ({learned['low']:.3%} to {learned['high']:.3%})"
    )
    sys.exit(1 if apart else 0)


if __name__ == "__main__":
    main()
