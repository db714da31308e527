"""What an installation's own consenting people say about one shared text: scale, background and calibration.

Only for a field that an administrator declared as one text for everybody (a shared phrase, a demo's password). Nothing
here finds out whether two people's secrets are equal, and nothing may be used to: people of other texts are no
background for each other, and the caller vouches for the text.

``learn`` fits, on the members alone: the form of ``nearest-recent-2``, templates to compare a probe with (which
members would it fit as well? T-normalisation), tries that a template is compared with (how near do strangers come to
it? Z-normalisation; Auckenthaler et al. 2000 for both), and a logistic fusion to a log-likelihood ratio, with every
pair's own two people left out of its background. A person is forgotten by learning again without them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sidecar.domain.biometrics import Floats, Kind, Layout, Sample, Template
from sidecar.scoring.fitted import CONSTANTS
from sidecar.scoring.form import Form, Four
from sidecar.scoring.nearest_recent_2 import PART_NAMES, NearestRecent2, transform

FEWEST_MEMBERS = 8  # below this there is no background, and the strict score stays as it is
FEWEST_ROWS = 20
TRIES = 5  # first and last samples of a member that play a stranger's attempts
GENUINE = 20  # own samples tried on a member's earlier template
CONFIDENT_MEMBERS = 10.0  # at so many members background and strict score weigh the same
REGULARISATION = 1.0  # inverse strength of the penalty on standardised inputs

_WINDOW = 30  # samples over which the usual spread is measured


@dataclass(frozen=True)
class Background:
    """A learned background. ``llr`` gives log-likelihood ratios, impostor-like positive (natural log)."""

    form: Form
    templates: tuple[Template, ...]
    tries: Floats
    middle: Floats
    spread: Floats
    weights: Floats
    intercept: float

    @property
    def detector(self) -> NearestRecent2:
        """The scorer whose templates this background can judge."""
        return NearestRecent2(self.form)

    def nearness(self, probes: Floats) -> Floats:
        """Distances of m probes, (m, d) in ms, to every member's template: shape (m, members)."""
        detector = self.detector
        return np.stack([detector.distances(template, probes) for template in self.templates], axis=1)

    def strangers(self, template: Template) -> Floats:
        """Distances of the members' tries to a template, (members, 2 x 5). Once per template; it may be kept."""
        rows = self.tries.reshape(-1, self.tries.shape[-1])
        return self.detector.distances(template, rows).reshape(self.tries.shape[:2])

    def llr(self, template: Template, probes: Floats, *, strangers: Floats | None = None) -> Floats:
        """LLRs of m probes, (m, d) in ms, shape (m,). Raises ValueError on shapes or templates that do not fit."""
        around = self.strangers(template) if strangers is None else strangers
        rows = _inputs(self.detector.parts(template, probes), self.nearness(probes), around)
        return (rows - self.middle) / self.spread @ self.weights + self.intercept


def learn(people: Sequence[Floats], kinds: NDArray[np.uint8], layout: Layout = "positions") -> Background | None:
    """Learn from members' samples, each (n, d) in ms, oldest first. None where fewer than 8 have 20 samples.

    The result does not depend on the order of the members, but for the last digits. Raises ValueError on shapes that
    do not fit.
    """
    rows = [each for each in people if each.shape[0] >= FEWEST_ROWS]
    if any(each.ndim != 2 or each.shape[1] != kinds.size for each in rows):
        raise ValueError(f"members' samples do not fit kinds of shape {kinds.shape}")
    if len(rows) < FEWEST_MEMBERS:
        return None
    form = _form(rows, kinds, layout)
    earlier = [each[: each.shape[0] // 2] for each in rows]
    later = [_spread_out(each[each.shape[0] // 2 :], GENUINE) for each in rows]
    tries = np.stack([np.concatenate([each[:TRIES], each[-TRIES:]]) for each in rows])
    before = NearestRecent2(form)
    trained = [_enrolled(before, each, kinds, layout) for each in earlier]
    own = [before.parts(template, each) for template, each in zip(trained, later, strict=True)]
    flat = tries.reshape(-1, kinds.size)
    foreign = np.stack([before.parts(template, flat) for template in trained])  # (member, tries, part)
    foreign = foreign.reshape(len(rows), len(rows), 2 * TRIES, len(PART_NAMES))
    others = ~np.eye(len(rows), dtype=bool)
    weights = _part_weights(own, [foreign[i][others[i]].reshape(-1, len(PART_NAMES)) for i in range(len(rows))])
    form = Form(form.scale, form.hold, {layout: weights}, form.provenance)
    detector = NearestRecent2(form)
    templates = tuple(_enrolled(detector, each, kinds, layout) for each in rows)
    scores = foreign @ np.array(weights)  # of each member's tries on each member's earlier template
    inputs, labels, heft = _training(own, foreign, scores, templates, later, tries, detector)
    middle, spread = inputs.mean(axis=0), np.maximum(inputs.std(axis=0), 1e-9)
    found, intercept = _logistic((inputs - middle) / spread, labels, heft, REGULARISATION)
    return Background(form, templates, tries, middle, spread, found, intercept)


def joined(strict: float, background: float, members: int) -> float:
    """LLR of a strict score and a background's: the more members, the more the background counts.

    Both speak of the same evidence, so they are averaged, never added.
    """
    share = members / (members + CONFIDENT_MEMBERS)
    return (1.0 - share) * strict + share * background


def _training(
    own: list[Floats],
    foreign: Floats,
    scores: Floats,
    templates: tuple[Template, ...],
    later: list[Floats],
    tries: Floats,
    detector: NearestRecent2,
) -> tuple[Floats, Floats, Floats]:
    """Inputs, labels and weights of all pairs; whoever is in a pair is not in its background."""
    members = len(templates)
    to_all = np.stack([detector.distances(t, tries.reshape(-1, tries.shape[-1])) for t in templates], axis=1)
    to_all = to_all.reshape(members, -1, members)  # of each member's tries to each member's template
    rows, labels, heft = [], [], []
    for one in range(members):
        rest = np.arange(members) != one
        nearness = np.stack([detector.distances(templates[i], later[one]) for i in np.flatnonzero(rest)], axis=1)
        rows.append(_inputs(own[one], nearness, scores[one][rest]))
        labels.append(np.zeros(len(rows[-1])))
        strange = []
        for other in np.flatnonzero(rest):
            third = rest & (np.arange(members) != other)
            strange.append(_inputs(foreign[one, other], to_all[other][:, third], scores[one][third]))
        rows.append(np.concatenate(strange))
        labels.append(np.ones(len(rows[-1])))
        heft += [np.full(len(part), 1.0 / len(part)) for part in rows[-2:]]
    return np.concatenate(rows), np.concatenate(labels), np.concatenate(heft)


def _inputs(parts: Floats, nearness: Floats, strangers: Floats) -> Floats:
    """Inputs of the fusion: (m, 4) parts, (m, b) to the members' templates, (b, 2 x 5) of their tries."""
    first, last = strangers[:, :TRIES].mean(), strangers[:, TRIES:].mean()
    around = np.array([first, last, strangers.std()])
    return np.concatenate(
        [
            parts,
            nearness.mean(axis=1, keepdims=True),
            nearness.std(axis=1, keepdims=True),
            np.broadcast_to(around, (len(parts), 3)),
        ],
        axis=1,
    )


def _form(rows: list[Floats], kinds: NDArray[np.uint8], layout: Layout) -> Form:
    """Usual spread by kind, and people's usual holds, from the members; a kind that nobody has stays as shipped."""
    moved = [transform(each, kinds) for each in rows]
    away, usual = [], []
    for each in moved:
        last = each[-_WINDOW:]
        away.append(np.nanmean(np.abs(last - np.nanmedian(last, axis=0)), axis=0))
        usual.append(np.nanmedian(each, axis=0)[kinds == Kind.HOLD])
    shipped = CONSTANTS.scale[layout]
    by_kind = [float(np.nanmean(np.stack(away)[:, kinds == kind])) if (kinds == kind).any() else 0.0 for kind in Kind]
    first, second, third, fourth, fifth = (new if new > 0 else old for new, old in zip(by_kind, shipped, strict=True))
    hold = CONSTANTS.hold[layout]
    if (kinds == Kind.HOLD).any():
        hold = float(np.nanmedian(np.stack(usual))), float(max(np.nanstd(np.stack(usual)), 1e-3))
    return Form(
        {layout: (first, second, third, fourth, fifth)}, {layout: hold}, {layout: CONSTANTS.weights[layout]}, "members"
    )


def _part_weights(own: list[Floats], foreign: list[Floats]) -> Four:
    rows = np.concatenate([*own, *foreign])
    labels = np.repeat([0.0, 1.0], [sum(map(len, own)), sum(map(len, foreign))])
    heft = np.concatenate([np.full(len(part), 1.0 / len(part)) for part in (*own, *foreign)])
    kept = np.arange(rows.shape[1])
    while True:
        found = np.zeros(rows.shape[1])
        found[kept], _ = _logistic(rows[:, kept], labels, heft, 1e4)
        if (found >= 0).all():
            first, second, third, fourth = found.tolist()
            return first, second, third, fourth
        kept = kept[found[kept] >= 0]


def _logistic(rows: Floats, labels: Floats, heft: Floats, inverse_penalty: float) -> tuple[Floats, float]:
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - only learning needs it, and it loads slowly

    model = LogisticRegression(C=inverse_penalty, max_iter=3000)
    model.fit(rows, labels, sample_weight=heft * heft.size / heft.sum())
    return model.coef_[0].astype(np.float64), float(model.intercept_[0])


def _enrolled(detector: NearestRecent2, rows: Floats, kinds: NDArray[np.uint8], layout: Layout) -> Template:
    return detector.enroll([Sample(row, float(at)) for at, row in enumerate(rows)], kinds, layout)


def _spread_out(rows: Floats, count: int) -> Floats:
    return rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)]
