"""All context signals of one login in one call: values in, facts out."""

from dataclasses import dataclass

from sidecar.domain.decisions import SignalValue
from sidecar.domain.surroundings import Past
from sidecar.risk.context import history, hours, request
from sidecar.risk.context.places import Located


@dataclass(frozen=True, slots=True)
class Around:
    """What is known around one login.

    ``device``: the id of a verified device cookie. ``session_began_at``, ``factor_at``: when the session began and when a
    second factor was last passed in it, epoch seconds; None at a login.
    """

    asked: request.Asked
    device: str | None
    located: Located
    past: Past
    session_began_at: float | None
    factor_at: float | None = None


def context_facts(around: Around, now: float) -> dict[str, SignalValue]:
    """Name every signal of the surroundings; to be joined with ``risk.judge.facts``. ``now``: epoch seconds."""
    located, logins = around.located, around.past.logins
    return {
        **request.facts(around.asked),
        "device.state": history.device_state(around.device, logins, now),
        "network.changed": history.network_changed(around.asked.address, logins),
        "network.asn": located.asn,
        "network.asn_changed": history.asn_changed(located.asn, logins),
        "network.country": located.country,
        "network.country_changed": history.country_changed(located.country, logins),
        "travel.speed": history.travel_speed(located.spot, logins, now),
        "time.unusual": hours.usual_share(logins, now),
        "failures.device": history.failures_of_device(around.past.failures, around.device, now),
        "session.age": request.age(around.session_began_at, now),
        "session.factor_age": request.age(around.factor_at, now),
        "mark.state": request.mark(around.past.mark, now),
    }
