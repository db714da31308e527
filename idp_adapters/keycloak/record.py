"""What an installation changed, with the old values: one line a change, written before the next one is made."""

import json
import time
from pathlib import Path
from typing import Any


class Record:
    """The file of one realm's changes. It holds configuration, never a key."""

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self._entries: list[dict[str, Any]] = [json.loads(line) for line in lines if line.strip()]

    def add(self, what: str, before: Any, after: Any) -> None:
        """Note a change that was made."""
        entry = {"at": round(time.time()), "what": what, "before": before, "after": after}
        self._entries.append(entry)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as file:
            file.write(json.dumps(entry) + "\n")

    def last(self, what: str) -> dict[str, Any] | None:
        """Return the newest change of a setting."""
        return next((entry for entry in reversed(self._entries) if entry["what"] == what), None)
