"""From distances of a detector to log-likelihood ratios (natural log, impostor-like positive).

The map is a logistic one whose steepness and neutral point depend on how many features were compared and how
many samples the template rests on; every detector has constants of its own, in ``calibrations``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sidecar.domain.biometrics import Layout
from sidecar.scoring.calibrations import CALIBRATIONS, FIRST_PROTOCOL, Calibration
from sidecar.scoring.contract import WHOLE, Mix

LIMIT = 6.0  # no single field says more than e^6 : 1, whatever the distance; the data could not support more

_FEATURE_UNIT = 30.0
_SAMPLE_UNIT = 10.0
_SAMPLE_RANGE = (3, 100)
_KNEE = 4.0  # the higher, the longer the limiter leaves values alone: at half the limit it takes 1.5%
_HUGE = 1e6


ENOUGH_SAMPLES = 30  # from which a template of one sitting is taken for what it says


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Where a template's samples and an attempt lie in time. ``sittings``: on how many different days (or sittings of a
    study) the samples were typed; ``age``: days (or sittings) since the newest of them.
    """

    sittings: int
    age: float


@dataclass(frozen=True, slots=True)
class Combination:
    """How LLRs of several fields of one login add up: sum / (1 + (fields - 1) * overlap)."""

    overlap: float
    provenance: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """Share of a bit the comparison is worth: ceiling * f / (f + feature_half) * n / (n + sample_half)."""

    ceiling: float
    feature_half: float
    sample_half: float
    provenance: str


_PROTOCOL = FIRST_PROTOCOL
COMBINATION = Combination(
    overlap=0.439,
    provenance=f"{_PROTOCOL}The password's first and last 5 keys as two fields of one login, 5 to 20 samples,"
    " logistic regression on the sum without intercept: weight .695 (in sample: Cllr .351 as a plain sum, .328"
    " weighted).",
)
EVIDENCE = Evidence(
    ceiling=0.906,
    feature_half=7.5,
    sample_half=0.5,
    provenance=f"{_PROTOCOL}Least squares on 1 - min Cllr of 30 sizes (12 to 48 features, 3 to 100 samples),"
    " rmse .010.",
)

# Challenge at or above this LLR where one field speaks. Chosen on templates 91-100 and 141-150 with genuine
# 101-110 and 151-160 and others' 1 and 200 (docs/decisions/0002-threshold-and-constants.md).
CHALLENGE_LLR = 0.8


def to_llr(
    distance: float,
    *,
    features: int,
    samples: int,
    layout: Layout,
    detector: str,
    mix: Mix = WHOLE,
    when: Circumstances | None = None,
) -> float:
    """LLR of a detector's distance from ``features`` compared features against a template of ``samples`` samples.

    Within +-6; never falls as the distance rises. ``mix``: what kinds of features they were. ``when``: what is
    known of the samples' age, if anything. Raises ValueError on a distance that is not finite, counts below 1, or a
    detector without a calibration.
    """
    constants = calibration_of(detector, layout)
    llr = llr_by(constants, distance, features=features, samples=samples, mix=mix)
    return llr if when is None else aged(constants, llr, samples=samples, when=when)


def calibration_of(detector: str, layout: Layout) -> Calibration:
    """Constants of a detector for one layout. Raises ValueError where it has none."""
    found = CALIBRATIONS.get(detector, {}).get(layout)
    if found is None:
        raise ValueError(f"{detector!r} has no calibration for {layout}")
    return found


def llr_by(constants: Calibration, distance: float, *, features: int, samples: int, mix: Mix = WHOLE) -> float:
    """``to_llr`` with constants that the caller brings (folds of subjects have their own)."""
    if not math.isfinite(distance):
        raise ValueError("distance is not finite")
    _check_counts(features, samples)
    whole = features * mix.worth
    slope, offset = _line(constants, whole, samples, mix)
    raw = slope * min(max(distance, -_HUGE), _HUGE) - offset
    return _limited(raw * _fade(constants, whole, samples))


def aged(constants: Calibration, llr: float, *, samples: int, when: Circumstances) -> float:
    """What an LLR is worth when the template's samples are few and of one sitting; else the LLR as it is.

    People change most while a text is new to them. So an owner is farther from a few samples of one sitting than the
    distance says, the more so the older these are, and the distance says less: llr exp(-loss L F) + (shift + shift_L L) F
    with F = ln(30 / samples) or 0, L = ln(1 + age). Never falls as the LLR rises; within +-6. Raises ValueError on an age
    or a count that makes no sense.
    """
    factor, shift = _aging(constants, samples, when)
    if factor == 1.0 and shift == 0.0:
        return llr
    return min(max(llr * factor + shift, -LIMIT), LIMIT)


def before_aging(constants: Calibration, llr: float, samples: int, when: Circumstances) -> float:
    """LLR that ``aged`` makes this one of; it may lie outside the limits. Raises ValueError like ``aged``."""
    factor, shift = _aging(constants, samples, when)
    return (llr - shift) / factor


def _aging(constants: Calibration, samples: int, when: Circumstances) -> tuple[float, float]:
    if when.sittings < 1 or not (math.isfinite(when.age) and when.age >= 0):
        raise ValueError("sittings must be 1 or more, and the age a number of 0 or more")
    _check_counts(1, samples)
    few = math.log(ENOUGH_SAMPLES / max(samples, _SAMPLE_RANGE[0]))
    if few <= 0 or when.sittings > 1:
        return 1.0, 0.0
    late = math.log1p(when.age)
    shift, shift_late, loss = constants.aging
    return math.exp(-loss * late * few), (shift + shift_late * late) * few


def distance_at(llr: float, *, features: int, samples: int, layout: Layout, detector: str, mix: Mix = WHOLE) -> float:
    """Distance that gives this LLR (inverse of ``to_llr``): what a threshold means for one template.

    Raises ValueError on an LLR outside the open range -6..6, counts below 1, or a detector without a calibration.
    """
    if not -LIMIT < llr < LIMIT:
        raise ValueError("LLR must lie between the limits")
    _check_counts(features, samples)
    constants = calibration_of(detector, layout)
    whole = features * mix.worth
    slope, offset = _line(constants, whole, samples, mix)
    raw = llr / math.pow(1.0 - math.pow(abs(llr / LIMIT), _KNEE), 1.0 / _KNEE)
    return (raw / _fade(constants, whole, samples) + offset) / slope


def confidence(features: int, samples: int) -> float:
    """Amount of evidence in a comparison, in 0..1: what part of a bit it yields on average. Raises
    ValueError below 1.
    """
    _check_counts(features, samples)
    part = features / (features + EVIDENCE.feature_half) * samples / (samples + EVIDENCE.sample_half)
    return EVIDENCE.ceiling * part


def combine(llrs: Sequence[float]) -> float:
    """One LLR for the fields of one login; less than their sum, as one person's mood is in all of them;
    within +-6.

    A single field stays as it is. Raises ValueError on none, or on one that is not finite.
    """
    if not llrs:
        raise ValueError("no LLR to combine")
    if not all(math.isfinite(llr) for llr in llrs):
        raise ValueError("an LLR is not finite")
    if len(llrs) == 1:
        return llrs[0]
    return _limited(math.fsum(llrs) / (1.0 + (len(llrs) - 1) * COMBINATION.overlap))


def _line(constants: Calibration, features: float, samples: int, mix: Mix) -> tuple[float, float]:
    low, high = constants.feature_range
    f = math.log(min(max(features, low), high) / _FEATURE_UNIT)
    n = math.log(min(max(samples, _SAMPLE_RANGE[0]), _SAMPLE_RANGE[1]) / _SAMPLE_UNIT)
    m = mix.holds - WHOLE.holds
    slope, offset = constants.slope, constants.offset
    steep = slope[0] + slope[1] * f + slope[2] * n + constants.mix[0] * m
    return steep, offset[0] + offset[1] * f + offset[2] * n + constants.mix[1] * m


def _fade(constants: Calibration, features: float, samples: int) -> float:
    return min(1.0, features / constants.feature_range[0]) * min(1.0, samples / _SAMPLE_RANGE[0])


def _limited(raw: float) -> float:
    bounded = min(max(raw, -_HUGE), _HUGE)
    return bounded / math.pow(1.0 + math.pow(abs(bounded / LIMIT), _KNEE), 1.0 / _KNEE)


def _check_counts(features: int, samples: int) -> None:
    if features < 1 or samples < 1:
        raise ValueError("features and samples must be 1 or more")
