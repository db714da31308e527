"""The second place of the audit chains' checkpoints: a file, a syslog server, or a web server of somebody else."""

import asyncio
import contextlib
import errno
import json
import logging
import logging.handlers
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import httpx
import msgspec

from sidecar.errors import BadRequest, DeliveryFailed
from sidecar.storage.audit import SqlAudit
from sidecar.storage.chain import Checkpoint


class Witness:
    """Sends checkpoints to the second place (``file:PATH``, ``syslog:ADDRESS``, an ``https`` URL, or None for nowhere)."""

    def __init__(self, where: str | None, http: httpx.AsyncClient) -> None:
        self._kind, _, self._where = (where or "").partition(":")
        self._url = where or ""
        self._http = http
        self._syslog: logging.Logger | None = None

    async def deliver(self, audit: SqlAudit) -> int:
        """Send what was not sent; return how many. Raises DeliveryFailed; then they are tried again."""
        if not self._kind:
            return 0
        points = await audit.unsent()
        if points:
            await self._send([line(point) for point in points])
            await audit.sent(points)
        return len(points)

    def close(self) -> None:
        """Close the way to the syslog server, if it was opened."""
        for handler in self._syslog.handlers if self._syslog else ():
            handler.close()

    async def _send(self, lines: Sequence[str]) -> None:
        try:
            if self._kind == "file":
                await asyncio.to_thread(_append, Path(self._where), lines)
            elif self._kind == "syslog":
                await asyncio.to_thread(self._to_syslog, lines)
            else:
                body = "\n".join(lines) + "\n"
                headers = {"Content-Type": "application/x-ndjson"}
                (await self._http.post(self._url, content=body, headers=headers)).raise_for_status()
        except (OSError, httpx.HTTPError) as error:
            raise DeliveryFailed(f"the audit witness cannot be reached ({type(error).__name__})") from None

    def _to_syslog(self, lines: Sequence[str]) -> None:
        if self._syslog is None:
            host, _, port = self._where.rpartition(":")
            address: str | tuple[str, int] = (host, int(port)) if host else self._where
            handler = logging.handlers.SysLogHandler(address)
            handler.handleError = _raise  # type: ignore[method-assign]
            handler.ident = "gaitkeeper-audit: "
            handler.append_nul = False  # some daemons keep it, as "#000" behind the line
            self._syslog = logging.Logger("gaitkeeper.audit.witness")
            self._syslog.addHandler(handler)
        for text in lines:
            self._syslog.info("%s", text)


def line(point: Checkpoint) -> str:
    """Return a checkpoint as one line of JSON."""
    return json.dumps({"gaitkeeper_audit_checkpoint": 1, **asdict(point)}, sort_keys=True)


def parse(text: str) -> list[Checkpoint]:
    """Return the checkpoints in a witness's text; whatever a log daemon wrote around each is skipped.

    Raises BadRequest when a line that names itself a checkpoint is none.
    """
    found = []
    for number, row in enumerate(text.splitlines(), 1):
        start = row.find('{"at"')
        if "gaitkeeper_audit_checkpoint" not in row or start < 0:
            continue
        try:
            fields, _ = json.JSONDecoder().raw_decode(row, start)
            fields.pop("gaitkeeper_audit_checkpoint")
            found.append(msgspec.convert(fields, Checkpoint))
        except (ValueError, KeyError, TypeError, msgspec.ValidationError):
            raise BadRequest(f"line {number} of the witness is no checkpoint") from None
    return found


def _append(path: Path, lines: Sequence[str]) -> None:
    """Append lines, all of them or none: half a line would spoil the one that is sent again after it."""
    text = ("\n".join(lines) + "\n").encode()
    with path.open("ab", buffering=0) as witness:
        before = witness.tell()
        try:
            if witness.write(text) != len(text):
                raise OSError(errno.ENOSPC, "a part only")
            os.fsync(witness.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                witness.truncate(before)
            raise


def _raise(record: logging.LogRecord) -> None:
    del record
    raise  # noqa: PLE0704 - called by logging inside its except clause
