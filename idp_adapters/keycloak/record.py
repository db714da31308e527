"""What an installation changed, with the old values.

A change is two lines: the intention with the old value, durable before anything is changed, and a confirmation after it. A run
that was killed between them leaves an intention, and the next run sees in the realm whether it was carried out.
"""

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidecar.errors import GaitkeeperError


class RecordDamaged(GaitkeeperError):
    """The record of changes cannot be read; the message names the line."""

    code = "record_damaged"


@dataclass(slots=True)
class Entry:
    """One change. ``made``: it is known to have been carried out."""

    number: int
    what: str
    before: Any
    after: Any
    made: bool = False


class Record:
    """The file of one realm's changes. It holds configuration, never a key."""

    def __init__(self, path: Path) -> None:
        """Read the file, if there is one. Raises RecordDamaged."""
        self._path = path
        text = path.read_bytes() if path.exists() else b""
        whole, self._torn = _without_torn_end(text)
        self._entries: list[Entry] = []
        for number, line in enumerate(whole.splitlines(), 1):
            if line.strip():
                self._read(line, f"{path}:{number}")
        self._length = len(whole)

    def intend(self, what: str, before: Any, after: Any) -> Entry:
        """Note a change that is about to be made; durable on return."""
        entry = Entry(len(self._entries) + 1, what, before, after)
        told = {"number": entry.number, "what": what, "before": before, "after": after}
        self._write({"at": round(time.time())} | told)
        self._entries.append(entry)
        return entry

    def confirm(self, entry: Entry) -> None:
        """Note that it was made."""
        self._write({"at": round(time.time()), "made": entry.number})
        entry.made = True

    def found(self, what: str, after: Any) -> None:
        """Confirm an intention that turns out to have been carried out."""
        last = self._last(what)
        if last and not last.made and last.after == after:
            self.confirm(last)

    def last(self, what: str) -> Entry | None:
        """Return the newest change of a setting that was made."""
        return next((entry for entry in reversed(self._entries) if entry.what == what and entry.made), None)

    def _last(self, what: str) -> Entry | None:
        return next((entry for entry in reversed(self._entries) if entry.what == what), None)

    def _read(self, line: bytes, where: str) -> None:
        try:
            told = json.loads(line)
            if "made" in told:
                if told["made"] < 1:
                    raise ValueError
                self._entries[told["made"] - 1].made = True
            else:
                entry = Entry(told["number"], told["what"], told["before"], told["after"])
                if entry.number != len(self._entries) + 1:
                    raise ValueError
                self._entries.append(entry)
        except (ValueError, KeyError, TypeError, IndexError):
            raise RecordDamaged(f"{where}: this is no line of a record of changes; put the file right") from None

    def _write(self, told: dict[str, Any]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            if self._torn:
                file.truncate(self._length)
                self._torn = False
            line = json.dumps(told).encode() + b"\n"
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
            self._length += len(line)


def _without_torn_end(text: bytes) -> tuple[bytes, bool]:
    """Return the text up to its last whole line: what was cut off in writing was not carried out, or is seen in the realm."""
    whole = text[: text.rfind(b"\n") + 1]
    return whole, len(whole) < len(text)
