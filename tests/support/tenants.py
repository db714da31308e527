"""Two tenants side by side: what one has, and whether a try of the other's left it alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sidecar.main import Sidecar

Rows = set[tuple[str, str, str]]


def rows(sidecar: Sidecar) -> Rows:
    """Every row of both databases as (table, its tenant or nothing, its content)."""
    found: Rows = set()
    for database in (sidecar.database, sidecar.keys._db):
        driver: Any = database.driver
        connection = driver.reader()
        try:
            for table in driver.tables(connection):
                columns = driver.columns(connection, table)
                for row in connection.execute(f"SELECT * FROM {table}").fetchall():
                    tenant = row[columns.index("tenant")] if "tenant" in columns else ""
                    found.add((table, str(tenant), repr(row)))
        finally:
            connection.close()
    return found


@contextmanager
def untouched(sidecar: Sidecar, tenant: str = "one") -> Iterator[None]:
    """See that nothing of a tenant's is changed, removed or added; deliveries of effects go on by themselves."""
    before = rows(sidecar)
    others = sidecar.database.read("SELECT id FROM decisions WHERE tenant <> ?", (tenant,))
    yield
    after = rows(sidecar)
    gone = {row for row in before - after if row[1] in (tenant, "") and row[0] != "outbox"}
    assert {row for row in gone if not any(repr(other) in row[2] for (other,) in others)} == set()
    assert {row for row in after - before if row[1] == tenant and row[0] != "outbox"} == set()
    assert _effects(before, tenant) == _effects(after, tenant)


def _effects(found: Rows, tenant: str) -> int:
    return sum(1 for table, whose, _ in found if table == "outbox" and whose == tenant)
