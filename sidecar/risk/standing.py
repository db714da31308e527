"""How well typing tells people apart in one tenant: rates with intervals, warnings, drift. Pure, over earlier entries.

What is compared between people is how long they hold keys on average, which hardly depends on the text: nothing here can
tell whether two people's secrets are equal.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sidecar.domain.biometrics import Floats, Template
from sidecar.domain.entries import Ended, Entries
from sidecar.risk.muting import Others, distinguished, no_others
from sidecar.scoring.distinguish import Concern, Rate, rate
from sidecar.scoring.strangers import usual_strangers
from sidecar.scoring.updates import drifted

FEWEST_PEOPLE = 5
ENTRIES_EACH = 30
FEWEST_EACH = 5
ALIKE_BELOW = 0.2  # share of the variance of hold times that lies between people; .89 in the CMU set
RECENT = 15  # newest scores of a person that are compared with those before
FEWEST_EARLIER = 15
RECENT_DAYS = 7.0
PERSON_LEVEL, TENANT_LEVEL = 1e-4, 1e-3
_RESAMPLES = 200


@dataclass(frozen=True, slots=True)
class Person:
    """One profile with its earlier entries. ``subject`` is a pseudonym."""

    subject: str
    field: str
    template: Template
    entries: Entries
    context: str = "keyboard"


@dataclass(frozen=True, slots=True)
class Warned:
    """A person of whom something is to be said: concerns, or scores that have shifted."""

    subject: str
    field: str
    concerns: tuple[Concern, ...]
    drifting: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a tenant. ``between``: share of the variance of hold times that lies between people, with its 95%
    interval, in the field where it is largest; None where no field has five people. ``alike``: nobody is told apart in
    any, so nothing is scored. ``false_accepts``: of strangers as they usually score, at the policy's threshold.
    """

    people: int
    logins: int
    false_rejects: Rate | None
    false_accepts: Rate | None
    between: Rate | None
    alike: bool
    drifting: bool
    warned: tuple[Warned, ...]
    muted: int

    @property
    def warnings(self) -> tuple[str, ...]:
        """Plain words for the operators, worst first."""
        found = []
        if self.alike:
            found.append("typing tells nobody from anybody else here, so it is not scored: is a program typing?")
        if self.muted:
            found.append(
                f"typing does not count for {self.muted} {_people(self.muted)}: it does not tell them from others"
            )
        if self.drifting:
            found.append("scores of successful logins have risen in the last seven days")
        shifted = sum(each.drifting for each in self.warned)
        if shifted:
            found.append(f"scores have risen for {shifted} {_people(shifted)}")
        return tuple(found)


def standing(
    people: Sequence[Person], mismatch_from: float, now: float, others: Callable[[str], Others] = lambda _: no_others
) -> Standing:
    """Look at a tenant's people. ``now``: epoch seconds; ``others``: who types the same texts as a person."""
    warned, muted = [], 0
    for person in people:
        strange = others(person.subject)(person.field, person.template)
        found = distinguished(person.entries, person.template, mismatch_from, strange)
        concerns = tuple(each for each in found.concerns if each is not Concern.TOO_LITTLE)
        shifted = _person_drifts(person.entries.accepted(person.template.detector))
        muted += bool(concerns)
        if concerns or shifted:
            warned.append(Warned(person.subject, person.field, concerns, shifted))
    scores = [person.entries.accepted(person.template.detector) for person in people]
    own = np.concatenate(scores) if scores else np.empty(0)
    strangers = usual_strangers(people[0].template.detector) if people else np.empty(0)
    between = _between(people)
    return Standing(
        people=len({person.subject for person in people}),
        logins=int(own.size),
        false_rejects=rate(int((own >= mismatch_from).sum()), own.size) if own.size else None,
        false_accepts=rate(int((strangers < mismatch_from).sum()), strangers.size) if strangers.size else None,
        between=between,
        alike=between is not None and between.high < ALIKE_BELOW,
        drifting=_tenant_drifts(people, now),
        warned=tuple(warned),
        muted=muted,
    )


def _between(people: Sequence[Person]) -> Rate | None:
    """Compare people in one field and context at a time, so that each counts once; the best of them tells them apart."""
    groups: dict[tuple[str, str], list[Floats]] = {}
    for person in people:
        groups.setdefault((person.field, person.context), []).append(_holds(person.entries))
    rates = [found for each in groups.values() if (found := between_people(each)) is not None]
    return max(rates, key=lambda found: found.high, default=None)


def between_people(groups: Sequence[Floats]) -> Rate | None:
    """Return what share of a variance lies between groups (intraclass correlation of a one-way random model; Shrout & Fleiss
    1979), with a bootstrap interval over groups of 95%. None with fewer than five groups of five.
    """
    used = [group for group in groups if group.size >= FEWEST_EACH]
    if len(used) < FEWEST_PEOPLE:
        return None
    sizes = np.array([group.size for group in used], dtype=np.float64)
    means = np.array([group.mean() for group in used])
    inside = np.array([((group - group.mean()) ** 2).sum() for group in used])
    drawn = np.random.default_rng(1).integers(0, len(used), (_RESAMPLES, len(used)))
    shares = _shares(sizes[drawn], means[drawn], inside[drawn])
    low, high = np.quantile(shares, (0.025, 0.975))
    value = float(_shares(sizes[None], means[None], inside[None])[0])
    return Rate(value, min(value, float(low)), max(value, float(high)))


def _shares(sizes: Floats, means: Floats, inside: Floats) -> Floats:
    """Return intraclass correlations of r draws of k groups, all arguments (r, k): size, mean, sum of squares around it."""
    total, k = sizes.sum(axis=1), sizes.shape[1]
    grand = (sizes * means).sum(axis=1) / total
    between = (sizes * (means - grand[:, None]) ** 2).sum(axis=1) / (k - 1)
    within = inside.sum(axis=1) / (total - k)
    each = (total - (sizes**2).sum(axis=1) / total) / (k - 1)
    spread = between + (each - 1) * within
    found: Floats = np.clip((between - within) / np.maximum(spread, 1e-12), 0.0, 1.0)
    return found


def _holds(entries: Entries) -> Floats:
    """Return the mean logarithm of the hold times of each of the newest successful entries."""
    rows = np.flatnonzero((entries.ended != Ended.NOT) & (entries.ended != Ended.OPEN) & (entries.length > 0))
    found = []
    for row in rows[-ENTRIES_EACH:]:
        hold = entries.hold[row].astype(np.float64)
        known = hold[np.isfinite(hold) & (hold > 0)]
        if known.size:
            found.append(float(np.log(known).mean()))
    return np.array(found)


def _person_drifts(scores: Floats) -> bool:
    if scores.size < RECENT + FEWEST_EARLIER:
        return False
    return drifted(scores[:-RECENT].tolist(), scores[-RECENT:].tolist(), level=PERSON_LEVEL).shifted


def _tenant_drifts(people: Sequence[Person], now: float) -> bool:
    """Compare everybody's scores of the last week with earlier ones, each as far from the person's own median."""
    recent: list[float] = []
    earlier: list[float] = []
    for person in people:
        kept = person.entries
        rows = np.isin(kept.ended, (Ended.ALLOWED, Ended.CONFIRMED)) & np.isfinite(kept.llr)
        if kept.model != person.template.detector:
            continue
        late = rows & (kept.at >= now - RECENT_DAYS * 86_400)
        before = rows & ~late
        if late.any() and before.sum() >= FEWEST_EACH:
            middle = float(np.median(kept.llr[before]))
            # One figure a person: logins of one person go together.
            recent.append(float(np.median(kept.llr[late])) - middle)
            earlier.append(float(np.median(kept.llr[before][-max(1, int(late.sum())) :])) - middle)
    if len(recent) < 8:
        return False
    return drifted(earlier, recent, level=TENANT_LEVEL).shifted


def _people(count: int) -> str:
    return "person" if count == 1 else "people"
