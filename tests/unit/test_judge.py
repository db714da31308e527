"""What behaviour says: four outcomes, told apart by the deciding field, and nothing gained by leaving the hard part out."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.world import rows_of, state

from sidecar.domain.biometrics import Absence, Cause, Probe, ProfileState, Provenance, Sample
from sidecar.domain.decisions import Outcome
from sidecar.evaluation.synthetic import Row, probe_of
from sidecar.ports import Profile, ProfileKey
from sidecar.rehearsal.payload import hidden_field
from sidecar.risk.fusion import level, probability
from sidecar.risk.judge import Known, circumstances, facts, judge, usual_provenance
from sidecar.scoring import DETECTORS
from sidecar.scoring.calibration import Circumstances, aged, calibration_of
from sidecar.wire import Batch, decode_hidden

DETECTOR = DETECTORS["nearest-recent-1"]
OWNER, STRANGER = 7, 18
MISMATCH_FROM = 0.9


def batches(text: str) -> list[Batch]:
    return decode_hidden(text.encode()).b


def typed(person: int, login: int = 1, length: int = 10, name: list[Row] | None = None) -> list[Batch]:
    return batches(hidden_field(rows_of(person, login, length), name))


def profile(field: str, samples: int = 15, length: int = 10, person: int = OWNER, confirmed: bool = True) -> Profile:
    probes = [probe_of(rows_of(person, 100 + number, length), field) for number in range(samples)]
    template = DETECTOR.enroll([Sample(p.values, float(i)) for i, p in enumerate(probes)], probes[0].kinds, "positions")
    return Profile(ProfileKey("t", "s", "keystroke", field, "keyboard"), template, samples, confirmed, 1e9)


READY = profile("password")


def known(*profiles: Profile, state: ProfileState = ProfileState.READY) -> Known:
    return Known({item.key.field: item for item in profiles}, {item.key.field: state for item in profiles})


def said(evidence: Any, about: Known, mode: Any = "positions") -> Any:
    return judge(evidence, about, DETECTORS, mode=mode, mismatch_from=MISMATCH_FROM)


def test_few_samples_of_one_sitting_are_aged_as_in_evaluation() -> None:
    """Ten samples of a week ago: a stranger's mismatch says less than on the same day; of two days it says what it says."""
    first = profile("password", samples=10)
    probes = [probe_of(rows_of(OWNER, 100 + number, 10), "password") for number in range(10)]
    samples = [Sample(each.values, float(at)) for at, each in enumerate(probes)]
    few = replace(first, template=DETECTORS["nearest-recent-2"].enroll(samples, probes[0].kinds, "positions"))
    llrs = []
    for age in (None, Circumstances(1, 0.0), Circumstances(1, 7.0), Circumstances(2, 7.0)):
        about = replace(known(few), ages={"password": age} if age else {})
        llrs.append(said(typed(STRANGER), about).llr)
    plain, today, week, days = llrs
    assert week < today == plain
    assert days == plain
    constants = calibration_of(few.template.detector, "positions")
    assert week == pytest.approx(aged(constants, plain, samples=10, when=Circumstances(1, 7.0)))


@pytest.mark.parametrize(
    ("hours", "wanted"),
    [
        ([], None),
        ([0], Circumstances(1, 2.0)),
        ([0, 1, 5], Circumstances(1, 2.0)),
        ([0, 1, 25, 26], Circumstances(2, 2.0)),
    ],
)
def test_circumstances_of_samples(hours: list[float], wanted: Circumstances | None) -> None:
    at = 1e9 + 3600.0 * np.array(hours)
    assert circumstances(at, (at[-1] if hours else 1e9) + 2 * 86_400) == wanted
    assert circumstances(at, 0.0) is None or circumstances(at, 0.0) == Circumstances(wanted.sittings, 0.0)  # type: ignore[union-attr]


def test_sco2_the_owner_matches_and_a_stranger_does_not() -> None:
    owner, stranger = said(typed(OWNER), known(READY)), said(typed(STRANGER), known(READY))
    assert (owner.outcome, stranger.outcome) == (Outcome.MATCH, Outcome.MISMATCH)
    assert owner.llr < 0 < MISMATCH_FROM <= stranger.llr
    assert (level(owner), level(stranger)) == ("low", "high")


@pytest.mark.parametrize("now", [ProfileState.LEARNING, ProfileState.STALE])
def test_sco2_a_profile_that_is_not_ready_scores_nothing(now: ProfileState) -> None:
    judgement = said(typed(STRANGER), known(READY, state=now))
    assert (judgement.outcome, judgement.state, judgement.llr) == (Outcome.INSUFFICIENT, now, None)
    assert level(judgement) == "unknown"


def test_sco2_nobody_known_is_insufficient_and_the_probe_is_kept_for_learning() -> None:
    judgement = said(typed(STRANGER), known())
    assert (judgement.outcome, judgement.state) == (Outcome.INSUFFICIENT, ProfileState.NONE)
    assert [probe.field for probe in judgement.probes] == ["password"]


@pytest.mark.parametrize("cause", Cause)
def test_sco2_no_evidence_keeps_its_cause(cause: Cause) -> None:
    judgement = said(cause, known(READY))
    assert (judgement.outcome, judgement.cause, judgement.llr) == (Outcome.UNAVAILABLE, cause, None)
    assert judgement.probes == ()
    assert judgement.confidence == 0.0


@pytest.mark.parametrize(
    ("how", "cause"), [("pasted", Cause.PASTED), ("filled", Cause.FILLED), ("none", Cause.NOT_TYPED)]
)
def test_evasions_are_named_absences(how: str, cause: Cause) -> None:
    judgement = said(batches(state(how)), known(READY))
    assert (judgement.outcome, judgement.cause) == (Outcome.UNAVAILABLE, cause)


@pytest.mark.parametrize("how", ["pasted", "filled"])
def test_a_filled_field_with_key_presses_beside_it_is_not_evidence(how: str) -> None:
    """The victim's recorded rhythm sent along with a filled field does not make the fill a match."""
    field = json.loads(hidden_field(rows_of(OWNER, 1)))
    field["b"][0]["s"][1]["p"] = how
    judgement = said(batches(json.dumps(field)), known(READY))
    assert (judgement.outcome, judgement.cause) == (Outcome.UNAVAILABLE, Cause(how))


def test_an_edited_password_is_corrected() -> None:
    field = json.loads(hidden_field(rows_of(OWNER, 1)))
    field["b"][0]["s"][1]["e"] = 1
    assert said(batches(json.dumps(field)), known(READY)).cause is Cause.CORRECTED


@pytest.mark.parametrize("length", [4, 9, 11, 16])
def test_another_number_of_keys_is_no_score(length: int) -> None:
    judgement = said(typed(OWNER, 1, length), known(READY))
    assert (judgement.outcome, judgement.cause, judgement.llr) == (Outcome.UNAVAILABLE, Cause.LENGTH_DIFFERS, None)


def test_a_coarse_clock_is_no_score() -> None:
    field = json.loads(hidden_field(rows_of(OWNER, 1)))
    field["b"][0]["q"] = 100
    assert said(batches(json.dumps(field)), known(READY)).cause is Cause.COARSE_CLOCK


@pytest.mark.parametrize("left_out", [range(10), range(0, 10, 2), range(3)], ids=["all", "every second", "three"])
def test_releases_left_out_are_no_evidence(left_out: range) -> None:
    """A browser that withholds hold times must not be scored on the easier rest."""
    rows = [(down, math.nan if at in left_out else hold) for at, (down, hold) in enumerate(rows_of(OWNER, 1))]
    field = json.loads(hidden_field(rows))
    field["b"][0]["k"]["c"] = [0] * 10 + [4]
    judgement = said(batches(json.dumps(field)), known(READY))
    assert (judgement.outcome, judgement.cause, judgement.llr) == (Outcome.UNAVAILABLE, Cause.INCOMPLETE, None)


def test_keys_still_down_when_the_form_goes_are_spared() -> None:
    rows = [(down, math.nan if at in (8, 9) else hold) for at, (down, hold) in enumerate(rows_of(OWNER, 1))]
    field = json.loads(hidden_field(rows))
    field["b"][0]["k"]["c"] = [0] * 10 + [4]
    assert said(batches(json.dumps(field)), known(READY)).llr is not None


def test_a_user_name_typed_well_does_not_outvote_the_password() -> None:
    """Somebody who learned the owner's user name by watching still types the password as a stranger."""
    both = said(typed(STRANGER, name=name_rows(OWNER, 1)), known(READY, name_profile()))
    alone = said(typed(STRANGER), known(READY))
    assert len(both.scores) == 2
    assert both.llr < alone.llr
    assert both.outcome is Outcome.MISMATCH


def test_enr2_where_the_password_is_withheld_the_user_names_profile_speaks() -> None:
    """An old confirmed password profile must not vouch for an unconfirmed user name profile."""
    unconfirmed = Profile(name_profile().key, name_profile().template, 15, False, 1e9)
    about = known(READY, unconfirmed)
    judgement = said(typed(OWNER, name=name_rows(OWNER, 1)), about, mode="off")
    named = facts(judgement, about, action="login", client="c", usual=[], prior=0.02)
    assert judgement.deciding == "username"
    assert named["profile.confirmed"] is False


def name_rows(person: int, login: int) -> list[Row]:
    return rows_of(person, login, 8)[:-1]


def name_profile() -> Profile:
    probes = [probe_of(name_rows(OWNER, 100 + number), "username", enter=False) for number in range(15)]
    template = DETECTOR.enroll([Sample(p.values, float(i)) for i, p in enumerate(probes)], probes[0].kinds, "positions")
    return Profile(ProfileKey("t", "s", "keystroke", "username", "keyboard"), template, 15, True, 1e9)


def test_leaving_the_password_out_gains_nothing_from_a_good_user_name() -> None:
    field = json.loads(hidden_field(rows_of(OWNER, 1), name_rows(OWNER, 1)))
    keep = [i for i, owner in enumerate(field["b"][0]["k"]["f"]) if owner == 0]
    field["b"][0]["k"] = {name: [column[i] for i in keep] for name, column in field["b"][0]["k"].items()}
    field["b"][0]["s"] = [{"f": 0, "p": "typed"}, {"f": 1, "p": "pasted"}]
    judgement = said(batches(json.dumps(field)), known(READY, name_profile()))
    assert judgement.llr < 0
    assert (judgement.outcome, judgement.cause) == (Outcome.UNAVAILABLE, Cause.PASTED)


def test_a_strange_user_name_is_a_mismatch_though_the_password_was_filled() -> None:
    field = json.loads(hidden_field(rows_of(OWNER, 1), name_rows(STRANGER, 1)))
    field["b"][0]["s"][1]["p"] = "filled"
    judgement = said(batches(json.dumps(field)), known(READY, name_profile()))
    assert judgement.outcome is Outcome.MISMATCH


def test_a_withheld_password_lets_the_user_name_decide() -> None:
    field = hidden_field(rows_of(OWNER, 1), name_rows(OWNER, 2))
    judgement = said(batches(field), known(READY, name_profile()), mode="off")
    assert judgement.outcome is Outcome.MATCH
    assert [score.field for score in judgement.scores] == ["username"]
    assert said(typed(OWNER), known(READY), mode="off").outcome is Outcome.UNAVAILABLE


def test_summary_mode_uses_no_rows_that_it_did_not_ask_for() -> None:
    judgement = said(typed(OWNER), known(READY), mode="summary")
    assert (judgement.outcome, judgement.cause) == (Outcome.UNAVAILABLE, Cause.WITHHELD)


def test_the_newest_typing_counts_after_a_wrong_password() -> None:
    first = typed(STRANGER)[0]
    import msgspec

    second = msgspec.structs.replace(typed(OWNER)[0], seq=1, page=1)
    assert said([first, second], known(READY)).outcome is Outcome.MATCH
    assert said([msgspec.structs.replace(second, seq=0, page=0), msgspec.structs.replace(first, seq=1, page=1)],
                known(READY)).outcome is Outcome.MISMATCH  # fmt: skip


def test_contributions_are_ranked_and_say_positions_only() -> None:
    (score,) = said(typed(STRANGER), known(READY)).scores
    shares = [part.share for part in score.contributions]
    assert shares == sorted(shares, reverse=True)
    assert len(shares) == 6
    assert all(part.label.split()[0] in ("hold", "down-down", "up-down") for part in score.contributions)


def test_sco8_without_evidence_the_risk_is_the_prior() -> None:
    assert probability(None, 0.02) == pytest.approx(0.02)
    assert probability(0.0, 0.3) == pytest.approx(0.3)


@given(st.floats(-6, 6), st.floats(-6, 6), st.floats(0.0001, 0.5))
def test_sco8_risk_never_falls_as_the_evidence_against_rises(one: float, other: float, prior: float) -> None:
    low, high = sorted([one, other])
    assert 0 < probability(low, prior) <= probability(high, prior) < 1


def test_sco1_confidence_follows_the_amount_of_evidence_not_the_score() -> None:
    owner, stranger = said(typed(OWNER), known(READY)), said(typed(STRANGER), known(READY))
    assert owner.confidence == stranger.confidence
    assert said(typed(OWNER), known(profile("password", samples=3))).confidence < owner.confidence


def test_sco5_the_same_capture_and_profile_give_the_same_score() -> None:
    assert said(typed(OWNER), known(READY)).llr == said(typed(OWNER), known(READY)).llr


TICKS = st.integers(0, 4_000)


@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 4), TICKS, st.integers(-1, 4_000)), max_size=24),
    st.sampled_from(["typed", "pasted", "filled", "none"]),
    st.sampled_from(["positions", "summary", "off"]),
    st.integers(1, 200),
)
@settings(deadline=None, max_examples=150)
def test_any_capture_is_judged_without_an_exception_and_without_a_number_that_is_none(
    rows: Any, how: str, mode: Any, quantum: int
) -> None:
    columns = {name: [row[i] for row in rows] for i, name in enumerate("fcdh")}
    batch = {
        "v": 1, "seq": 0, "page": 0, "q": quantum, "ctx": "keyboard", "t": 0, "f": ["username", "password"],
        "k": columns, "s": [{"f": 1, "p": how}], "end": 1,
    }  # fmt: skip
    about = known(READY, name_profile_cached())
    judgement = said(batches(json.dumps({"v": 1, "n": 1, "b": [batch]})), about, mode)
    named = facts(judgement, about, action="login", client="c", usual=[], prior=0.02)
    assert all(not isinstance(value, float) or math.isfinite(value) for value in named.values())
    assert (judgement.cause is not None) == (judgement.outcome is Outcome.UNAVAILABLE)
    if judgement.outcome is Outcome.MATCH:
        assert judgement.scores


CACHED: list[Profile] = []


def name_profile_cached() -> Profile:
    if not CACHED:
        CACHED.append(name_profile())
    return CACHED[0]


TYPED, FILLED, PASTED = Provenance.TYPED, Provenance.FILLED, Provenance.PASTED


@pytest.mark.parametrize(
    ("newest", "usual"),
    [
        ([], "unknown"),
        ([FILLED] * 4, "unknown"),
        ([FILLED] * 5, "filled"),
        ([FILLED] * 4 + [TYPED], "mixed"),
        ([FILLED] * 4 + [None], "mixed"),
        ([None] + [FILLED] * 4, "mixed"),
        ([None] * 5, "unknown"),
        ([PASTED] * 5, "pasted"),
    ],
)
def test_usual_provenance(newest: list[Provenance | None], usual: str) -> None:
    assert usual_provenance(newest) == usual


def test_a_probe_is_never_both_absent_and_scored() -> None:
    judgement = said(typed(OWNER, 1, 11), known(READY))
    assert {score.field for score in judgement.scores}.isdisjoint({gone.field for gone in judgement.absences})
    assert all(isinstance(item, Absence) for item in judgement.absences)
    assert all(isinstance(item, Probe) for item in judgement.probes)
