"""Attacks as rows of timings. Whoever attacks knows the text and what other people do, never the victim, unless named."""

from collections.abc import Mapping

import numpy as np

from sidecar.domain.biometrics import Floats
from sidecar.scoring.explain import median_of

SIGMAS = (0.0, 0.05, 0.1, 0.2, 0.3)
JITTERS = (2.0, 5.0, 10.0)  # ms
DRAWS = 200
SHORTEST = 1.0  # ms; what a generator draws below this is cut
WHOLE = 4  # repetitions without a gap for each column that a covariance rests on, at least
NEWEST = 30  # of the victim's enrolled repetitions, whose median the thief of a template types

Timings = tuple[Floats, Floats]
"""Holds (m, n) and down-downs (m, s), ms."""


def invented(others: Timings, victim: Timings, rng: np.random.Generator) -> Mapping[str, Timings]:
    """All attacks that are typed, by name; ``others``, ``victim``: repetitions 1-200, NaN where a timing is missing.

    A timing that nobody has stays missing in every attack.
    """
    hold, step = (median_of(list(part)) for part in others)
    found: dict[str, Timings] = {}
    for sigma in SIGMAS:
        found[f"population median, jitter {sigma:g}"] = (
            hold * np.exp(sigma * rng.standard_normal((DRAWS, hold.size))),
            step * np.exp(sigma * rng.standard_normal((DRAWS, step.size))),
        )
    found["constant"] = np.full((1, hold.size), 80.0), np.full((1, step.size), 120.0)
    found["uniform"] = (
        rng.uniform(50.0, 130.0, (DRAWS, hold.size)),
        rng.uniform(80.0, 350.0, (DRAWS, step.size)),
    )
    found["generated"] = generated(others, rng)
    own = tuple(median_of(list(part[-NEWEST:]))[None, :] for part in victim)
    found["victim's median"] = own[0], own[1]
    return found


def generated(people: Timings, rng: np.random.Generator) -> Timings:
    """Draws from one Gaussian of logarithms with the people's means and full covariance.

    The covariance is of the repetitions without a gap; where those are too few, a gap counts as the column's mean.
    """
    rows = np.log(np.maximum(np.concatenate(people, axis=1), SHORTEST))
    known = np.isfinite(rows).any(axis=0)
    drawn = np.full((DRAWS, rows.shape[1]), np.nan)
    rows = rows[:, known]
    mean = np.nanmean(rows, axis=0)
    whole = rows[np.isfinite(rows).all(axis=1)]
    if len(whole) < WHOLE * rows.shape[1]:
        whole = np.where(np.isfinite(rows), rows, mean)
    drawn[:, known] = np.exp(rng.multivariate_normal(mean, np.cov(whole, rowvar=False), DRAWS, method="eigh"))
    return drawn[:, : people[0].shape[1]], drawn[:, people[0].shape[1] :]


def jittered(recorded: Timings, sigma: float, rng: np.random.Generator) -> Timings:
    """Recorded timings with normal jitter of ``sigma`` ms on every hold and down-down."""
    hold, step = (part + rng.normal(0.0, sigma, part.shape) for part in recorded)
    return np.maximum(hold, SHORTEST), np.maximum(step, SHORTEST)


def slow(timings: Timings) -> Timings:
    """A person who takes two and a half times as long."""
    return timings[0] * 2.5, timings[1] * 2.5


def repeated_key(timings: Timings, rng: np.random.Generator) -> Timings:
    """A key of each attempt is held for 0.5 to 1.5 s, so that it would repeat; what follows waits for it."""
    hold, step = timings[0].copy(), timings[1].copy()
    line, key = np.arange(len(hold)), rng.integers(step.shape[1], size=len(hold))
    held = rng.uniform(500.0, 1500.0, len(hold))
    held = np.where(np.isfinite(hold[line, key]), held, np.nan)  # a key whose hold is missing stays as it is
    step[line, key] += np.nan_to_num(held - hold[line, key])
    hold[line, key] = held
    return hold, step


def sticky_keys(timings: Timings) -> Timings:
    """No two keys down at once, as with sticky keys or a stick: the next press waits 50 ms for the release."""
    hold, step = timings
    least = np.nan_to_num(hold[:, : step.shape[1]] + 50.0, nan=-np.inf)
    return hold, np.maximum(step, least)
