"""Recorded facts under another policy's figures: what its threshold and prior would have made of them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.biometrics import Absence, Cause, Score
from sidecar.domain.decisions import Judgement, ProfileState
from sidecar.policy.backtest import Recorded, tally
from sidecar.policy.bands import outcome_of, rebanded
from sidecar.policy.evaluate import decide
from sidecar.policy.explain import what_if
from sidecar.policy.language import parse
from sidecar.risk.fusion import probability
from sidecar.risk.judge import Known, facts
from sidecar.shipped import policy_directory

NOW = 1_795_000_000.0
TEXT = (policy_directory() / "default.yaml").read_text()
LLRS = st.none() | st.floats(-6, 6)


def judged(llrs: dict[str, float], absent: Cause | None, mismatch_from: float) -> Judgement:
    """A judgement as the judge makes one, from scores by field."""
    scores = tuple(Score(field, llr, 0.7, 1.0, 20, 15, ()) for field, llr in llrs.items())
    combined = sum(llrs.values()) / len(llrs) if llrs else None
    outcome = outcome_of(combined, llrs.get("password"), absent is not None, mismatch_from)
    return Judgement(
        deciding="password", outcome=outcome, cause=absent if outcome == "unavailable" else None, state=ProfileState.READY,
        llr=combined, confidence=0.7, scores=scores, absences=(Absence("password", absent),) if absent else (), probes=(),
        provenance={}, context="keyboard",
    )  # fmt: skip


def told(judgement: Judgement, prior: float) -> dict[str, Any]:
    return facts(judgement, Known({}, {}), action="login", client="app", usual=(), prior=prior)


@given(
    LLRS, LLRS, st.floats(-3, 3), st.floats(-3, 3), st.sampled_from([0.01, 0.02, 0.3]), st.sampled_from([None, *Cause])
)
def test_rebanded_facts_are_those_that_a_login_under_the_other_policy_would_have_had(
    name: float | None, password: float | None, old: float, new: float, prior: float, cause: Cause | None
) -> None:
    """The promise of a backtest: recorded under one threshold and re-read under another equals judged under the other."""
    llrs = {field: llr for field, llr in (("username", name), ("password", password)) if llr is not None}
    absent = cause if password is None else None
    recorded = told(judged(llrs, absent, old), 0.02)
    forward = told(judged(llrs, absent, new), prior)
    assert rebanded(recorded, new, prior) == forward
    assert rebanded(forward, new, prior) == forward


def test_a_backtest_applies_the_candidates_threshold() -> None:
    recorded = told(judged({"password": 1.2}, None, 0.9), 0.02)
    old, new = parse(TEXT.encode()), parse(TEXT.replace("mismatch_from: 0.8", "mismatch_from: 1.5").encode())
    full = recorded | {"profile.confirmed": True}
    then = decide(old, full, NOW)
    assert then.rule_id == "keystroke-mismatch"
    found = tally(new, [Recorded("1", "u", "app", (), NOW, full, then.consequence, then.rule_id)])
    assert (found.total.fewer, found.total.more) == (1, 0)


@pytest.mark.parametrize(
    ("llr", "rule_id"), [(3.0, "keystroke-mismatch"), (-1.0, "outcome.match"), (0.9, "keystroke-mismatch")]
)
def test_what_if_of_a_score_moves_the_outcome(llr: float, rule_id: str) -> None:
    given_facts = told(judged({"password": 0.0}, None, 0.9), 0.02) | {"profile.confirmed": True}
    _, after = what_if(parse(TEXT.encode()), given_facts, {"keystroke.llr": llr}, NOW)
    assert after.rule_id == rule_id


def test_facts_without_a_score_keep_their_outcome() -> None:
    recorded = {"keystroke.outcome": "insufficient", "profile.state": "none", "keystroke.llr": None}
    assert rebanded(recorded, -6.0, 0.02) == recorded


@pytest.mark.parametrize("odd", ["x", True, float("nan"), float("inf"), -1e6, 10**400, [1.0]])
def test_odd_scores_raise_nothing(odd: Any) -> None:
    recorded = {"keystroke.llr": odd, "keystroke.outcome": "match", "risk.probability": 0.02}
    assert rebanded(recorded, 0.9, 0.02)["keystroke.outcome"] == "match"


def test_without_evidence_the_probability_is_the_prior() -> None:
    assert probability(None, 0.03) == pytest.approx(0.03)
