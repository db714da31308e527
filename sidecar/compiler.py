"""Compile a policy in a process of its own before it may decide: whatever a file does to the compiler, it does not do to
logins. Run as a module it is that process: one JSON object in; a line out that says what the file is or what is wrong with
it, then, where asked, a line with what it means beside another file.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sidecar.apart import Bounds, bounded, process
from sidecar.errors import PolicyInvalid
from sidecar.policy.compare import Change, differences
from sidecar.policy.language import Policy, parse
from sidecar.policy.lint import lint
from sidecar.policy.signature import SUFFIX, verify
from sidecar.policy.testing import parse_cases, run
from sidecar.ports import Checked, PolicyVersion

BOUNDS = Bounds(seconds=20.0, memory_bytes=2 * 1024**3)
FAILURES_SHOWN = 5
CHANGES_SHOWN = 500


async def checked(version: PolicyVersion, keys: Sequence[Ed25519PublicKey], now: float = 0.0) -> Checked:
    """Verify, compile and test a version elsewhere; ``now``: as for ``compiled``. Raises PolicyInvalid."""
    name = version.name or "policy"
    verify(version.source, version.signature, keys, name)
    return await compiled(version, name, now=now)


async def loaded(version: PolicyVersion, keys: Sequence[Ed25519PublicKey]) -> Policy:
    """Verify, compile and test a version elsewhere, then compile it here, beside logins. Raises PolicyInvalid."""
    await checked(version, keys)
    return await asyncio.to_thread(parse, version.source, version.name or "policy")


def signature_beside(policy: Path) -> bytes | None:
    """Return the bytes of a policy's signature file, or None where there is none."""
    path = Path(f"{policy}{SUFFIX}")
    return path.read_bytes() if path.is_file() else None


async def compiled(
    version: PolicyVersion, name: str, *, against: bytes | None = None, now: float = 0.0, bounds: Bounds = BOUNDS
) -> Checked:
    """Compile and test a version elsewhere, and compare it by meaning with another file. Raises PolicyInvalid.

    ``now`` (epoch seconds): what ``lint`` calls an error at that moment is refused, too. 0 for a version that is in its place
    already: a newer release's lint must not put it out of force. ``changes`` is None where the time did not suffice to compare.
    """
    asked = {
        "name": name,
        "source": _text(version.source),
        "tests": [[file, text] for file, text in version.tests],
        "against": None if against is None else _text(against),
        "now": now,
    }
    said, ended = await _said(json.dumps(asked).encode(), bounds)
    if not said:
        raise PolicyInvalid(f"{name}:1:1: {ended}; hint: make it smaller")
    if "refused" in said[0]:
        raise PolicyInvalid(said[0]["refused"])
    changes = tuple(Change(**change) for change in said[1]["changes"]) if len(said) > 1 else None
    return Checked(said[0]["id"], said[0]["digest"], changes)


async def _said(asked: bytes, bounds: Bounds) -> tuple[list[dict[str, Any]], str]:
    """Return what the process said, and how it came to its end."""
    said: list[dict[str, Any]] = []
    try:
        async with process("sidecar.compiler", bounds) as made:
            if made.stdin is None or made.stdout is None:
                return said, "the compiler has no pipes"
            made.stdin.write(asked)
            made.stdin.close()
            while line := await made.stdout.readline():
                said.append(json.loads(line))
            ended = await made.wait()
    except TimeoutError:
        return said, f"not compiled within {bounds.seconds:g} s"
    except (ConnectionError, ValueError) as error:
        return said, f"the compiler cannot be talked to ({type(error).__name__})"
    memory = bounds.memory_bytes / 1024**2
    return said, f"the compiler ended with {ended}, within {bounds.seconds:g} s and {memory:,.0f} MiB"


def _text(source: bytes) -> str:
    return source.decode(errors="surrogateescape")


def main() -> None:
    """Read a version from standard input and say what it is, or what is wrong with it."""
    bounded(sys.argv[1:])
    asked = json.loads(sys.stdin.buffer.read())
    try:
        policy = parse(asked["source"].encode(errors="surrogateescape"), asked["name"])
        suites = [parse_cases(text.encode(errors="surrogateescape"), file) for file, text in asked["tests"]]
    except PolicyInvalid as error:
        _say({"refused": error.message})
        return
    wrong = (
        [found.line(asked["name"]) for found in lint(policy, asked["now"], ()) if found.severity == "error"]
        if asked["now"]
        else []
    )
    failed = wrong + [
        f"{result.suite}:{result.case.at.line}:{result.case.at.column}: {result.case.name}: {failure}"
        for result in run(policy, suites)
        for failure in result.failures
    ]
    if failed:
        more = [f"and {len(failed) - FAILURES_SHOWN} more"] if len(failed) > FAILURES_SHOWN else []
        _say({"refused": "\n".join([*failed[:FAILURES_SHOWN], *more])})
        return
    _say({"id": policy.id, "digest": policy.digest})
    if asked["against"] is not None:
        old = parse(asked["against"].encode(errors="surrogateescape"), "the other")
        found = differences(old, policy, asked["now"])
        _say({"changes": [asdict(change) for change in found[:CHANGES_SHOWN]]})


def _say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main()
