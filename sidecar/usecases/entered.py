"""What a login's typing says beside whose it is: signs of software, copies of earlier entries; and what is kept of it."""

from collections.abc import Mapping

from sidecar.domain.decisions import Judgement
from sidecar.domain.entries import Entries, Entry
from sidecar.risk.context import machine
from sidecar.risk.judge import Known


def looked_at(judgement: Judgement, earlier: Mapping[tuple[str, str], Entries]) -> machine.Liveness:
    """Look at the deciding field of a login beside its earlier entries, given by (field, context)."""
    probe = next((probe for probe in judgement.probes if probe.field == judgement.deciding), None)
    return machine.look(probe, earlier.get((judgement.deciding, judgement.context)))


def entered(judgement: Judgement, known: Known, at: float) -> tuple[Entry, ...]:
    """Return what is kept of each field that was typed."""
    llrs = {score.field: score.llr for score in judgement.scores}
    models = {name: profile.template.detector for name, profile in known.profiles.items()}
    return tuple(
        Entry(probe.field, judgement.context, probe, at, llrs.get(probe.field), models.get(probe.field, ""))
        for probe in judgement.probes
    )
