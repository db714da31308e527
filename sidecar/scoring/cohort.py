"""What an installation's own consenting people say about one shared text: metric, background and calibration.

Only for a field that an administrator declared as one text for everybody (a shared phrase, a demo's password). Nothing
here finds out whether two people's secrets are equal, and nothing may be used to: people of other texts are no
background for each other, and the caller vouches for the text.

``learn`` takes from the members alone: how timings vary together within a person (whitening by the pooled covariance,
shrunk by Ledoit and Wolf's rule), samples to compare a probe with (whom would it fit as well? T-normalisation), tries
that a template is compared with (how near do strangers come to it? Z-normalisation; Auckenthaler et al. 2000 for
both), and a logistic fusion to a log-likelihood ratio, in which nobody of a pair is in its own background. A person is
forgotten by learning again without them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sidecar.domain.biometrics import Floats, Kind, Layout, Sample, Template
from sidecar.scoring.fitted import CONSTANTS
from sidecar.scoring.form import Form
from sidecar.scoring.nearest_recent_2 import CLIP, NEIGHBOURS, RECENT, NearestRecent2, transform, units

Llr = TypeVar("Llr", float, Floats)

FEWEST_MEMBERS = 8  # below this there is no background, and the strict score stays as it is
FEWEST_ROWS = 20
TRIES = 5  # first and last samples of a member that play a stranger's attempts
GENUINE = 20  # own samples tried on each of a member's earlier templates
EARLIER = (0.25, 0.5, 0.75)  # of a member's samples, what these templates are made of
CONFIDENT_MEMBERS = 10.0  # at so many members background and strict score weigh the same
REGULARISATION = 1.0  # inverse strength of the penalty on standardised inputs
INPUT_NAMES = (
    "nearest",
    "whitened",
    "to members",
    "spread over members",
    "first tries",
    "last tries",
    "spread of tries",
)

_WINDOW = 30  # samples over which the usual spread is measured
_LOCAL = 10  # samples whose mean stands for the person at that time
_OUTLIER = 4.0  # robust standard deviations at which a residual is cut
_SOFT = 0.3


@dataclass(frozen=True)
class Background:
    """A learned background. ``llr`` gives log-likelihood ratios, impostor-like positive (natural log).

    ``columns``: which features take part, (k,); ``usual``: (k,), in the place of missing ones; ``whitening``: (k, k);
    ``members``: their newest samples, whitened, each (n, k); ``tries``: (members, 10, d) in ms; ``among``: how near these come
    to every member's newest samples, (members, 10, members).
    """

    form: Form
    columns: NDArray[np.int64]
    usual: Floats
    whitening: Floats
    members: tuple[Floats, ...]
    tries: Floats
    among: Floats
    middle: Floats
    spread: Floats
    weights: Floats
    intercept: float

    @property
    def detector(self) -> NearestRecent2:
        """The scorer whose templates this background can judge."""
        return NearestRecent2(self.form)

    def strangers(self, template: Template) -> Floats:
        """How near the members' tries come to a template, (members, 10). Once per template; it may be kept."""
        tries = self._whitened(transform(self.tries.reshape(-1, self.tries.shape[-1]), template.kinds))
        return _nearest(tries, self._whitened(template.recent)).reshape(self.tries.shape[:2])

    def llr(self, template: Template, probes: Floats, *, strangers: Floats | None = None) -> Floats:
        """LLRs of m probes, (m, d) in ms, shape (m,). Raises ValueError on shapes or templates that do not fit."""
        around = self.strangers(template) if strangers is None else strangers
        rows = self.inputs(template, probes, self.nearness(probes, template.kinds), around)
        return (rows - self.middle) / self.spread @ self.weights + self.intercept

    def nearness(self, probes: Floats, kinds: NDArray[np.uint8]) -> Floats:
        """Distances of m probes, (m, d) in ms, to every member's newest samples: shape (m, members)."""
        points = self._whitened(transform(probes, kinds))
        return np.stack([_nearest(points, rows) for rows in self.members], axis=1)

    def inputs(self, template: Template, probes: Floats, nearness: Floats, strangers: Floats) -> Floats:
        """What the fusion sees of m probes, shape (m, 7), in the order of ``INPUT_NAMES``."""
        own = _nearest(self._whitened(transform(probes, template.kinds)), self._whitened(template.recent))
        first, last = strangers[:, :TRIES].mean(), strangers[:, TRIES:].mean()
        found = np.empty((len(probes), len(INPUT_NAMES)))
        found[:, 0] = self.detector.parts(template, probes)[:, 0]
        found[:, 1] = own
        found[:, 2] = nearness.mean(axis=1)
        found[:, 3] = nearness.std(axis=1)
        found[:, 4:] = first, last, strangers.std()
        return found

    def tried(self, template: Template, strangers: Floats, chosen: NDArray[np.bool_]) -> Floats:
        """LLRs of the chosen members' tries on a template, (members, 10); what is not chosen is NaN, and in no background."""
        found = np.full(self.tries.shape[:2], np.nan)
        rows = self.strange_inputs(template, strangers, chosen)[chosen]
        found[chosen] = (rows - self.middle) / self.spread @ self.weights + self.intercept
        return found

    def strange_inputs(self, template: Template, strangers: Floats, chosen: NDArray[np.bool_]) -> Floats:
        """What the fusion sees of the members' tries, (members, 10, 7): of the chosen ones, without whoever tries and without
        those that are not chosen in the background.
        """
        count = len(self.members)
        flat, near = self.tries.reshape(-1, self.tries.shape[-1]), self.among.reshape(-1, count)
        found = self.inputs(template, flat, near, strangers).reshape(count, 2 * TRIES, -1)
        for other in np.flatnonzero(chosen):
            third = chosen & (np.arange(count) != other)
            to_others, left = self.among[other][:, third], strangers[third]
            found[other, :, 2], found[other, :, 3] = to_others.mean(axis=1), to_others.std(axis=1)
            found[other, :, 4:] = left[:, :TRIES].mean(), left[:, TRIES:].mean(), left.std()
        return found

    def _whitened(self, points: Floats) -> Floats:
        chosen = points[:, self.columns]
        return np.where(np.isfinite(chosen), chosen, self.usual) @ self.whitening


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
    columns, usual, whitening = _metric(rows, kinds)
    draft = Background(
        form=_form(rows, kinds, layout),
        columns=columns,
        usual=usual,
        whitening=whitening,
        members=(),
        tries=np.stack([np.concatenate([each[:TRIES], each[-TRIES:]]) for each in rows]),
        among=np.empty(0),
        middle=np.zeros(len(INPUT_NAMES)),
        spread=np.ones(len(INPUT_NAMES)),
        weights=np.zeros(len(INPUT_NAMES)),
        intercept=0.0,
    )
    members = tuple(draft._whitened(transform(each[-RECENT:], kinds)) for each in rows)
    draft = replace(draft, members=members)
    flat = draft.tries.reshape(-1, kinds.size)
    draft = replace(draft, among=draft.nearness(flat, kinds).reshape(len(rows), 2 * TRIES, len(rows)))
    inputs, labels, heft = _training(draft, rows, kinds, layout)
    middle, spread = inputs.mean(axis=0), np.maximum(inputs.std(axis=0), 1e-9)
    weights, intercept = _logistic((inputs - middle) / spread, labels, heft)
    return replace(draft, middle=middle, spread=spread, weights=weights, intercept=intercept)


def joined(strict: Llr, background: Llr, members: int) -> Llr:
    """LLR of a strict score and a background's: the more members, the more the background counts.

    Both speak of the same evidence, so they are averaged, never added.
    """
    share = members / (members + CONFIDENT_MEMBERS)
    return (1.0 - share) * strict + share * background


def _training(
    draft: Background, rows: list[Floats], kinds: NDArray[np.uint8], layout: Layout
) -> tuple[Floats, Floats, Floats]:
    """Inputs, labels and weights of all pairs of members; whoever is in a pair is not in its background."""
    count, detector = len(rows), draft.detector
    found, labels, heft = [], [], []
    for part in EARLIER:
        for one, own in enumerate(rows):
            end = int(own.shape[0] * part)
            template = detector.enroll([Sample(row, float(at)) for at, row in enumerate(own[:end])], kinds, layout)
            after = own[end:]
            later = after[np.linspace(0, len(after) - 1, min(GENUINE, len(after))).round().astype(int)]
            around = draft.strangers(template)
            rest = np.arange(count) != one
            found.append(draft.inputs(template, later, draft.nearness(later, kinds)[:, rest], around[rest]))
            strange = draft.strange_inputs(template, around, rest)[rest]
            found.append(strange.reshape(-1, len(INPUT_NAMES)))
            labels += [np.zeros(len(found[-2])), np.ones(len(found[-1]))]
            heft += [np.full(len(each), 1.0 / len(each)) for each in found[-2:]]
    return np.concatenate(found), np.concatenate(labels), np.concatenate(heft)


def _metric(rows: list[Floats], kinds: NDArray[np.uint8]) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Columns, what is usual in them, and the inverse root of the pooled covariance within a person.

    Down-down follows from the hold and up-down beside it, so it is left out where both are there.
    """
    from sklearn.covariance import ledoit_wolf  # noqa: PLC0415 - only learning needs it, and it loads slowly

    whole = {int(kind) for kind in np.unique(kinds)} >= {Kind.HOLD, Kind.UP_DOWN}
    columns = np.flatnonzero(kinds != Kind.DOWN_DOWN) if whole else np.arange(kinds.size)
    moved = [transform(each, kinds)[:, columns] for each in rows]
    middles = np.stack([_medians(each) for each in moved])
    usual = np.nan_to_num(_medians(middles))
    residuals = []
    for each in moved:
        filled = np.where(np.isfinite(each), each, usual)
        heaped = np.cumsum(np.vstack([np.zeros(columns.size), filled]), axis=0)
        residuals.append(filled[_LOCAL:] - (heaped[_LOCAL:-1] - heaped[: -_LOCAL - 1]) / _LOCAL)
    away = np.concatenate(residuals)
    limit = np.maximum(_OUTLIER * np.median(np.abs(away), axis=0) / 0.6745, 1e-6)
    covariance, _ = ledoit_wolf(np.clip(away, -limit, limit))
    values, vectors = np.linalg.eigh(covariance)
    floor = max(float(values.max()), 1e-12) * 1e-6
    return columns, usual, (vectors / np.sqrt(np.maximum(values, floor))) @ vectors.T


def _nearest(points: Floats, rows: Floats) -> Floats:
    """Logarithm of the mean clipped distance to the nearest of the rows, both whitened: (m, k), (n, k) to (m,)."""
    gaps = np.abs(points[:, None, :] - rows)
    np.minimum(gaps, CLIP, out=gaps)
    far = gaps.mean(axis=2)
    far.sort(axis=1)
    found: Floats = np.log1p(far[:, : min(NEIGHBOURS, -(-len(rows) // 2))].mean(axis=1) / _SOFT)
    return found


def _form(rows: list[Floats], kinds: NDArray[np.uint8], layout: Layout) -> Form:
    """Usual spread by kind, as a share of its unit, from the members; what nobody has stays as shipped."""
    away = []
    for each in rows:
        last = transform(each[-_WINDOW:], kinds)
        middle = _medians(last)
        away.append(_means(np.abs(last - middle)) / units(middle, kinds))
    spread = np.stack(away)
    scale = list(CONSTANTS.scale[layout])
    for kind in Kind:
        values = spread[:, kinds == kind]
        if np.isfinite(values).any() and np.nanmean(values) > 0:
            scale[kind] = float(np.nanmean(values))
    hold, down_down, up_down, pressure, size = scale
    return Form({layout: (hold, down_down, up_down, pressure, size)}, CONSTANTS.hold, CONSTANTS.weights, "the members")


def _logistic(rows: Floats, labels: Floats, heft: Floats) -> tuple[Floats, float]:
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - see above

    model = LogisticRegression(C=REGULARISATION, max_iter=3000)
    model.fit(rows, labels, sample_weight=heft * heft.size / heft.sum())
    return model.coef_[0].astype(np.float64), float(model.intercept_[0])


def _medians(rows: Floats) -> Floats:
    """Median of each column without its gaps; a column of gaps gives NaN."""
    found = np.full(rows.shape[1], np.nan)
    some = np.isfinite(rows).any(axis=0)
    found[some] = np.nanmedian(rows[:, some], axis=0)
    return found


def _means(rows: Floats) -> Floats:
    found = np.full(rows.shape[1], np.nan)
    some = np.isfinite(rows).any(axis=0)
    found[some] = np.nanmean(rows[:, some], axis=0)
    return found
