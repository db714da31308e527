"""Try a candidate policy on recorded decisions, in a process of its own, so that no login waits for it.

Run as a module it is that process: it reads the policy and then decisions, one JSON object a line, and answers with the
figures of ``policy.backtest.report``.
"""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import msgspec

from sidecar.errors import BadRequest, PolicyInvalid
from sidecar.policy.backtest import Recorded, report, tally
from sidecar.policy.language import parse

SECONDS = 60.0
_LINE = re.compile(
    r"(?P<file>[^\n]*?):(?P<line>\d+):(?P<column>\d+): (?P<what>.*?)(?:; hint: (?P<hint>.*))?", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong with a file. ``line``, ``column`` count from 1; 0 where the message names no place."""

    file: str
    line: int
    column: int
    what: str
    hint: str


def mistakes(error: PolicyInvalid) -> list[Mistake]:
    """Take a refusal apart into its mistakes, one a line of the message."""
    found = []
    for text in error.message.splitlines():
        if match := _LINE.fullmatch(text):
            place = int(match["line"]), int(match["column"])
            found.append(Mistake(match["file"], *place, match["what"], match["hint"] or ""))
        elif text.strip():
            found.append(Mistake("", 0, 0, text.strip(), ""))
    return found


async def rehearsed(source: bytes, pages: AsyncIterator[Sequence[Recorded]]) -> dict[str, Any]:
    """Return the figures of a candidate over recorded decisions. Raises PolicyInvalid, BadRequest (too slow, or it died)."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sidecar.trial", stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(SECONDS):
            answer = await _fed(process, source, pages)
    except TimeoutError:
        raise BadRequest(
            f"not done within {SECONDS:.0f} s: look at fewer days, or run gaitkeeper policy backtest"
        ) from None
    except (ConnectionError, msgspec.DecodeError):
        raise BadRequest("the trial ended before its time") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if "refused" in answer:
        raise PolicyInvalid(answer["refused"])
    return answer


async def _fed(
    process: asyncio.subprocess.Process, source: bytes, pages: AsyncIterator[Sequence[Recorded]]
) -> dict[str, Any]:
    if process.stdin is None or process.stdout is None:
        raise BadRequest("the trial has no pipes")
    process.stdin.write(msgspec.json.encode(source.decode(errors="replace")) + b"\n")
    async for page in pages:
        process.stdin.write(b"".join(msgspec.json.encode(decision) + b"\n" for decision in page))
        await process.stdin.drain()
    process.stdin.close()
    found = await process.stdout.read()
    await process.wait()
    return msgspec.json.decode(found, type=dict[str, Any])


def main(read: BinaryIO, write: BinaryIO) -> None:
    """Read a policy and decisions, write figures or the refusal."""
    os.nice(10)
    lines = iter(read)
    try:
        policy = parse(msgspec.json.decode(next(lines), type=str).encode(), "candidate")
    except PolicyInvalid as error:
        write.write(msgspec.json.encode({"refused": error.message}))
        return
    decoder = msgspec.json.Decoder(Recorded)

    def decisions() -> Iterator[Recorded]:
        for line in lines:
            yield decoder.decode(line)

    write.write(msgspec.json.encode(report(tally(policy, decisions()), policy)))


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer)
