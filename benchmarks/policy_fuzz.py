"""Feed the policy room what nobody meant to write: ``python -m benchmarks.policy_fuzz --inputs N [--seed S]``.

Four kinds of input by turns: scratched policy files, expressions from a grammar and mutated ones, facts of every type over
the shipped policies, scratched test files and signatures. Counted is what was refused or decided; anything else that is
raised, an answer milder than the client's floor, an expression that answers otherwise than bare CEL or whose negation does
not turn its answer round, or a call slower than ``--slow`` seconds ends the run with 1 and the input that did it.
"""

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from cel_expr_python import cel
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sidecar.domain.decisions import strictness
from sidecar.errors import PolicyInvalid
from sidecar.policy.evaluate import decide
from sidecar.policy.expressions import ExpressionInvalid, Known, compile_leaf, known
from sidecar.policy.language import Policy, parse
from sidecar.policy.registry import SIGNALS, examples
from sidecar.policy.senseless import doubts, refuse_senseless
from sidecar.policy.signature import sign, verify
from sidecar.policy.testing import parse_cases
from sidecar.shipped import policy_directory

# ruff: noqa: E501 - lists of fragments
NOW = 1_795_000_000.0
FLOOR = {"trust": 0, "allow": 1, "step_up": 2}
ODD = [None, True, False, 0, -1, 1, 2**63 - 1, 2**63, -(2**70), 10**400, 0.0, -0.0, 0.5, 1e308, float("nan"), float("inf"),
       "", "a", "match", "unavailable", "\ud800", "\0", "é" * 50, "x" * 5000, (), ("a",), ["a", 1], [None], {}, b"x", object()]  # fmt: skip
TOKENS = ["&&", "||", "!", "(", ")", "==", "!=", "<", ">=", " in ", "[", "]", "?", ":", "+", "-", "*", "/", "%", "1", "0", "1.5", "true",
          "null", '"a"', "'", '"', ".", ",", "size", "has", ".all(x, x", ".exists(x, x", ".matches(", "int(", "string(", "{", "}", "9" * 30,
          "1e999", "\\", "\n", "timestamp(", "duration(", ".map(x, x", "dyn(", "type("]  # fmt: skip
SCRATCHES = ["&a ", "*a", "!!x ", "{", "[", "]", "}", ":", "- ", "\t", "\n", "#", "'", '"', "|", ">", "%", "---\n", "\x00", "é", "?", "deny",
             "trust", "expires: ", "shadow", "null", "~", ".nan", "0x1F", "<<: ", "listed: ", "not:", "1" * 400]  # fmt: skip
Kind = Callable[[random.Random], object]


def scratched(text: str, draw: random.Random) -> str:
    """Cut, double or replace a few pieces of a text."""
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(text) + 1)
        cut = draw.choice([0, 0, 1, 2, 10, 100])
        text = text[:at] + draw.choice([*SCRATCHES, text[at : at + draw.randint(0, 80)]]) + text[at + cut :]
    return text


def expression(draw: random.Random) -> str:
    """A leaf: half of the time of a form that may well compile, else tokens in a row."""
    if draw.random() < 0.5:
        signal = draw.choice(list(SIGNALS.values()))
        value = draw.choice([*examples(signal), 1, 1.0, "a", True])
        literal = f'"{value}"' if isinstance(value, str) else str(value).lower()
        core = f"{draw.choice(['', '!', '('])}{signal.name} {draw.choice(['==', '!=', '<', '<=', '>', '>=', 'in'])} {literal}"
        other = draw.choice(
            ["profile.confirmed", "int(user.id) > 1", "travel.speed / session.age < 2.0", "failures.device % 2 == 1"]
        )
        return core + draw.choice(
            ["", ")", f" && {signal.name} == {literal}", f" || {other}", f" && !({other})", " ? true : false"]
        )
    parts = [*TOKENS, *SIGNALS]
    return "".join(draw.choice(parts) for _ in range(draw.randint(1, 25)))


def facts(draw: random.Random) -> dict[str, Any]:
    """Facts of plausible and of impossible values."""
    found: dict[str, Any] = {}
    for name, signal in SIGNALS.items():
        chance = draw.random()
        if chance < 0.6:
            found[name] = draw.choice(examples(signal))
        elif chance < 0.85:
            found[name] = draw.choice(ODD)
    return found


TYPES = {"bool": cel.Type.BOOL, "int": cel.Type.INT, "double": cel.Type.DOUBLE, "string": cel.Type.STRING,
         "strings": cel.Type.List(cel.Type.STRING)}  # fmt: skip
ENVIRONMENT = cel.NewEnv(variables={name: TYPES[signal.type] for name, signal in SIGNALS.items()})


def bare(text: str, seen: Known) -> str:
    """What the engine alone says: true, false or unknown."""
    given = {name: value for name, value in seen.values.items() if value is not None}
    said = ENVIRONMENT.compile(text).eval(data=given).value()
    return str(said).lower() if isinstance(said, bool) else "unknown"


def kinds(policies: list[tuple[str, Policy]], cases: list[str]) -> dict[str, Kind]:
    """What one input of each kind does; the answer is counted."""
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    signature = sign(b"policy", key)

    def a_file(draw: random.Random) -> str:
        return attempt(lambda: parse(scratched(draw.choice(policies)[0], draw).encode(errors="surrogatepass"), "p"))

    def a_test(draw: random.Random) -> str:
        return attempt(lambda: parse_cases(scratched(draw.choice(cases), draw).encode(errors="surrogatepass"), "p"))

    def a_signature(draw: random.Random) -> str:
        made = scratched(signature, draw)
        said = attempt(lambda: verify(b"policy", made.encode(errors="replace"), [key.public_key()], "p"))
        if said == "accepted" and made != signature:
            raise AssertionError("a scratched signature was accepted")
        return said

    def an_expression(draw: random.Random) -> str:
        text = expression(draw)
        try:
            leaf = compile_leaf(text)
        except ExpressionInvalid:
            return "refused"
        try:
            refuse_senseless(leaf)
            list(doubts(leaf.node))
        except ExpressionInvalid:
            pass
        seen = known(facts(draw), NOW)
        found = leaf.evaluate(seen).result
        turned = compile_leaf(f"!({text})").evaluate(seen).result
        if turned != {"true": "false", "false": "true"}.get(found, found):
            raise AssertionError(f"{text} is {found}, and its negation {turned}")
        if found in ("true", "false") and (engines := bare(text, seen)) not in (found, "unknown"):
            raise AssertionError(f"{text} is {found}, and to the engine {engines}")
        return found

    def a_decision(draw: random.Random) -> str:
        given = facts(draw)
        verdict = decide(draw.choice(policies)[1], given, NOW)
        told = given.get("client.floor")
        least = 1 if told is None else FLOOR.get(told, 2) if isinstance(told, str) else 2
        if strictness(verdict.consequence) < least:
            raise AssertionError(f"milder than the floor {told!r}")
        return str(verdict.consequence.action)

    return {
        "file": a_file,
        "test": a_test,
        "signature": a_signature,
        "expression": an_expression,
        "decision": a_decision,
    }


def attempt(call: Callable[[], object]) -> str:
    """Say whether something was accepted, or refused in the way refusals are made: with file, line, column and hint."""
    try:
        call()
    except PolicyInvalid as refused:
        place = refused.message.split(":", 3)
        if len(place) != 4 or not (place[1].isdigit() and place[2].isdigit()) or "; hint: " not in refused.message:
            raise AssertionError(f"a refusal without place or hint: {refused.message}") from None
        return "refused"
    return "accepted"


def main() -> None:
    """Run, count, print; exit code 1 with the seed and number of the first input that broke a promise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first input, to go on where a run ended")
    parser.add_argument("--slow", type=float, default=2.0, help="seconds of CPU that no single input may take")
    chosen = parser.parse_args()
    directory = policy_directory()
    files = [path for path in sorted(directory.glob("*.yaml")) if not path.name.endswith(".test.yaml")]
    policies = [(path.read_text(), parse(path.read_bytes(), path.name)) for path in files]
    makers = kinds(policies, [path.read_text() for path in sorted(directory.glob("*.test.yaml"))])
    # A file takes a thousand times as long as a decision; most inputs go where most calls will be.
    turns = ["decision"] * 60 + ["expression"] * 36 + ["signature"] * 2 + ["file"] + ["test"]
    counts: Counter[tuple[str, str]] = Counter()
    slowest, began = (0.0, "", 0), time.perf_counter()
    for number in range(chosen.first, chosen.first + chosen.inputs):
        draw = random.Random(chosen.seed * 1_000_000_007 + number)
        kind = turns[number % len(turns)]
        start = time.process_time()
        try:
            counts[kind, str(makers[kind](draw))] += 1
        except Exception as error:
            sys.exit(f"seed {chosen.seed}, input {number} ({kind}): {type(error).__name__}: {error}")
        slowest = max(slowest, (time.process_time() - start, kind, number))
        if slowest[0] > chosen.slow:
            sys.exit(f"seed {chosen.seed}, input {number} ({kind}) took {slowest[0]:.1f} s")
    took = time.perf_counter() - began
    for (kind, said), count in sorted(counts.items()):
        print(f"{kind:12}{said:10}{count:>10,}")
    print(
        f"{chosen.inputs:,} inputs in {took:.0f} s, seed {chosen.seed}; slowest {slowest[0] * 1e3:.0f} ms ({slowest[1]} {slowest[2]})"
    )


if __name__ == "__main__":
    main()
