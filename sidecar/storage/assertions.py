"""Request assertions, each of which works once, at whichever sidecar it comes in."""

from sidecar.errors import TokenReplayed
from sidecar.ports import Assertion
from sidecar.storage.database import Connection, Database


class SqlAssertions:
    """Implements ``ports.Assertions``."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def spend(self, assertion: Assertion) -> None:
        """Use up an assertion on its own. Raises TokenReplayed, StorageFailed."""
        await self._db.write(lambda connection: use_assertion(connection, assertion))


def use_assertion(connection: Connection, assertion: Assertion) -> None:
    """Use up a jti in the transaction of the effect. Raises TokenReplayed."""
    done = connection.execute("INSERT INTO assertions VALUES (?, ?, ?) ON CONFLICT DO NOTHING", assertion)
    if not done.rowcount:
        raise TokenReplayed("the assertion's jti was used before")
