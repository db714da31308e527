"""Compile a policy in a process of its own before it may decide: whatever a file does to the compiler, it does not do to
logins. Run as a module it is that process.
"""

import asyncio
import json
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sidecar.errors import PolicyInvalid
from sidecar.policy.language import Policy, parse
from sidecar.policy.signature import SUFFIX, verify
from sidecar.policy.testing import parse_cases, run
from sidecar.ports import PolicyVersion

SECONDS = 20.0
MEMORY_BYTES = 2 * 1024**3
FAILURES_SHOWN = 5


async def checked(version: PolicyVersion, keys: Sequence[Ed25519PublicKey]) -> Policy:
    """Verify, compile and test a version elsewhere, then compile it here. Raises PolicyInvalid."""
    name = version.name or "policy"
    verify(version.source, version.signature, keys, name)
    await compiled(version, name)
    return parse(version.source, name)


def signature_beside(policy: Path) -> bytes | None:
    """Return the bytes of a policy's signature file, or None where there is none."""
    path = Path(f"{policy}{SUFFIX}")
    return path.read_bytes() if path.is_file() else None


async def compiled(version: PolicyVersion, name: str) -> None:
    """Compile and test a version elsewhere. Raises PolicyInvalid."""
    tests = [[file, text] for file, text in version.tests]
    asked = json.dumps(
        {"name": name, "source": version.source.decode(errors="surrogateescape"), "tests": tests}
    ).encode()
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sidecar.compiler", stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(SECONDS):
            answer, _ = await process.communicate(asked)
    except TimeoutError:
        raise PolicyInvalid(f"{name}:1:1: not compiled within {SECONDS:.0f} s; hint: make it smaller") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        said = answer.decode(errors="replace").strip()
        raise PolicyInvalid(said or f"{name}:1:1: the compiler ended with {process.returncode}")


def main() -> None:
    """Read a version from standard input; say on standard output what is wrong with it, and end with 1."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (int(SECONDS), int(SECONDS)))
    asked = json.loads(sys.stdin.buffer.read())
    try:
        policy = parse(asked["source"].encode(errors="surrogateescape"), asked["name"])
        suites = [parse_cases(text.encode(), file) for file, text in asked["tests"]]
    except PolicyInvalid as error:
        _refuse([error.message])
    failed = [
        f"{result.suite}:{result.case.at.line}:{result.case.at.column}: {result.case.name}: {failure}"
        for result in run(policy, suites)
        for failure in result.failures
    ]
    if failed:
        more = [f"and {len(failed) - FAILURES_SHOWN} more"] if len(failed) > FAILURES_SHOWN else []
        _refuse([*failed[:FAILURES_SHOWN], *more])


def _refuse(lines: list[str]) -> None:
    print("\n".join(lines))
    sys.exit(1)


if __name__ == "__main__":
    main()
