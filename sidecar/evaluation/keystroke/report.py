"""The HTML report: one file without network, made of the measured parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from sidecar import __version__
from sidecar.evaluation.keystroke import charts, literature
from sidecar.evaluation.keystroke.figures import Row
from sidecar.evaluation.keystroke.plans import SETTINGS
from sidecar.evaluation.keystroke.run import YARDSTICK, Part, uses_cohort
from sidecar.evaluation.keystroke.sets import KeystrokeSet
from sidecar.evaluation.keystroke.tables import failures, warned
from sidecar.scoring import SHIPPED

_COLOURS = 6
_LEARNING = "first-"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the report says about the run. ``sets``: name, layout, people, repetitions, columns; ``passed``: files of no
    known layout and broken sets; ``notes``: what reading found worth saying.
    """

    sets: Sequence[tuple[str, str, int, int, int]]
    seed: int
    seconds: float
    passed: Sequence[str]
    notes: Sequence[str]

    @classmethod
    def of(cls, sets: Sequence[KeystrokeSet], seed: int, seconds: float, passed: Sequence[str]) -> "Facts":
        """Gather them from the sets."""
        rows = [
            (each.name, each.layout, len(each.people), sum(len(p.values) for p in each.people), each.kinds.size)
            for each in sets
        ]
        notes = [f"{each.name}: {note}" for each in sets for note in each.notes]
        return cls(rows, seed, seconds, passed, notes)


@dataclass(frozen=True, slots=True)
class Block:
    """One setting of one set as the page shows it; ``reason`` where there are no figures."""

    key: str
    data: str
    setting: str
    words: str
    rows: Sequence[Row]
    pictures: Sequence[tuple[str, str, Markup]]
    reason: str


def page(parts: Sequence[Part], facts: Facts) -> str:
    """The whole page."""
    papers = [part.row for part in parts if part.row["setting"] == literature.SETTING]
    parts = [part for part in parts if part.row["setting"] != literature.SETTING]
    styles = styles_of(parts)
    grouped = [list(each) for _, each in groupby(parts, key=lambda part: (part.row["set"], part.row["setting"]))]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"rate": _rate, "interval": _interval, "wide": _wide, "size": _size, "time": _time}
    return environment.get_template("report.html").render(
        facts=facts,
        blocks=[_block(each, number, styles) for number, each in enumerate(grouped)],
        papers=papers,
        literature=literature,
        samples=_samples(parts, styles),
        styles=styles,
        shipped=SHIPPED,
        yardstick=YARDSTICK,
        version=__version__,
        failures=failures(part.row for part in parts),
        origins=_origins([part.row for part in parts if part.measured]),
    )


def _origins(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Which set and detector got which constants, and what is to be said about them."""
    found: dict[str, str] = {}
    for row in rows:
        cohort = " in cohort settings" if uses_cohort(str(row["setting"]), str(row["detector"])) else ""
        words = str(row["constants"])
        if row["constants_saw"]:
            words += f". Warning: {warned(row)}"
        if isinstance(row["trained_every"], int) and row["trained_every"] > 1:
            words += f". In cold-10-confirmed trained anew every {row['trained_every']} logins: training takes too long"
        found.setdefault(f"{row['set']}, {row['detector']}{cohort}", words)
    return list(found.items())


def styles_of(parts: Sequence[Part]) -> dict[str, str]:
    """A colour for each detector: the shipped one first, then scaled Manhattan, then as they come."""
    names = dict.fromkeys(str(part.row["detector"]) for part in parts)
    ordered = sorted(names, key=lambda name: (name != SHIPPED, name != YARDSTICK))
    return {name: f"c{min(number, _COLOURS)}" for number, name in enumerate(ordered)}


def _block(parts: list[Part], number: int, styles: dict[str, str]) -> Block:
    first = parts[0].row
    setting = str(first["setting"])
    parts = sorted(parts, key=lambda part: list(styles).index(str(part.row["detector"])))
    known = SETTINGS.get(setting.split(" ", maxsplit=1)[0])
    words = known.words if known else ""
    rows = [part.row for part in parts if part.measured]
    reason = "" if rows else str(first["status"])
    pictures = _pictures(parts, styles) if rows else []
    return Block(f"s{number}", str(first["set"]), setting, words, rows, pictures, reason)


def _pictures(parts: list[Part], styles: dict[str, str]) -> list[tuple[str, str, Markup]]:
    lines = [
        charts.Line(str(part.row["detector"]), styles[str(part.row["detector"])], part.measured)
        for part in parts
        if part.measured
    ]
    found = [("DET", "One threshold for everybody. Further down and left is better; dots: gEER.", charts.det(lines))]
    said = [line for line in lines if line.measured.llr]
    if said:
        words = "What the calibrated detectors said against what was so. On the diagonal is honest."
        found.append(("Reliability", words, charts.reliability(said)))
    words = "One dot a person, each with a threshold of their own; line: mean."
    found.append(("People", words, charts.people(lines)))
    return found


def _samples(parts: Sequence[Part], styles: dict[str, str]) -> list[tuple[str, Markup]]:
    """By set: error against the number of samples, where more than one first-N setting was measured."""
    found = []
    for data in dict.fromkeys(str(part.row["set"]) for part in parts):
        lines = []
        for name, style in styles.items():
            points = [
                _point(part.row)
                for part in parts
                if part.measured
                and (part.row["set"], part.row["detector"]) == (data, name)
                and str(part.row["setting"]).startswith(_LEARNING)
            ]
            if len(points) > 1:
                lines.append(charts.Samples(name, style, points))
        if lines:
            found.append((data, charts.samples(lines)))
    return found


def _point(row: Row) -> tuple[int, float, float, float]:
    count, eer, intervals = int(str(row["setting"]).removeprefix(_LEARNING)), row["eer"], row["ci95"]
    if not isinstance(eer, float) or not isinstance(intervals, dict):
        raise TypeError("a measured row has an EER and intervals")
    low, high = intervals["eer"]
    return count, eer, low, high


def _rate(value: object) -> str:
    return f"{value * 100:.1f}" if isinstance(value, float) else "–"


def _interval(edges: Sequence[float]) -> str:
    return f"{edges[0] * 100:.1f} to {edges[1] * 100:.1f}"


def _wide(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else "–"


def _size(value: int) -> str:
    return f"{value / 1000:.1f}"


def _time(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"
