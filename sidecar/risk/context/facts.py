"""All context signals of one login in one call: values in, facts out."""

from collections.abc import Sequence
from dataclasses import dataclass

from sidecar.domain.biometrics import Probe
from sidecar.domain.decisions import SignalValue
from sidecar.domain.entries import Entries
from sidecar.risk.context import history, hours, machine, request
from sidecar.risk.context.places import Located


@dataclass(frozen=True, slots=True)
class Around:
    """What is known around one login.

    ``device``: the id of a verified device cookie. ``past``, ``failures``: of this user. ``session_began_at``: epoch
    seconds, None at a login. ``probe``: the deciding field's; ``earlier``: entries of the field.
    """

    asked: request.Asked
    device: str | None
    located: Located
    past: Sequence[history.PastLogin]
    failures: Sequence[history.Failure]
    session_began_at: float | None
    consent: request.Consent
    gpc: bool
    mark: request.Mark | None
    probe: Probe | None
    earlier: Entries | None


def context_facts(around: Around, now: float) -> dict[str, SignalValue]:
    """Name every context signal; to be joined with ``risk.judge.facts``. ``now``: epoch seconds."""
    located, past, probe = around.located, around.past, around.probe
    return {
        **request.facts(around.asked),
        "device.state": history.device_state(around.device, past, now),
        "network.changed": history.network_changed(around.asked.address, past),
        "network.asn": located.asn,
        "network.asn_changed": history.asn_changed(located.asn, past),
        "network.country": located.country,
        "network.country_changed": history.country_changed(located.country, past),
        "travel.speed": history.travel_speed(located.spot, past, now),
        "time.unusual": hours.usual_share(past, now),
        "failures.device": history.failures_of_device(around.failures, around.device, now),
        "session.age": request.session_age(around.session_began_at, now),
        **request.consent(around.consent, around.gpc),
        "mark.state": request.mark(around.mark, now),
        **machine.look(probe, around.earlier).facts(),
    }
