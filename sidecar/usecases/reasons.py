"""Plain words for what behaviour said, for operators. End users get one neutral sentence whatever the cause (SEC6)."""

from sidecar.domain.biometrics import Cause
from sidecar.domain.decisions import Judgement, Outcome

FOR_USERS = "Please confirm that it is you."

_CAUSES = {
    Cause.NO_CAPTURE: "nothing was captured: JavaScript is off, the script was blocked, or the capture was withheld",
    Cause.MALFORMED: "what the browser sent is not a capture",
    Cause.EXPIRED: "the capture was older than ten minutes",
    Cause.FOREIGN: "the capture belongs to another login attempt, page or origin",
    Cause.REPLAYED: "the capture served a decision before, or the typing is a copy of an earlier entry",
    Cause.INCOMPLETE: "a part of the capture did not arrive",
    Cause.IMPLAUSIBLE: "the capture claims more time than has passed",
    Cause.PASTED: "the field was pasted, not typed",
    Cause.FILLED: "the field was filled by software (a password manager, for example), not typed",
    Cause.NOT_TYPED: "nothing was typed into the field",
    Cause.CORRECTED: "the entry was corrected while typed, so key positions do not line up",
    Cause.TOO_SHORT: "too few key presses to compare",
    Cause.LENGTH_DIFFERS: "another number of key presses than the enrolled ones",
    Cause.COARSE_CLOCK: "the browser's clock is too coarse to measure typing",
    Cause.WITHHELD: "the client's configuration keeps this field out of behaviour",
    Cause.NO_CONSENT: "the person has not agreed to it; nothing was looked at",
    Cause.INDISTINCT: "typing does not tell this person from others, so it does not count for them",
    Cause.PAUSED: "the person has paused it; nothing was looked at",
}


def reason(judgement: Judgement | None) -> str:
    """Say in one sentence what behaviour said."""
    if judgement is None:
        return "The decision could not be evaluated in time; the policy's word for errors holds."
    if judgement.outcome is Outcome.MISMATCH:
        return "The typing is more likely another person's than the account owner's."
    if judgement.outcome is Outcome.MATCH:
        return "The typing is like the account owner's."
    if judgement.outcome is Outcome.UNAVAILABLE and judgement.cause:
        return f"No evidence: {_CAUSES[judgement.cause]}."
    words = {
        "none": "there is no profile yet",
        "learning": "the profile is still learning",
        "stale": "the profile is stale",
    }
    return f"Not enough known: {words.get(judgement.state, judgement.state)}."
