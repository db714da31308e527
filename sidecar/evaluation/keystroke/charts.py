"""The report's pictures as inline SVG. Colours and type come from the page's style sheet, so they follow the theme."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from markupsafe import Markup, escape

from sidecar.domain.biometrics import Floats
from sidecar.evaluation.keystroke.figures import Measured

RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6)
DET_POINTS = 140
BINS = 15
_LOWEST, _HIGHEST = 0.001, 0.6
_DOT = 3.1
_ROW = 54

deviate = NormalDist().inv_cdf


@dataclass(frozen=True, slots=True)
class Line:
    """What a chart draws of one detector; ``style`` is the class of its colour."""

    name: str
    style: str
    measured: Measured


@dataclass(frozen=True, slots=True)
class _Frame:
    """A plot area inside an SVG, and how values become places in it."""

    width: float
    height: float
    x: Callable[[float], float]
    y: Callable[[float], float]
    left: float = 52
    bottom: float = 44
    top: float = 12
    right: float = 14

    def at(self, x: float, y: float) -> tuple[float, float]:
        wide, high = self.width - self.left - self.right, self.height - self.top - self.bottom
        return self.left + wide * self.x(x), self.top + high * (1.0 - self.y(y))

    def path(self, points: Sequence[tuple[float, float]]) -> str:
        places = [self.at(*point) for point in points]
        return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)


def det(lines: Sequence[Line]) -> Markup:
    """Misses against false alarms of all users pooled, both axes in normal deviates; a dot at the gEER."""
    low, span = deviate(_LOWEST), deviate(_HIGHEST) - deviate(_LOWEST)

    def place(rate: float) -> float:
        return (deviate(min(max(rate, _LOWEST), _HIGHEST)) - low) / span

    frame = _Frame(460, 430, place, place)
    ticks = [(rate, f"{rate * 100:g}") for rate in RATES]
    parts = [_axes(frame, ticks, ticks, "impostors accepted, %", "own logins rejected, %")]
    diagonal = frame.path([(_LOWEST, _LOWEST), (_HIGHEST, _HIGHEST)])
    parts.append(f'<path class="guide" d="{diagonal}"/>')
    for line in reversed(lines):
        miss, alarm = det_points(line.measured)
        parts.append(f'<path class="curve {line.style}" d="{frame.path(list(zip(miss, alarm, strict=True)))}"/>')
        nearest = int(np.argmin(np.abs(miss - alarm)))
        x, y = frame.at(float(miss[nearest]), float(alarm[nearest]))
        parts.append(f'<circle class="dot {line.style}" cx="{x:.1f}" cy="{y:.1f}" r="4">{_title(line.name)}</circle>')
    return _svg(frame, parts, "DET curves: impostors accepted against own logins rejected")


def det_points(measured: Measured) -> tuple[Floats, Floats]:
    """Misses and false alarms at thresholds that lie evenly along the drawn curve."""
    genuine, impostor = np.sort(measured.genuine), np.sort(measured.impostor)
    half = np.array([NormalDist().cdf(z) for z in np.linspace(deviate(2e-4), deviate(0.9), DET_POINTS)])
    thresholds = np.unique(np.concatenate([np.quantile(impostor, half), np.quantile(genuine, 1.0 - half)]))
    miss = np.searchsorted(impostor, thresholds, side="left") / impostor.size
    alarm = 1.0 - np.searchsorted(genuine, thresholds, side="left") / genuine.size
    inside = (miss >= _LOWEST / 2) & (miss <= _HIGHEST) & (alarm >= _LOWEST / 2) & (alarm <= _HIGHEST)
    if not inside.any():  # a detector without an error, or without a use
        return miss, alarm
    return miss[inside], alarm[inside]


def reliability(lines: Sequence[Line]) -> Markup:
    """Said against found probability of an impostor in 15 bins of equal count, classes weighing the same."""
    frame = _Frame(460, 430, float, float)
    ticks = [(rate, f"{rate:g}") for rate in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)]
    parts = [_axes(frame, ticks, ticks, "said: probability of an impostor", "found: share of impostors")]
    parts.append(f'<path class="guide" d="{frame.path([(0, 0), (1, 1)])}"/>')
    for line in reversed(lines):
        points = reliability_points(line.measured)
        parts.append(f'<path class="curve {line.style}" d="{frame.path(points)}"/>')
        for said, found in points:
            x, y = frame.at(said, found)
            words = _title(f"{line.name}: said {said:.2f}, found {found:.2f}")
            parts.append(f'<circle class="dot {line.style}" cx="{x:.1f}" cy="{y:.1f}" r="4">{words}</circle>')
    return _svg(frame, parts, "Reliability: said against found probability of an impostor")


def reliability_points(measured: Measured) -> list[tuple[float, float]]:
    """Mean said and found probability of each bin, at equal prior odds."""
    sizes = (measured.genuine.size, measured.impostor.size)
    posterior = np.exp(-np.logaddexp(0.0, -np.concatenate([measured.genuine, measured.impostor])))
    label = np.repeat([0.0, 1.0], sizes)
    weight = np.repeat([0.5 / sizes[0], 0.5 / sizes[1]], sizes)
    points = []
    for rows in np.array_split(np.argsort(posterior, kind="stable"), BINS):
        if rows.size:
            total = weight[rows].sum()
            points.append(tuple(float((weight[rows] * of[rows]).sum() / total) for of in (posterior, label)))
    return [(said, found) for said, found in points]


def people(lines: Sequence[Line]) -> Markup:
    """One dot a person: the EER of each by detector, stacked where they are alike; a tick at the mean."""
    most = max(float(line.measured.eers.max()) for line in lines)
    end = max(0.05, np.ceil(most * 20) / 20)
    height = _ROW * len(lines) + 56
    frame = _Frame(960, height, lambda x: x / end, lambda y: y / len(lines), left=170)
    step = 0.05 if end <= 0.5 else 0.1
    ticks = [(float(x), f"{x * 100:.0f}") for x in np.arange(0.0, end + step / 2, step)]
    parts = [_axes(frame, ticks, [], "a person's equal error rate, %", "")]
    width = end * 2.25 * _DOT / (frame.width - frame.left - frame.right)
    for number, line in enumerate(lines):
        base = len(lines) - number - 1
        parts.append(_stacked(frame, line, base, width))
    return _svg(frame, parts, "Equal error rate of each person by detector", "wide")


def _stacked(frame: _Frame, line: Line, base: int, width: float) -> str:
    x, floor = frame.at(0.0, base)
    floor -= 8
    parts = [
        f'<text class="name" x="{frame.left - 12}" y="{floor - 4:.1f}" text-anchor="end">{escape(line.name)}</text>'
    ]
    parts.append(f'<path class="guide" d="M{x:.1f} {floor:.1f}H{frame.width - frame.right:.1f}"/>')
    columns = np.round(line.measured.eers / width).astype(int)
    for column in np.unique(columns):
        alike = np.sort(line.measured.eers[columns == column])
        rise = min(2.1 * _DOT, (_ROW - 16) / len(alike))
        for level, value in enumerate(alike):
            x, _ = frame.at(float(column * width), base)
            y = floor - _DOT - level * rise
            words = _title(f"{value * 100:.1f}%")
            parts.append(f'<circle class="dot {line.style}" cx="{x:.1f}" cy="{y:.1f}" r="{_DOT}">{words}</circle>')
    mean = float(line.measured.eers.mean())
    x, _ = frame.at(mean, base)
    words = _title(f"mean {mean * 100:.1f}%")
    parts.append(f'<path class="mean {line.style}" d="M{x:.1f} {floor + 6:.1f}v-{_ROW - 14}">{words}</path>')
    return "".join(parts)


@dataclass(frozen=True, slots=True)
class Samples:
    """One detector's EER and its interval by the number of samples."""

    name: str
    style: str
    points: Sequence[tuple[int, float, float, float]]


def samples(lines: Sequence[Samples]) -> Markup:
    """EER against the number of samples, with 95% intervals."""
    counts = sorted({point[0] for line in lines for point in line.points})
    top = max(point[3] for line in lines for point in line.points)
    end = float(max(0.1, np.ceil(top * 20) / 20))
    low, high = np.log(counts[0] / 1.25), np.log(counts[-1] * 1.25)
    frame = _Frame(460, 430, lambda x: float((np.log(x) - low) / (high - low)), lambda y: y / end)
    step = 0.05 if end <= 0.4 else 0.1
    rates = [(float(y), f"{y * 100:.0f}") for y in np.arange(0.0, end + step / 2, step)]
    parts = [_axes(frame, [(float(n), str(n)) for n in counts], rates, "own first samples", "equal error rate, %")]
    for number, line in reversed(list(enumerate(lines))):
        shift = (number - (len(lines) - 1) / 2) * 4.0
        places = [
            (*frame.at(n, eer), frame.at(n, lower)[1], frame.at(n, upper)[1]) for n, eer, lower, upper in line.points
        ]
        joined = "M" + "L".join(f"{x + shift:.1f} {y:.1f}" for x, y, _, _ in places)
        parts.append(f'<path class="curve {line.style}" d="{joined}"/>')
        for (x, y, lower, upper), (n, eer, *_) in zip(places, line.points, strict=True):
            parts.append(f'<path class="whisker {line.style}" d="M{x + shift:.1f} {lower:.1f}V{upper:.1f}"/>')
            words = _title(f"{line.name}, {n} samples: {eer * 100:.1f}%")
            parts.append(f'<circle class="dot {line.style}" cx="{x + shift:.1f}" cy="{y:.1f}" r="4">{words}</circle>')
    return _svg(frame, parts, "Equal error rate against the number of samples")


def _axes(
    frame: _Frame, across: Sequence[tuple[float, str]], up: Sequence[tuple[float, str]], below: str, beside: str
) -> str:
    floor, edge = frame.height - frame.bottom, frame.width - frame.right
    parts = []
    for value, text in across:
        x = frame.at(value, 0.5)[0]
        parts.append(f'<path class="grid" d="M{x:.1f} {frame.top}V{floor}"/>')
        parts.append(f'<text x="{x:.1f}" y="{floor + 16}" text-anchor="middle">{text}</text>')
    for value, text in up:
        y = frame.at(across[0][0], value)[1]
        parts.append(f'<path class="grid" d="M{frame.left} {y:.1f}H{edge}"/>')
        parts.append(f'<text x="{frame.left - 8}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    middle = (frame.left + edge) / 2
    parts.append(f'<text class="label" x="{middle:.1f}" y="{frame.height - 6}" text-anchor="middle">{below}</text>')
    if beside:
        y = (frame.top + floor) / 2
        turn = f'transform="rotate(-90 14 {y:.1f})"'
        parts.append(f'<text class="label" x="14" y="{y:.1f}" text-anchor="middle" {turn}>{beside}</text>')
    return "".join(parts)


def _svg(frame: _Frame, parts: Sequence[str], words: str, style: str = "") -> Markup:
    box = f"0 0 {frame.width:g} {frame.height:g}"
    inner = "".join(parts)
    return Markup(f'<svg class="{style}" viewBox="{box}" role="img" aria-label="{escape(words)}">{inner}</svg>')  # noqa: S704 - built from numbers and escaped names


def _title(words: str) -> str:
    return f"<title>{escape(words)}</title>"
