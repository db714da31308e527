"""Try a candidate policy on recorded decisions, in a process of its own, so that no login waits for it.

Run as a module it is that process: it reads the policy and then decisions, one JSON object a line, and answers with the
figures of ``policy.backtest.report``.
"""

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import msgspec

from sidecar.apart import Bounds, bounded, process
from sidecar.errors import BadRequest, PolicyInvalid
from sidecar.policy.backtest import Recorded, report, tally
from sidecar.policy.language import parse

BOUNDS = Bounds(seconds=60.0, memory_bytes=2 * 1024**3)
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


async def rehearsed(source: bytes, pages: AsyncIterator[Sequence[Recorded]], bounds: Bounds = BOUNDS) -> dict[str, Any]:
    """Return the figures of a candidate over recorded decisions. Raises PolicyInvalid, BadRequest (too slow, or it died)."""
    try:
        async with process("sidecar.trial", bounds) as made:
            answer = await _fed(made, source, pages)
    except TimeoutError:
        raise BadRequest(
            f"not done within {bounds.seconds:g} s: look at fewer days, or run gaitkeeper policy backtest"
        ) from None
    except (ConnectionError, msgspec.DecodeError):
        raise BadRequest("the trial ended before its time") from None
    if "refused" in answer:
        raise PolicyInvalid(answer["refused"])
    return answer


async def _fed(
    made: asyncio.subprocess.Process, source: bytes, pages: AsyncIterator[Sequence[Recorded]]
) -> dict[str, Any]:
    if made.stdin is None or made.stdout is None:
        raise BadRequest("the trial has no pipes")
    made.stdin.write(msgspec.json.encode(source.decode(errors="replace")) + b"\n")
    async for page in pages:
        made.stdin.write(b"".join(msgspec.json.encode(decision) + b"\n" for decision in page))
        await made.stdin.drain()
    made.stdin.close()
    found = await made.stdout.read()
    await made.wait()
    return msgspec.json.decode(found, type=dict[str, Any])


def main(read: BinaryIO, write: BinaryIO) -> None:
    """Read a policy and decisions, write figures or the refusal."""
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
    bounded(sys.argv[1:])
    main(sys.stdin.buffer, sys.stdout.buffer)
