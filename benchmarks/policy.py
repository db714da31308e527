"""Microseconds per decision for 10, 50 and 500 rules, beside bare CEL over the same leaves in the same run.

``python -m benchmarks.policy [--json FILE]``. Three kinds of leaves: ``plain`` ones (``signal op literal``) and ``general`` ones
(arithmetic and texts), which the product answers itself, and ``engine``, patterns and macros, for which it calls the engine. No
rule is true, so every rule is looked at; each has two leaves of which the first decides in half of the rules. Two baselines
evaluate exactly the leaves that must be evaluated and read the answers, without conditions, traces or values: ``dict`` hands
the facts to each call, ``prepared`` makes one activation for all of them, which is the least that this library can be paid.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cel_expr_python import cel

from sidecar.domain.biometrics import Cause
from sidecar.policy.evaluate import decide
from sidecar.policy.language import Policy, parse
from sidecar.policy.registry import SIGNALS

NOW = 1_795_000_000.0
FACTS: dict[str, Any] = {
    "action": "login", "client.id": "app", "keystroke.outcome": "match", "keystroke.llr": -2.0,
    "keystroke.confidence": 0.7, "profile.state": "ready", "profile.samples": 40, "profile.confirmed": True,
    "provenance.password": "typed", "provenance.usual": "typed", "risk.probability": 0.003, "travel.speed": 12.0,
    "device.state": "known", "failures.device": 0, "time.unusual": 0.4,
    "user.groups": ["staff", "board", "sales"],
}  # fmt: skip
TYPES = {"bool": cel.Type.BOOL, "int": cel.Type.INT, "double": cel.Type.DOUBLE, "string": cel.Type.STRING,
         "strings": cel.Type.List(cel.Type.STRING)}  # fmt: skip


def leaves_of(index: int, kind: str) -> tuple[str, str]:
    """Two leaves of one rule; the figures make every leaf another one."""
    if kind == "engine":
        firsts = (
            f'client.id.matches("^client-{index}$")',
            f'user.groups.exists(g, g == "group-{index}")',
            f'!user.groups.all(g, g != "group-{index}")',
            f'client.id.matches("x") && profile.samples > {index}',
        )
        return firsts[index % 4], f'user.groups[0] == "group-{index}"'
    if kind == "general":
        firsts = (
            f"keystroke.llr + 0.5 > {1.5 + index / 1000:.4f}",
            f"travel.speed * 2.0 > {1800 + index}.0",
            f"profile.samples - 1 < {39 + index}",
            f'!client.id.startsWith("client-{index}")',
        )
        return firsts[index % 4], f"time.unusual - 0.1 > {0.4 + index / 2000:.5f}"
    firsts = (
        f"keystroke.llr > {1 + index / 1000:.4f}",
        f"travel.speed > {900 + index}.0",
        f"profile.samples < {40 + index}",
        f'client.id != "client-{index}"',
    )
    return firsts[index % 4], f"time.unusual > {0.5 + index / 2000:.5f}"


def policy_of(rules: int, kind: str) -> bytes:
    """A policy of so many rules, none of which is true of FACTS."""
    causes = "\n".join(f"    {cause}: step_up" for cause in Cause)
    conditions = [", ".join(json.dumps(leaf) for leaf in leaves_of(index, kind)) for index in range(rules)]
    body = "\n".join(
        f"  - id: r{index}\n    when:\n      all: [{condition}]\n    then: step_up"
        for index, condition in enumerate(conditions)
    )
    return (
        f"schema: 1\nid: bench\nprior: 0.02\nbands: {{keystroke: {{mismatch_from: 0.9}}}}\nrules:\n{body}\noutcomes:\n"
        f"  match: allow\n  mismatch: step_up\n  insufficient: {{none: step_up, learning: step_up, stale: step_up}}\n"
        f"  unavailable:\n{causes}\n  error: step_up\n"
    ).encode()


def bare(policy: Policy) -> tuple[Callable[[], object], Callable[[], object], int]:
    """Bare CEL over the leaves that this policy must evaluate for FACTS, both ways, and how many those are."""
    environment = cel.NewEnv(variables={name: TYPES[signal.type] for name, signal in SIGNALS.items()})
    needed = {leaf.expression for rule in decide(policy, FACTS, NOW).trace for leaf in rule.leaves}
    expressions = [environment.compile(text) for text in needed]
    read = {name: FACTS[name] for name in policy.signals if FACTS.get(name) is not None}

    def prepared() -> object:
        activation = environment.Activation(read)
        return [expression.eval(activation).value() for expression in expressions]

    def with_dict() -> object:
        return [expression.eval(data=read).value() for expression in expressions]

    return prepared, with_dict, len(expressions)


def microseconds(call: Callable[[], object], seconds: float) -> float:
    """The time of one call in a round of ``seconds``."""
    calls, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        for _ in range(10):
            call()
        calls += 10
    return (time.perf_counter() - began) / calls * 1e6


def main() -> None:
    """Print a row per size: rounds of both baselines and of ``decide`` by turns, the best of each, and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--seconds", type=float, default=0.05)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    rows = []
    for kind, rules in ((kind, rules) for kind in ("plain", "general", "engine") for rules in (10, 50, 500)):
        policy = parse(policy_of(rules, kind))
        prepared, with_dict, leaves = bare(policy)
        calls = prepared, with_dict, lambda made=policy: decide(made, FACTS, NOW)
        turns = [[microseconds(call, chosen.seconds) for call in calls] for _ in range(chosen.rounds)]
        prepared_us, dict_us, decide_us = (min(turn[index] for turn in turns) for index in range(3))
        row = {
            "kind": kind,
            "rules": rules,
            "leaves": leaves,
            "prepared_us": prepared_us,
            "dict_us": dict_us,
            "decide_us": decide_us,
            "to_prepared": decide_us / prepared_us,
            "to_dict": decide_us / dict_us,
        }
        rows.append(row)
        print(
            "{kind:7} {rules:4} rules, {leaves:4} leaves: decide {decide_us:7.1f} us; bare CEL prepared {prepared_us:7.1f} us "
            "(ratio {to_prepared:.2f}), dict {dict_us:7.1f} us (ratio {to_dict:.2f})".format(**row)
        )
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
