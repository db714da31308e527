"""The last policy that was good, in a file of this sidecar's own, so that a restart need not trust what the store says now."""

import contextlib
import os
from pathlib import Path

import msgspec
import structlog

from sidecar.ports import PolicyVersion

log = structlog.get_logger()

NAME = "policy.last-good.json"


class LastGoodFile:
    """Implements ``ports.LastGood``. What does not read as a version counts as none; nothing here ever stops a login."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / NAME

    def load(self) -> PolicyVersion | None:
        """Return the version that was kept."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=PolicyVersion)
        except (OSError, msgspec.DecodeError, ValueError):
            return None

    def keep(self, version: PolicyVersion) -> None:
        """Put a version in place of the one before, all of it or nothing."""
        fresh = self._path.with_suffix(f".{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_bytes(msgspec.json.encode(version))
            fresh.replace(self._path)
        except OSError as error:  # a full disk costs the next restart its memory, and nobody a login
            log.error("last_good_not_kept", error=str(error)[:200])
            with contextlib.suppress(OSError):
                fresh.unlink()
