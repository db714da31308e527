"""A backtest foretells what a policy would have done: exactly, while nothing is learned (POL8). The large run, on recorded
people, is ``benchmarks.policy_world``.
"""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.policy_world import Plan, backtested, divergence, forward, planned, settled
from sidecar.domain.decisions import Action
from sidecar.evaluation.synthetic import typist

pytestmark = pytest.mark.anyio


@pytest.fixture
async def prepared(tmp_path: Path) -> tuple[Path, Plan]:
    """Six generated people with their histories, and some forty visits, strangers among them."""
    draw = np.random.default_rng(5)
    typing = {f"s{n}": [typist(900 + n).login(draw, 10) for _ in range(60)] for n in range(3)}
    plan = planned(typing, users=6, days=90, seed=5, habits=((0.5, 0.4), (0.5, 0.8)))
    assert len(plan.visits) > 25
    assert any(not visit.genuine for visit in plan.visits)
    await settled(tmp_path / "start", plan)
    return tmp_path / "start", plan


async def test_pol8_frozen_the_backtest_of_strict_equals_a_forward_run_of_strict(prepared: tuple[Path, Plan]) -> None:
    start, plan = prepared
    balanced = await forward(start, plan, policy="default", frozen=True)
    strict = await forward(start, plan, policy="strict", frozen=True)
    assert backtested(balanced.decisions, "default") == balanced.answers
    assert backtested(balanced.decisions, "strict") == strict.answers
    assert backtested(strict.decisions, "default") == balanced.answers
    assert len({rule for _, rule in strict.answers}) >= 4
    asked = [sum(action is not Action.ALLOW for action, _ in run.answers) for run in (balanced, strict)]
    assert asked[0] < asked[1]


async def test_pol8_learning_the_divergence_is_told_with_its_interval(prepared: tuple[Path, Plan]) -> None:
    start, plan = prepared
    balanced = await forward(start, plan, policy="default", frozen=False)
    strict = await forward(start, plan, policy="strict", frozen=False)
    figures = divergence(plan, backtested(balanced.decisions, "strict"), strict.answers)
    assert 0.0 <= figures["share"] <= 1.0
    assert figures["low"] <= figures["share"] <= figures["high"]
    assert figures["apart"] == round(figures["share"] * len(plan.visits))
    assert divergence(plan, strict.answers, strict.answers)["apart"] == 0
