"""A decision as a person reads it: words, not structures. Nothing measured in a secret field is shown in milliseconds."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sidecar.domain.biometrics import Kind
from sidecar.ports import SessionEnd, StoredDecision
from sidecar.usecases.rehearse import of_decision

_KINDS = {
    Kind.HOLD: ("held {} longer", "held {} shorter"),
    Kind.DOWN_DOWN: ("{} slower", "{} faster"),
    Kind.UP_DOWN: ("{} slower", "{} faster"),
}
_FIELDS = {"username": "User name", "password": "Password"}
_FATES = {"waiting": "session is being ended", "delivered": "session ended", "failed": "session could not be ended"}
_DISABLED = {
    "waiting": "account is being disabled",
    "delivered": "account disabled",
    "failed": "account could not be disabled",
}
_NOT_LEARNED = {
    "too_far": "not near enough",
    "enough_today": "enough for today",
    "moved": "the profile has moved away from what was confirmed",
    "unconfirmed": "no second factor confirmed it",
    "machine": "typed as software types",
}
SHOWN = 8
_ACTIONS = {"allow": "Allowed", "step_up": "Second factor", "deny": "Denied"}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the operator page."""

    id: str
    tenant: str
    time: str
    iso: str
    user: str
    client: str
    action: str
    action_code: str
    risk: int | None
    confidence: int
    reason: str
    rule: str
    source: str
    state: str
    samples: int
    contributions: list[dict[str, Any]]
    would_pass: list[str]
    absences: list[str]
    trace: list[dict[str, Any]]
    shadow: list[dict[str, str]]
    ended: str
    can_end: bool
    can_disable: bool


def row(decision: StoredDecision, name: str, end: SessionEnd | None = None, *, disables: bool = False) -> Row:
    """Word one decision for the page; ``name`` is the person's, empty when unknown; ``disables``: the provider can do that."""
    body, facts = decision.body, decision.body["facts"]
    at = datetime.fromtimestamp(decision.at, UTC)
    answer = body["answer"]
    llr = facts["keystroke.llr"]
    completion = decision.completion or {}
    return Row(
        id=decision.id,
        tenant=decision.tenant,
        time=at.strftime("%H:%M:%S"),
        iso=at.isoformat(timespec="seconds"),
        user=name or decision.subject[:10],
        client=body["client"],
        action=_ACTIONS[answer["action"]],
        action_code=answer["action"],
        risk=None if llr is None else round(facts["risk.probability"] * 100),
        confidence=round(facts["keystroke.confidence"] * 100),
        reason=answer["reason"],
        rule=answer["rule_id"],
        source=answer["source"],
        state=facts["profile.state"],
        samples=facts["profile.samples"],
        contributions=_ranked(body["scores"]),
        would_pass=[_passing(one, _keys(body["scores"], one["field"])) for one in body.get("would_pass", [])],
        absences=[f"{_FIELDS[item['field']]}: {item['cause'].replace('_', ' ')}" for item in body["absences"]],
        trace=body["trace"],
        shadow=[
            {"rule": item.rule, "would": _ACTIONS[item.would["action"]], "code": item.would["action"]}
            for item in of_decision(decision)
            if item.changed
        ],
        ended=_worded(end) if end else _ended(completion),
        can_disable=disables and not (end and end.scope == "disable" and end.fate != "failed"),
        can_end=(end is None or end.fate == "failed")
        and bool(completion.get("outcome") == "succeeded" and (completion.get("sid") or body["sid"])),
    )


def _worded(end: SessionEnd) -> str:
    words = (_DISABLED if end.scope == "disable" else _FATES)[end.fate]
    return words if end.seconds is None else f"{words} after {end.seconds:.1f} s"


def _ranked(scores: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rank the features of all fields together; each field's shares are parts of its own distance."""
    parts = [
        _contribution(score["field"], part, 1 / len(scores), max(1, score["features"] // 3))
        for score in scores
        for part in score["contributions"]
    ]
    return sorted(parts, key=lambda part: -part["share"])[:SHOWN]


def _contribution(field: str, part: dict[str, Any], weight: float, keys: int) -> dict[str, Any]:
    more, less = _KINDS[Kind(part["kind"])]
    size = abs(part["deviation"])
    amount = "far" if size >= 3 else "clearly" if size >= 1.5 else "a little"
    return {
        "field": _FIELDS[field],
        "label": _place(part["label"], keys) if field == "password" else part["label"],
        "words": (more if part["deviation"] > 0 else less).format(amount) + " than usual",
        "share": round(part["share"] * weight * 100),
    }


def _keys(scores: list[dict[str, Any]], field: str) -> int:
    return next((max(1, score["features"] // 3) for score in scores if score["field"] == field), 1)


def _passing(one: dict[str, Any], keys: int) -> str:
    """Say what would have passed. Each place in a secret field is said roughly, and once."""
    if not one["labels"]:
        return f"{_FIELDS[one['field']]}: no few timings made the difference"
    labels = [_place(label, keys) if one["field"] == "password" else label for label in one["labels"]]
    return f"{_FIELDS[one['field']]}: as usual in {'; '.join(dict.fromkeys(labels))}"


def _ended(completion: dict[str, Any] | Any) -> str:
    if not completion:
        return "open"
    if completion["outcome"] != "succeeded":
        return str(completion["outcome"])
    learned = ", learned" if completion.get("taught") else _withheld(completion.get("withheld") or {})
    return ("second factor passed" if completion["second_factor"] else "signed in") + learned


def _withheld(withheld: dict[str, str]) -> str:
    why = withheld.get("password") or next(iter(withheld.values()), None)
    return f", not learned ({_NOT_LEARNED[why]})" if why in _NOT_LEARNED else ""


def _place(label: str, keys: int) -> str:
    """Say roughly where in a secret field; the position itself would tell operators how long the password is."""
    name, _, position = label.partition(" ")
    first = position.partition("-")[0]
    if not first.isdigit():
        return label
    third = min(2, 3 * (int(first) - 1) // keys)
    return f"{name}, {('early', 'middle', 'late')[third]}"
