"""What a login's typing says beside whose it is: signs of software, copies of earlier entries; and what is kept of it."""

from collections.abc import Mapping

from sidecar.domain.decisions import Judgement
from sidecar.domain.entries import Entries, Entry
from sidecar.risk.context import machine
from sidecar.risk.judge import Known
from sidecar.risk.shared import SharedText


def looked_at(
    judgement: Judgement, earlier: Mapping[tuple[str, str], Entries], shared: Mapping[str, SharedText]
) -> machine.Liveness:
    """Look at the deciding field of a login beside its earlier entries, given by (field, context), and what is usual."""
    probe = next((probe for probe in judgement.probes if probe.field == judgement.deciding), None)
    text = shared.get(judgement.deciding)
    usual = text.usual if text else None
    return machine.look(probe, earlier.get((judgement.deciding, judgement.context)), usual)


def unlike(judgement: Judgement, mismatch_from: float) -> bool:
    """Tell whether any field was typed unlike its profile, also where that does not count: learning must know of it."""
    return any(score.llr >= mismatch_from for score in (*judgement.scores, *judgement.muted))


def entered(judgement: Judgement, known: Known, at: float) -> tuple[Entry, ...]:
    """Return what is kept of each field that was typed."""
    llrs = {
        score.field: score.llr if score.raw is None else score.raw for score in (*judgement.scores, *judgement.muted)
    }
    models = {name: profile.template.detector for name, profile in known.profiles.items()}
    return tuple(
        Entry(probe.field, judgement.context, probe, at, llrs.get(probe.field), models.get(probe.field, ""))
        for probe in judgement.probes
    )
