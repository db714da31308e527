"""``python -m benchmarks.soak``: kills, rotations and faults over both stores; exit code 1 on any loss."""

import argparse
import random
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack

from benchmarks.soak.faults import Fault, fail_in_every_way
from benchmarks.soak.kills import Tally, kill_again_and_again
from benchmarks.soak.rotation import Rotations, rotate_again_and_again
from tests.support import postgres

BUFFERED_SHARE = 5  # one kill of so many, when both modes are asked for


def main() -> None:
    """Run what was asked for, print what came of it."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # on the way out its servers end, too
    rng = random.Random(arguments.seed)
    began = time.monotonic()
    tallies: list[Tally] = []
    rotations: list[Rotations] = []
    faults: list[Fault] = []
    with ExitStack() as stack:
        stores: list[postgres.Server | None] = [None] if arguments.store != "postgresql" else []
        if arguments.store != "sqlite":
            stores.append(stack.enter_context(postgres.server(durable=True)))
        for server in stores:
            if "faults" in arguments.only:
                faults += fail_in_every_way(server, arguments.fault_seconds, rng, _say)
            if "rotation" in arguments.only:
                rotations.append(rotate_again_and_again(server, arguments.rotations, rng, _say))
            if "kills" in arguments.only:
                for audit, kills in _modes(arguments.audit, arguments.kills // len(stores)):
                    tallies.append(kill_again_and_again(server, audit, kills, rng, _say))
    print(_table(tallies, rotations, faults))
    results: Iterable[Fault | Rotations | Tally] = (*faults, *rotations, *tallies)
    failures = [failure for each in results for failure in each.failures]
    for failure in failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    print(f"{len(failures)} failures, {time.monotonic() - began:.0f} s")
    sys.exit(1 if failures else 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=1000, help="of all stores and modes together")
    parser.add_argument("--store", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--audit", choices=("strict", "buffered", "both"), default="both")
    parser.add_argument("--rotations", type=int, default=10, help="on each store")
    parser.add_argument("--fault-seconds", type=float, default=30.0, help="how long PostgreSQL is gone")
    parser.add_argument("--only", nargs="+", choices=("kills", "rotation", "faults"))
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    arguments.only = arguments.only or ("kills", "rotation", "faults")
    return arguments


def _modes(audit: str, kills: int) -> Sequence[tuple[str, int]]:
    if audit != "both":
        return [(audit, kills)]
    buffered = max(1, kills // BUFFERED_SHARE)
    return [("strict", kills - buffered), ("buffered", buffered)]


def _say(line: str) -> None:
    print(line, flush=True)


def _table(tallies: Sequence[Tally], rotations: Sequence[Rotations], faults: Sequence[Fault]) -> str:
    lines = [""]
    if tallies:
        lines.append("kills          store       audit     kills  starting  beside  decisions  completions  samples"
                     "  audit rows  degraded  rows lost (most, oldest)  seconds")  # fmt: skip
    for tally in tallies:
        lost = f"{tally.lost_rows} ({tally.most_lost_rows}, {tally.oldest_lost:.2f} s)"
        lines.append(
            f"{_word(tally.failures):14} {tally.store:11} {tally.audit:9} {tally.kills:5} {tally.starting:9}"
            f" {tally.beside:7} {tally.decisions:10} {tally.completions:12} {tally.samples:8} {tally.audit_rows:11}"
            f" {tally.degraded:9} {lost:>25} {tally.seconds:8.0f}"
        )
    if rotations:
        lines.append("rotations      store       finished  kills  midway  decisions  degraded  seconds")
    for each in rotations:
        lines.append(
            f"{_word(each.failures):14} {each.store:11} {each.rounds:8} {each.kills:6} {each.midway:7}"
            f" {each.decisions:10} {each.degraded:9} {each.seconds:8.0f}"
        )
    if faults:
        lines.append("faults         store       what                   seconds  scored  degraded  slowest s  refused"
                     "  slowest s  again after s  kept unanswered")  # fmt: skip
    for fault in faults:
        word = "skipped" if fault.skipped else _word(fault.failures)
        lines.append(
            f"{word:14} {fault.store:11} {fault.name:22} {fault.seconds:7.1f} {fault.during:7} {fault.degraded:9}"
            f" {fault.slowest:10.2f} {fault.refused:8} {fault.slowest_completion:10.2f} {fault.healed:14.2f}"
            f" {fault.unanswered:16}"
        )
    return "\n".join(lines)


def _word(failures: Sequence[str]) -> str:
    return "FAILED" if failures else "held"


if __name__ == "__main__":
    main()
