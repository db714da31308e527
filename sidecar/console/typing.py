"""How well typing tells people apart in a tenant, as operators read it."""

from collections.abc import Sequence
from typing import Any

from sidecar.risk.muting import Others, distinguished
from sidecar.risk.standing import Person, Standing
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


def of_person(profiles: Sequence[Person], mismatch_from: float, others: Others) -> list[dict[str, Any]]:
    """Say of each field of one person how well typing tells them from strangers, with intervals: as the judge sees it."""
    found = []
    for each in profiles:
        known = distinguished(each.entries, each.template, mismatch_from, others(each.field, each.template))
        found.append(
            {
                "field": each.field,
                "false_rejects": known.false_rejects,
                "false_accepts_of_strangers": known.false_accepts,
                "equal_error": known.equal_error,
                "concerns": [_CONCERNS[one] for one in known.concerns],
                "counts": not known.muted,
            }
        )
    return found


def _percent(share: Rate | None) -> str:
    if share is None:
        return "not known yet"
    return f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%})"
