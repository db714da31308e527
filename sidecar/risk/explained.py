"""What would have made a login pass: few timings that would have had to be as usual, checked by scoring again.

For operators only: told to who logs in, it would teach an impostor.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from sidecar.domain.biometrics import Probe, Score, Template
from sidecar.domain.decisions import Judgement, Outcome
from sidecar.domain.entries import Entries
from sidecar.features.keystroke import interleave
from sidecar.risk.judge import Beside, Known
from sidecar.scoring import calibration, contract
from sidecar.scoring.calibration import Circumstances
from sidecar.scoring.contract import OneClassDetector
from sidecar.scoring.explain import counterfactual, median_of

MOST = 8  # timings; of a login that would need more, that is said instead
USUAL = 50  # newest samples whose median is what the person usually does


def would_pass(
    judgement: Judgement,
    known: Known,
    entries: Mapping[tuple[str, str], Entries],
    detectors: Mapping[str, OneClassDetector],
    beside: Beside,
    mismatch_from: float,
) -> list[dict[str, Any]]:
    """Return {field, labels, llr} of each field that made a mismatch; ``labels`` empty where more than eight would have had
    to differ, and ``llr`` is None then. Nothing of fields in which other people's word counted: one more thing would decide.
    """
    if judgement.outcome is not Outcome.MISMATCH:
        return []
    found = []
    probes = {probe.field: probe for probe in judgement.probes}
    for score in judgement.scores:
        if score.llr < mismatch_from or score.field in beside.shared:
            continue
        template = known.profiles[score.field].template
        listed = entries.get((score.field, judgement.context))
        limit = beside.correction.before(mismatch_from)
        age = known.ages.get(score.field)
        one = _field(score, probes[score.field], template, listed, detectors[template.detector], limit, age)
        if one is not None:
            llr = one["llr"]
            found.append(one | {"llr": None if llr is None else beside.correction.of(llr)})
    return found


def _field(
    score: Score,
    probe: Probe,
    template: Template,
    entries: Entries | None,
    detector: OneClassDetector,
    mismatch_from: float,
    age: Circumstances | None,
) -> dict[str, Any] | None:
    n = probe.values.size // 3
    if entries is None or probe.layout != "positions" or n > entries.hold.shape[1]:
        return None
    features, samples, layout = score.features, score.samples, template.layout
    constants = calibration.calibration_of(template.detector, layout)
    wanted = mismatch_from if age is None else calibration.before_aging(constants, mismatch_from, samples, age)
    rows = np.flatnonzero((entries.stored == 1) & (entries.length == n))[-USUAL:]
    if not rows.size or abs(wanted) >= calibration.LIMIT:
        return None
    kept = interleave(entries.hold[rows, :n].astype(np.float64), entries.down_down[rows, :n].astype(np.float64))
    kinds = contract.mix(template, probe.values)
    below = calibration.distance_at(
        wanted, features=features, samples=samples, layout=layout, detector=template.detector, mix=kinds
    )
    usual = median_of(list(kept))
    changed = counterfactual(detector, template, probe.values, probe.labels, usual=usual, below=below, most=MOST)
    if changed is None:
        return {"field": score.field, "labels": [], "llr": None}
    llr = calibration.to_llr(
        changed.distance,
        features=features,
        samples=samples,
        layout=layout,
        detector=template.detector,
        mix=kinds,
        when=age,
    )
    return {"field": score.field, "labels": list(changed.labels), "llr": llr}
