"""The ``evaluate attacks`` command: play, print the tables, write JSON."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from sidecar.errors import BadRequest
from sidecar.evaluation.attacks.measure import Found, attack, attacked
from sidecar.evaluation.attacks.poison import RULES, Rule, Worn, wear
from sidecar.evaluation.datasets import DatasetInvalid
from sidecar.evaluation.keystroke.command import write_whole
from sidecar.evaluation.keystroke.discovery import find_sets
from sidecar.evaluation.keystroke.models import Model, product_models
from sidecar.evaluation.keystroke.sets import KeystrokeSet
from sidecar.scoring import DETECTORS

POPULATION = "population median"


def run_attacks(*, data: Path, detector: str, seed: int, poisoning: bool, json_path: Path | None) -> int:
    """Measure and print; exit code 1 where a set was refused. Raises DatasetInvalid, BadRequest."""
    models = product_models()
    if detector not in models:
        raise BadRequest(f"no detector {detector!r}; there are {', '.join(models)}")
    if json_path and not json_path.resolve().parent.is_dir():
        raise BadRequest(f"{json_path}: no such folder")
    console, out = Console(stderr=True), Console()
    began = time.monotonic()
    sets, passed, refused = find_sets(data)
    for sentence in passed:
        console.print(f"passed over: {sentence}", highlight=False, markup=False)
    chosen = [each for each in sets if attacked(each)]
    for each in sets:
        if each not in chosen:
            out.print(
                f"{each.name}: not applicable: needs three people, one with 400 repetitions of holds and down-downs"
            )
    rules = RULES if poisoning else ()
    results: list[dict[str, object]] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress, threadpool_limits(1):
        total = (1 + len(rules)) * sum(len(attacked(each)) for each in chosen)
        bar = progress.add_task("people attacked", total=total)
        for each in chosen:
            try:
                found = _played(each, models[detector], rules, seed, lambda step: progress.advance(bar, step))
            except DatasetInvalid as wrong:
                refused.append(wrong.message)
                continue
            results.append({"set": each.name, "detector": detector, "seed": seed, **found})
    for result in results:
        _print(result, out)
    console.print(f"{time.monotonic() - began:.0f} s")
    if json_path:
        write_whole(json_path, json.dumps(results, indent=1) + "\n")
    for sentence in refused:
        console.print(f"refused: {sentence}", style="bold", highlight=False, markup=False)
    return 1 if refused else 0


def _played(
    data: KeystrokeSet, model: Model, rules: Sequence[Rule], seed: int, advance: Callable[[int], None]
) -> dict[str, object]:
    worn = [wear(data, model, rule, seed, advance, DETECTORS.get(model.name)) for rule in rules]
    return figures(attack(data, model, seed, advance), worn)


def figures(found: Found, worn: list[Worn]) -> dict[str, object]:
    """Means over people, as plain values."""
    rows = {
        name: {"score_alone": float(np.mean(found.alone[name])), "with_checks": float(np.mean(found.guarded[name]))}
        for name in found.alone
    }
    worst = [row["with_checks"] for name, row in rows.items() if name.startswith(POPULATION)]
    return {
        "accepted": rows,
        "population_median_worst": max(worst),
        "false_positives": float(np.mean(found.flagged)),
        "false_positives_worst_person": float(np.max(found.flagged)),
        "false_positives_by_sign": dict(found.signs),
        "flagged_when_typed_oddly": {name: float(np.mean(values)) for name, values in found.odd.items()},
        "poisoning": [
            {
                "learned_up_to_quantile": each.rule.quantile,
                "guarded": each.rule.guarded,
                "eer": each.eer,
                "geer": each.geer,
                "impostor_attempts_learned": each.absorbed,
                "own_logins_learned": each.own_learned,
            }
            for each in worn
        ],
    }


def _print(result: dict[str, object], out: Console) -> None:
    title = f"{result['set']}: accepted where 5% of a person's own logins are rejected ({result['detector']})"
    table = Table("attack", "by the score alone", "with the checks", title=title, box=SIMPLE_HEAD)
    accepted = result["accepted"]
    if isinstance(accepted, dict):
        for name, row in accepted.items():
            table.add_row(name, f"{row['score_alone']:.1%}", f"{row['with_checks']:.1%}")
    out.print(table)
    for name in ("population_median_worst", "false_positives", "false_positives_worst_person"):
        out.print(f"{name}: {result[name]:.4f}", highlight=False)
    for name in ("false_positives_by_sign", "flagged_when_typed_oddly"):
        out.print(f"{name}: {result[name]}", highlight=False)
    worn = result["poisoning"]
    if isinstance(worn, list) and worn:
        title = "Poisoning: 250 impostor attempts during 200 own logins, learned below a quantile of own scores"
        names = ("learned", "EER", "gEER", "attempts learned", "own learned")
        lines = Table(*names, title=title, box=SIMPLE_HEAD)
        for row in worn:
            lines.add_row(
                _rule(row),
                f"{row['eer']:.4f}",
                f"{row['geer']:.4f}",
                f"{row['impostor_attempts_learned']:.1f}",
                f"{row['own_logins_learned']:.1f}",
            )
        out.print(lines)


def _rule(row: dict[str, object]) -> str:
    quantile = row["learned_up_to_quantile"]
    if quantile is None:
        return "nothing"
    return f"below {quantile:g}" + (", by the whole rule of a login" if row["guarded"] else "")
