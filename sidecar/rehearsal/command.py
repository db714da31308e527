"""The ``rehearse`` command: choose the script and the stage, show progress, print the table."""

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from sidecar.errors import BadRequest
from sidecar.rehearsal import browser, in_process
from sidecar.rehearsal.figures import compared, figures
from sidecar.rehearsal.script import Script, recorded, synthetic
from sidecar.scoring import SHIPPED

BROWSER_IMPOSTORS = 4
FIRST = "nearest-recent-1"  # the scorer that a rehearsal in process is paired with
FIRST_MISMATCH_FROM = 0.9  # the threshold that was shipped with it
AGREEMENT = "equal_to_in_process"
# What a release must reach (docs/rehearsal.md): the shares over all 51 subjects in process, the agreement in a browser.
REQUIRED: dict[str, Callable[[Any], bool]] = {
    "genuine_challenged": lambda share: share <= 0.10,
    "impostor_first_challenged": lambda share: share >= 0.95,
    "impostor_practised_challenged": lambda share: share >= 0.80,
    AGREEMENT: lambda share: share >= 0.97,
}


def run_rehearsal(
    *,
    data: Path | None,
    subjects: int,
    seed: int,
    in_process_only: bool,
    json_path: Path | None,
    require: bool,
    keycloak: Path | None = None,
) -> bool:
    """Run a rehearsal and print its figures; False when ``require`` and they are not reached.

    Raises DatasetInvalid, BadRequest, DemoFailed, BrowserMissing.
    """
    if json_path and not json_path.absolute().parent.is_dir():
        raise BadRequest(f"{json_path.parent} is no directory")
    console = Console(stderr=True)
    impostors = None if in_process_only else BROWSER_IMPOSTORS
    script = (
        recorded(data, subjects, seed, impostors=impostors) if data else synthetic(subjects, seed, impostors=impostors)
    )
    console.print(f"{script.label}; {len(script.logins)} logins")
    result: dict[str, object]
    with _progress(console) as progress:
        task = progress.add_task("logins", total=len(script.logins))
        if in_process_only:
            progress.update(task, total=2 * len(script.logins))
            decided = asyncio.run(in_process.play(script, lambda: progress.advance(task), detector=SHIPPED))
            first = asyncio.run(
                in_process.play(
                    script, lambda: progress.advance(task), detector=FIRST, mismatch_from=FIRST_MISMATCH_FROM
                )
            )
            result = dict(figures(decided, len(script.enrolled)))
            result[f"compared with {FIRST}"] = compared(first, decided, seed)
        else:
            played = browser.play(script, lambda: progress.advance(task), keycloak)
            result = figures(((item.login, item.action) for item in played), len(script.enrolled)) | browser.compare(
                script, played
            )
    result["data"] = script.label
    _print(result, script)
    if json_path:
        json_path.write_text(json.dumps(result, indent=2) + "\n")
    # A handful of people in a browser says nothing about shares, only whether the two ways decide alike.
    wanted = [name for name in REQUIRED if (name == AGREEMENT) is not in_process_only]
    missed = [f"{name} is {result[name]:.3f}" for name in wanted if not REQUIRED[name](result[name])]
    if require and missed:
        console.print("not reached: " + ", ".join(missed))
    return not (require and missed)


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console)


def _print(result: dict[str, object], script: Script) -> None:
    table = Table(title=f"Rehearsal: {script.label}")
    table.add_column("attempts")
    table.add_column("challenged", justify="right")
    for kind, words in (
        ("genuine", "genuine"),
        ("impostor_first", "others, 1st time"),
        ("impostor_practised", "others, 400th"),
    ):
        share = result[f"{kind}_challenged"]
        table.add_row(words, f"{share:.1%}" if isinstance(share, float) else str(share))
    console = Console()
    console.print(table)
    rest = {name: value for name, value in result.items() if not name.endswith("_challenged") and name != "timelines"}
    for name, value in rest.items():
        if isinstance(value, dict):
            for kind, found in value.items():
                low, high = found["ci95"]
                before, after = (_share(found, name) for name in ("first", "now"))
                words = f"{before}, now {after}, difference {low:+.1%} to {high:+.1%} (95%)"
                console.print(f"{name}, {kind}: {words}", highlight=False)
        else:
            words = f"{value:.1%}" if name == "most_challenged_person" else str(value)
            console.print(f"{name}: {words}", highlight=False)


def _share(found: Mapping[str, Any], name: str) -> str:
    low, high = found[f"{name}_ci95"]
    return f"{found[name]:.1%} ({low:.1%} to {high:.1%})"
