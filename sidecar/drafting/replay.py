"""Replay recorded decisions with all cores: chunks to processes, tallies back, one sum.

Decisions come as an iterable of ``Recorded`` or as lines of JSON; either is read as it is needed, so a million of them
need no memory. Each process parses the policy once.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from typing import Any

import msgspec

from sidecar.domain.decisions import Action, Consequence, Effect
from sidecar.errors import BadRequest
from sidecar.policy.backtest import Recorded, Tally, merged, tally
from sidecar.policy.language import Policy, parse

CHUNK = 2000


class RecordedConsequence(msgspec.Struct, forbid_unknown_fields=True):
    """An answer as it is kept in a file of decisions."""

    action: Action
    acr_values: str | None = None
    factor: str | None = None
    effects: list[Effect] = []
    trust: bool = False


class RecordedLine(msgspec.Struct, forbid_unknown_fields=True):
    """One line of a file of decisions. ``at``: epoch seconds.

    ``facts`` are taken as recorded: a signal that this version does not know is not read, and a value of another type is
    an error of the rules that read it, as at a login.
    """

    id: str
    subject: str
    client: str
    at: float
    facts: dict[str, Any]
    consequence: RecordedConsequence
    groups: list[str] = []
    rule: str = ""


@dataclass(frozen=True, slots=True)
class _Chunk:
    """A part of the decisions; ``first`` counts from 1 for messages about lines."""

    first: int
    rows: Sequence[bytes | Recorded]


_decoder = msgspec.json.Decoder(RecordedLine)
_policy: Policy | None = None


def replayed(
    raw: bytes,
    name: str,
    decisions: Iterable[bytes] | Iterable[Recorded],
    *,
    jobs: int,
    progress: Callable[[int], None] = lambda _: None,
) -> Tally:
    """Tally all decisions against the policy in ``raw``. ``progress`` is told how many more are done.

    Raises PolicyInvalid for the policy, BadRequest (with the number of the line) for a line that is no decision.
    """
    policy = parse(raw, name)  # refused here, before any process starts
    whole = Tally()
    if jobs == 1:
        for chunk in _chunks(decisions):
            whole = merged(whole, _counted(policy, chunk))
            progress(len(chunk.rows))
        return whole
    with ProcessPoolExecutor(jobs, get_context("spawn"), initializer=_prepare, initargs=(raw, name)) as pool:
        waiting: dict[Future[Tally], int] = {}
        for chunk in _chunks(decisions):
            waiting[pool.submit(_count, chunk)] = len(chunk.rows)
            if len(waiting) >= 3 * jobs:
                whole = _gathered(whole, waiting, progress)
        while waiting:
            whole = _gathered(whole, waiting, progress)
    return whole


def _gathered(whole: Tally, waiting: dict[Future[Tally], int], progress: Callable[[int], None]) -> Tally:
    done, _ = wait(waiting, return_when=FIRST_COMPLETED)
    for future in done:
        whole = merged(whole, future.result())
        progress(waiting.pop(future))
    return whole


def _chunks(decisions: Iterable[Any]) -> Iterator[_Chunk]:
    rows = iter(decisions)
    first = 1
    while part := list(islice(rows, CHUNK)):
        yield _Chunk(first, part)
        first += len(part)


def _prepare(raw: bytes, name: str) -> None:
    global _policy  # noqa: PLW0603 - a process of the pool holds its policy for as long as it lives
    _policy = parse(raw, name)


def _count(chunk: _Chunk) -> Tally:
    if _policy is None:
        raise RuntimeError("the process was not prepared")
    return _counted(_policy, chunk)


def _counted(policy: Policy, chunk: _Chunk) -> Tally:
    return tally(policy, (_row(row, chunk.first + index) for index, row in enumerate(chunk.rows)))


def _row(row: bytes | Recorded, number: int) -> Recorded:
    if isinstance(row, Recorded):
        return row
    try:
        line = _decoder.decode(row)
    except msgspec.DecodeError as error:
        raise BadRequest(f"line {number} is no recorded decision: {error}") from None
    given = line.consequence
    consequence = Consequence(given.action, given.acr_values, given.factor, tuple(given.effects), given.trust)
    return Recorded(line.id, line.subject, line.client, tuple(line.groups), line.at, line.facts, consequence, line.rule)
