"""Which fields of a person must not count, because typing tells nothing there: estimated from what really happened.

Pure: earlier entries of the person in, causes out. Only logins that succeeded count, so nobody without the password can
have a person muted, and nobody with it either, short of the second factor.
"""

from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np

from sidecar.domain.biometrics import Cause, Floats, ProfileState, Template
from sidecar.domain.entries import ACCEPTED, Entries
from sidecar.features.keystroke import interleave
from sidecar.ports import Profile
from sidecar.scoring.distinguish import Concern, Distinguishability, distinguishability
from sidecar.scoring.strangers import usual_strangers

PER_DAY = 3  # scores that count
LOOKED_AT = 40  # newest samples in which gaps and clocks are looked for
CAUSES = {
    Concern.ALIKE: Cause.INDISTINCT,
    Concern.CONSTANT: Cause.INDISTINCT,
    Concern.COARSE_CLOCK: Cause.COARSE_CLOCK,
}


Others = Callable[[str, Template], Floats | None]


def no_others(_: str, __: Template) -> None:
    """Nobody is known to type the same text."""


def distinguished(
    entries: Entries, template: Template, mismatch_from: float, others: Floats | None = None
) -> Distinguishability:
    """Estimate how well one profile tells its person from others. ``others``: LLRs of other people tried against it, or
    None for those that strangers usually have.
    """
    strangers = usual_strangers(template.detector) if others is None else others
    samples: list[Floats] = []
    kinds = template.kinds.astype(np.float64)
    if template.layout == "positions":
        n = template.kinds.size // 3
        rows = np.flatnonzero((entries.stored == 1) & (entries.length == n))[-LOOKED_AT:]
        if n <= entries.hold.shape[1]:
            wide = (part[rows, :n].astype(np.float64) for part in (entries.hold, entries.down_down))
            rows_of = interleave(*wide)
            there = np.isfinite(rows_of).any(axis=0)  # no Enter after a user name
            samples, kinds = list(rows_of[:, there]), kinds[there]
    own = _spread(entries, template.detector)
    return distinguishability(own, strangers.tolist(), threshold=mismatch_from, samples=samples, kinds=kinds)


def _spread(entries: Entries, detector: str) -> list[float]:
    """Return scores of logins that succeeded, three a day: whoever was in for one day says little about a person."""
    counted = np.flatnonzero(np.isin(entries.ended, ACCEPTED) & np.isfinite(entries.llr))
    if entries.model != detector:
        return []
    seen: Counter[int] = Counter()
    found = []
    for row in counted[::-1]:
        day = int(entries.at[row] // 86_400)
        seen[day] += 1
        if seen[day] <= PER_DAY:
            found.append(float(entries.llr[row]))
    return found


def muted(
    entries: Mapping[tuple[str, str], Entries],
    profiles: Mapping[str, Profile],
    states: Mapping[str, ProfileState],
    mismatch_from: float,
    *,
    alike: bool,
    others: Others = no_others,
) -> dict[str, Cause]:
    """Return the fields of a person that must not count, and why. ``alike``: the whole installation types alike;
    ``others``: how other people score against a profile, where they type the same text.
    """
    found: dict[str, Cause] = {}
    for field, profile in profiles.items():
        if states.get(field) is not ProfileState.READY:
            continue
        if alike:
            found[field] = Cause.INDISTINCT
            continue
        known = entries.get((field, profile.key.context))
        if known is not None and len(known):
            concerns = distinguished(known, profile.template, mismatch_from, others(field, profile.template)).concerns
            cause = next((CAUSES[each] for each in concerns if each in CAUSES), None)
            if cause:
                found[field] = cause
    return found
