"""Seeded synthetic typists for demos and tests: plausible rhythms without anybody's data.

A typist is a set of habits (usual hold and down-down per position) and a size of noise. Sizes follow the CMU
set's practised repetitions roughly (hold 60-130 ms, down-down 90-500 ms, noise 10-25% of a timing, some
logins slower as a whole, now and then a pause). Habits differ between positions somewhat more than an average
person's, so that a seeded person is told apart from whoever sits in front of the demo. Nothing measured on
these shows how people do.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sidecar.domain.biometrics import Floats, Probe
from sidecar.features.keystroke import from_timings

MAX_CHARACTERS = 64
_HABIT_STREAM = 0x6B65
_PAUSE_RATE = 0.01
_SHORTEST = 15.0  # ms

Row = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Typist:
    """Habits by position: ``hold`` and ``down_down``, shape (64,), ms; ``enter``: ms from the last press to
    Enter.

    Noise as standard deviations of logarithms: ``tempo`` and ``pressing`` per login (all down-downs, all
    holds), ``jitter`` per down-down and ``touch`` per hold.
    """

    hold: Floats
    down_down: Floats
    enter: float
    tempo: float
    pressing: float
    jitter: float
    touch: float

    def login(self, rng: np.random.Generator, n_chars: int, enter: bool = True) -> list[Row]:
        """One login as rows (down ms since the first press, hold ms); Enter is the last row, its hold NaN.

        Raises ValueError unless 1 <= n_chars <= 64.
        """
        if not 1 <= n_chars <= MAX_CHARACTERS:
            raise ValueError(f"n_chars must be 1 to {MAX_CHARACTERS}")
        usual = self.down_down[: n_chars - 1]
        usual = np.append(usual, self.enter) if enter else usual
        holds = self.hold[:n_chars] * np.exp(rng.normal(0, self.pressing) + rng.normal(0, self.touch, n_chars))
        steps = usual * np.exp(rng.normal(0, self.tempo) + rng.normal(0, self.jitter, usual.size))
        steps += np.where(rng.random(usual.size) < _PAUSE_RATE, rng.exponential(400.0, usual.size), 0.0)
        downs = np.concatenate([[0.0], np.cumsum(np.maximum(steps, _SHORTEST))])
        held = np.append(np.maximum(holds, _SHORTEST), [np.nan] if enter else [])
        return [(round(float(down), 1), round(float(hold), 1)) for down, hold in zip(downs, held, strict=True)]


def typist(seed: int) -> Typist:
    """The person of this seed (0 or more); the same seed is the same person anywhere."""
    rng = np.random.default_rng([_HABIT_STREAM, seed])
    pace = rng.normal(np.log(175.0), 0.25)
    weight = rng.normal(np.log(92.0), 0.20)
    return Typist(
        hold=np.clip(np.exp(weight + rng.normal(0, 0.24, MAX_CHARACTERS)), 45.0, 180.0),
        down_down=np.clip(np.exp(pace + rng.normal(0, 0.50, MAX_CHARACTERS)), 60.0, 700.0),
        enter=float(np.clip(np.exp(pace + rng.normal(0.2, 0.4)), 80.0, 700.0)),
        tempo=float(rng.uniform(0.05, 0.11)),
        pressing=float(rng.uniform(0.03, 0.07)),
        jitter=float(rng.uniform(0.12, 0.20)),
        touch=float(rng.uniform(0.10, 0.17)),
    )


def probe_of(rows: list[Row], field: str = "password", *, enter: bool = True) -> Probe:
    """Probe of a login's rows, as the features of a browser's capture would be. Raises ValueError on no
    character.
    """
    if len(rows) < (2 if enter else 1):
        raise ValueError("no character in these rows")
    steps = [later[0] - earlier[0] for earlier, later in pairwise(rows)]
    typed = rows[:-1] if enter else rows
    down_down = np.array(steps if enter else [*steps, np.nan], dtype=np.float64)
    return from_timings(field, np.array([hold for _, hold in typed], dtype=np.float64), down_down)
