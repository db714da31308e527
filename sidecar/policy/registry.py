"""Every signal a policy may read: name, type, range, meaning, producer. Expressions are typed against this table."""

from dataclasses import dataclass
from typing import Literal

SignalType = Literal["bool", "int", "double", "string"]


@dataclass(frozen=True, slots=True)
class Signal:
    """One fact. ``values``: the closed set of a string signal; ``unit`` for numbers."""

    name: str
    type: SignalType
    meaning: str
    producer: str
    unit: str = ""
    values: tuple[str, ...] = ()


_PROVENANCE = ("typed", "pasted", "filled", "none", "unknown")

SIGNALS: dict[str, Signal] = {
    signal.name: signal
    for signal in (
        Signal("action", "string", "what the provider asks about", "request", values=("login", "session_check")),
        Signal("client.id", "string", "the OIDC client the user signs in to", "request"),
        Signal(
            "keystroke.outcome",
            "string",
            "what typing says, by the policy's own bands",
            "risk.judge",
            values=("match", "mismatch", "insufficient", "unavailable"),
        ),
        Signal(
            "keystroke.llr",
            "double",
            "log-likelihood ratio of the typed fields, higher = more impostor-like; missing unless scored",
            "scoring",
            unit="nat",
        ),
        Signal("keystroke.confidence", "double", "amount of evidence, 0 to 1", "scoring"),
        Signal("keystroke.cause", "string", "why there is no evidence; missing when there is", "features"),
        Signal(
            "profile.state",
            "string",
            "how far the deciding field's profile has come",
            "enrollment",
            values=("none", "learning", "ready", "stale"),
        ),
        Signal("profile.samples", "int", "confirmed samples of the deciding field", "enrollment", unit="samples"),
        Signal(
            "profile.confirmed",
            "bool",
            "the profile's first samples were confirmed by a second factor; only such a profile may lower friction",
            "enrollment",
        ),
        Signal("provenance.username", "string", "how the user name got into its field", "features", values=_PROVENANCE),
        Signal("provenance.password", "string", "how the password got into its field", "features", values=_PROVENANCE),
        Signal(
            "provenance.usual",
            "string",
            "how the password got there in all of the last five logins that were allowed or passed a second factor",
            "enrollment",
            values=(*_PROVENANCE, "mixed"),
        ),
        Signal(
            "consent.state",
            "string",
            "where the person stands; nothing is scored unless given or other_basis",
            "request, subjects",
            values=("unknown", "given", "refused", "withdrawn", "other_basis"),
        ),
        Signal("consent.gpc", "bool", "the browser sent Global Privacy Control", "request"),
        Signal(
            "risk.probability",
            "double",
            "probability of an impostor: the policy's prior moved by keystroke.llr; the prior itself without evidence",
            "risk.fusion",
        ),
    )
}
