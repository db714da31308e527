"""Every signal a policy may read: name, type, unit, range, meaning, producer. Expressions are typed against this table.

The table also makes the JSON Schema of policy and test files (``schema``), the tables of ``docs/policies.md`` and the
values that tests draw. A signal stands here only together with the pure function that produces it.
"""

from dataclasses import dataclass
from typing import Literal

from sidecar.domain.biometrics import Cause

SignalType = Literal["bool", "int", "double", "string", "strings"]
Kind = Literal["request", "behavior", "context"]


@dataclass(frozen=True, slots=True)
class Signal:
    """One fact.

    ``values``: the closed set of a string signal, empty where any text may come. ``low``, ``high``: inclusive bounds of a
    number, in ``unit``. ``kind``: ``request`` names who asks for what, ``behavior`` comes from how a person types,
    ``context`` from everything around it; behaviour alone may not deny. ``producer``: module and function below
    ``sidecar``.
    """

    name: str
    type: SignalType
    meaning: str
    producer: str
    kind: Kind
    unit: str = ""
    values: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None


_PROVENANCE = ("typed", "pasted", "filled", "none", "unknown")
_SIGNS = ("none", "too_regular", "quantised", "impossible_speed", "too_usual", "unrelated")
_REQUEST = "risk.context.request.facts"

_REQUESTED = (
    Signal(
        "action", "string", "what the provider asks about", "risk.judge.facts", "request",
        values=("login", "session_check"),
    ),
    Signal("client.id", "string", "the OIDC client the user signs in to", "risk.judge.facts", "request"),
    Signal(
        "client.floor", "string", "the mildest answer this client takes; a policy cannot go below it", _REQUEST, "request",
        values=("trust", "allow", "step_up"),
    ),
    Signal(
        "client.sensitivity", "string", "how much is at stake at this client, as configured", _REQUEST, "request",
        values=("low", "normal", "high"),
    ),
    Signal("idp.issuer", "string", "the identity provider that asks", _REQUEST, "request"),
    Signal("idp.realm", "string", "the provider's realm or tenant", _REQUEST, "request"),
    Signal("user.id", "string", "the identity provider's id of the user", _REQUEST, "request"),
    Signal("user.roles", "strings", "the user's roles, as the provider names them", _REQUEST, "request"),
    Signal("user.groups", "strings", "the user's groups, as the provider names them", _REQUEST, "request"),
    Signal(
        "user.second_factor", "bool", "whether the user has enrolled a second factor, as the provider says", _REQUEST, "request",
    ),
    Signal("network.address", "string", "the user's IP address, as the provider forwards it", _REQUEST, "request"),
)  # fmt: skip

_BEHAVIOR = (
    Signal(
        "keystroke.outcome", "string", "what typing says, by the policy's own bands", "risk.judge.judge", "behavior",
        values=("match", "mismatch", "insufficient", "unavailable"),
    ),
    Signal(
        "keystroke.llr", "double",
        "log-likelihood ratio of the typed fields, higher = more impostor-like; missing unless scored",
        "scoring.calibration.combine", "behavior", unit="nat", low=-6.0, high=6.0,
    ),
    Signal(
        "keystroke.deciding_llr", "double", "the same of the deciding field alone", "risk.judge.facts", "behavior", unit="nat",
        low=-6.0, high=6.0,
    ),
    Signal(
        "keystroke.confidence", "double", "amount of evidence", "scoring.calibration.confidence", "behavior",
        low=0.0, high=1.0,
    ),
    Signal(
        "keystroke.cause", "string", "why there is no evidence; missing unless keystroke.outcome is unavailable",
        "features.keystroke.extract", "behavior", values=tuple(str(cause) for cause in Cause),
    ),
    Signal(
        "keystroke.absence", "string",
        "why the deciding field has no evidence, also where another field made a mismatch; missing where it has",
        "risk.judge.facts", "behavior", values=tuple(str(cause) for cause in Cause),
    ),
    Signal(
        "profile.state", "string", "how far the deciding field's profile has come", "risk.judge.facts", "behavior",
        values=("none", "learning", "ready", "stale"),
    ),
    Signal(
        "profile.samples", "int", "confirmed samples of the deciding field", "risk.judge.facts", "behavior",
        unit="samples", low=0,
    ),
    Signal(
        "profile.confirmed", "bool",
        "the profile's first samples were confirmed by a second factor; only such a profile may lower friction",
        "risk.judge.facts", "behavior",
    ),
    Signal(
        "provenance.username", "string", "how the user name got into its field", "features.keystroke.provenance",
        "behavior", values=_PROVENANCE,
    ),
    Signal(
        "provenance.password", "string", "how the password got into its field", "features.keystroke.provenance",
        "behavior", values=_PROVENANCE,
    ),
    Signal(
        "provenance.usual", "string",
        "how the password got there in all of the last five logins that were allowed or passed a second factor",
        "risk.judge.usual_provenance", "behavior", values=(*_PROVENANCE, "mixed"),
    ),
    Signal(
        "risk.probability", "double",
        "probability of an impostor: the policy's prior moved by keystroke.llr; the prior itself without evidence",
        "risk.fusion.probability", "behavior", low=0.0, high=1.0,
    ),
    Signal(
        "bot.sign", "string",
        "what speaks for software in how the deciding field was typed (docs/watching.md says which); none where "
        "nothing does, missing below four steps between keys or without timings by position",
        "risk.context.machine.look", "behavior", values=_SIGNS,
    ),
    Signal(
        "replay.nearest", "double",
        "mean difference to the most similar earlier entry of the deciding field, stored or merely seen; where that is "
        "nearer than people come, keystroke.cause is replayed",
        "risk.context.machine.look", "behavior", unit="ms", low=0.0,
    ),
)  # fmt: skip

_CONTEXT = (
    Signal(
        "device.state", "string",
        "whether a browser with this signed cookie completed a login of this user; none without a cookie",
        "risk.context.history.device_state", "context", values=("known", "new", "none"),
    ),
    Signal(
        "network.changed", "bool", "no completed login of this user came from this network (/24, /48)",
        "risk.context.history.network_changed", "context",
    ),
    Signal(
        "network.asn", "int", "autonomous system of the address, where a database is configured",
        "risk.context.places.locate", "context", low=0,
    ),
    Signal(
        "network.asn_changed", "bool", "no completed login of this user came from this autonomous system",
        "risk.context.history.asn_changed", "context",
    ),
    Signal(
        "network.country", "string", "country of the address (ISO 3166-1 alpha-2), where a database is configured",
        "risk.context.places.locate", "context",
    ),
    Signal(
        "network.country_changed", "bool", "no completed login of this user came from this country",
        "risk.context.history.country_changed", "context",
    ),
    Signal(
        "travel.speed", "double",
        "speed at which the user must have travelled since the last completed login, uncertainty of both places taken off",
        "risk.context.history.travel_speed", "context", unit="km/h", low=0.0,
    ),
    Signal(
        "time.unusual", "double",
        "share of the user's own completed logins at more usual hours than this; near 1 is unusual; missing before ten",
        "risk.context.hours.usual_share", "context", low=0.0, high=1.0,
    ),
    Signal(
        "failures.device", "int", "failed logins of this user from this very browser in the last hour",
        "risk.context.history.failures_of_device", "context", unit="failures", low=0,
    ),
    Signal(
        "session.age", "double", "time since the session began; missing at a login", "risk.context.request.age",
        "context", unit="s", low=0.0,
    ),
    Signal(
        "session.factor_age", "double",
        "time since a second factor was last passed in the running session; missing at a login, and where none was",
        "risk.context.request.age", "context", unit="s", low=0.0,
    ),
    Signal(
        "consent.state", "string", "what the person said about behaviour being used", "risk.judge.facts",
        "context", values=("unknown", "given", "refused", "withdrawn", "other_basis"),
    ),
    Signal(
        "consent.gpc", "bool", "the browser sent Global Privacy Control", "risk.judge.facts", "context",
    ),
    Signal(
        "mark.state", "string", "what an administrator marked this user as; none once the mark has expired",
        "risk.context.request.mark", "context", values=("none", "safe", "compromised"),
    ),
)  # fmt: skip

SIGNALS: dict[str, Signal] = {signal.name: signal for signal in (*_REQUESTED, *_BEHAVIOR, *_CONTEXT)}


def examples(signal: Signal) -> tuple[bool | int | float | str | tuple[str, ...], ...]:
    """Return values a test may give to a signal: every value of a closed set, else bounds and a few between."""
    if signal.type == "bool":
        return True, False
    if signal.type == "strings":
        return (), ("a",), ("a", "b")
    if signal.type == "string":
        return signal.values or ("", "a", "b")
    low = signal.low if signal.low is not None else -4.0
    high = signal.high if signal.high is not None else low + 8.0
    between = (low, low + (high - low) / 4, (low + high) / 2, high)
    return tuple(int(value) for value in between) if signal.type == "int" else between
