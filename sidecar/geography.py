"""The only importer of the MaxMind reader: opens a database, answers look-ups."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import maxminddb

from sidecar.errors import ConfigInvalid


class GeoDatabase:
    """One database file in MaxMind's format, read into memory so that replacing the file disturbs nobody."""

    def __init__(self, path: Path) -> None:
        """Open a database. Raises ConfigInvalid where the file is missing or no such database."""
        try:
            self._reader = maxminddb.open_database(path, maxminddb.MODE_MEMORY)
        except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
            raise ConfigInvalid(f"{path} is no MaxMind database: {error}") from None

    @property
    def built_at(self) -> int:
        """Return when the database was built (epoch seconds), so that its age can be shown."""
        return int(self._reader.metadata().build_epoch)

    def __call__(self, address: str) -> Mapping[str, Any] | None:
        """Return the record of an address; None for what is unknown, no address, or of the other IP version."""
        try:
            found = self._reader.get(address)
        except (ValueError, maxminddb.InvalidDatabaseError):
            return None
        return found if isinstance(found, Mapping) else None
