"""How well typing tells people apart in a tenant, as operators read it."""

from typing import Any

from sidecar.risk.standing import Standing
from sidecar.scoring.distinguish import Concern, Rate

_CONCERNS = {
    Concern.ALIKE: "scores like strangers'",
    Concern.CONSTANT: "the same timings again and again",
    Concern.COARSE_CLOCK: "clock too coarse",
    Concern.TOO_LITTLE: "too little known",
}
_FIELDS = {"username": "user name", "password": "password"}
NAMED = 10


def worded(tenant: str, found: Standing) -> dict[str, Any]:
    """Word what is known of one tenant; people by the beginning of their pseudonym, as in the list of decisions."""
    return {
        "tenant": tenant,
        "people": found.people,
        "logins": found.logins,
        "false_rejects": _percent(found.false_rejects),
        "false_accepts": _percent(found.false_accepts),
        "between": _percent(found.between),
        "muted": found.muted,
        "warnings": list(found.warnings),
        "warned": [
            {
                "who": each.subject[:10],
                "field": _FIELDS.get(each.field, each.field),
                "what": ", ".join([_CONCERNS[one] for one in each.concerns] + ["scores rise"] * each.drifting),
            }
            for each in found.warned[:NAMED]
        ],
        "more": max(0, len(found.warned) - NAMED),
    }


def _percent(share: Rate | None) -> str:
    if share is None:
        return "not known yet"
    return f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%})"
