"""Schemas, backups and what holds two sidecars together, on both databases."""

import asyncio
import gzip
import itertools
import json
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from support.stores import NOW, STORES, Store, assertion, completed, fresh, key, lesson, opened, record

from sidecar.errors import (
    BatchOutOfOrder,
    CaptureUsed,
    IdempotencyConflict,
    SchemaNewer,
    SchemaOld,
    StorageFailed,
    TokenReplayed,
)
from sidecar.storage import backup, inventory, schema, sealed
from sidecar.storage.postgres import Postgres
from sidecar.storage.sqlite import Sqlite

pytestmark = pytest.mark.anyio
Empty = Callable[[], Any]


@pytest.fixture(params=list(STORES))
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Empty:
    """Return drivers of fresh databases of one kind."""
    if request.param == "sqlite":
        return lambda: Sqlite(tmp_path / f"{fresh('file')}.db")
    url = request.getfixturevalue("postgres_url")
    return lambda: Postgres(url, fresh("empty").replace("-", "_"))


def shape(driver: Any) -> dict[str, list[str]]:
    connection = driver.writer()
    try:
        return {table: driver.columns(connection, table) for table in driver.tables(connection)}
    finally:
        connection.close()


class TestMigrations:
    @pytest.mark.parametrize("kind", ["data", "keys"])
    def test_ops5_every_step_forward_and_back_leads_to_the_same_schema(self, empty: Empty, kind: str) -> None:
        driver = empty()
        steps = [0, *(step.number for step in schema.migrations(kind))]
        newest = steps[-1]
        shapes = {0: {}}
        for before, number in itertools.pairwise(steps):
            assert schema.migrate(driver, kind, number) == (before, number)
            shapes[number] = shape(driver)
        for number, before in reversed(list(itertools.pairwise(steps))):
            assert schema.migrate(driver, kind, number) == (before, number)
            assert {n: c for n, c in shape(driver).items() if n != "schema_version"} == {
                n: sorted_columns for n, sorted_columns in shapes[number].items() if n != "schema_version"
            }
        assert schema.migrate(driver, kind) == (0, newest)
        assert shape(driver) == shapes[newest]

    async def test_ops5_profiles_survive_a_step_back_and_forth(self, store: Store) -> None:
        """Also what is sealed with the columns beside it."""
        await store.learning.import_samples([lesson(at=NOW + n) for n in range(12)], "origin")
        before = store.everything()
        newest = schema.migrations("data")[-1].number
        for to in (1, newest, 1, newest):
            schema.migrate(store.database.driver, "data", to)
        after = store.everything()
        for rows in (before, after):
            rows.pop("schema_version")
            rows.pop("entries")  # goes with its schema, and begins again with the samples
        assert after == before
        assert sealed.faults(store.database, store.keys) == []
        assert await store.correction.rebuild("one", "subject", "test", NOW) == {"password (keyboard)": True}

    def test_ops5_a_start_makes_tables_and_refuses_older_and_newer_ones(self, empty: Empty) -> None:
        driver = empty()
        schema.prepare(driver, "data")
        schema.prepare(driver, "data")
        schema.migrate(driver, "data", 1)
        with pytest.raises(SchemaOld, match="db migrate"):
            schema.prepare(driver, "data")
        schema.migrate(driver, "data")
        connection = driver.writer()
        connection.execute("INSERT INTO schema_version VALUES (99, 'coming', 0.0)")
        connection.close()
        with pytest.raises(SchemaNewer):
            schema.prepare(driver, "data")
        with pytest.raises(SchemaNewer):
            schema.migrate(driver, "data", 1)

    def test_a_database_of_somebody_else_is_left_alone(self, empty: Empty) -> None:
        driver = empty()
        connection = driver.writer()
        connection.execute("CREATE TABLE theirs (x TEXT)")
        connection.close()
        with pytest.raises(StorageFailed, match="no release of ours"):
            schema.prepare(driver, "data")
        assert shape(driver) == {"theirs": ["x"]}

    async def test_two_that_migrate_at_once_do_it_once(self, empty: Empty) -> None:
        driver = empty()
        results = await asyncio.gather(
            *(asyncio.to_thread(schema.prepare, driver, "data") for _ in range(4)), return_exceptions=True
        )
        # SQLite refuses to wait longer than its busy timeout; nobody may be left with half a schema.
        assert all(result is None or isinstance(result, StorageFailed) for result in results), results
        schema.prepare(driver, "data")

    def test_there_is_no_schema_between(self, empty: Empty) -> None:
        with pytest.raises(StorageFailed, match="no schema 77"):
            schema.migrate(empty(), "data", 77)


def test_prv5_the_inventory_is_the_schema(empty: Empty) -> None:
    """docs/data.md is made of the inventory; here it is compared with the tables that migrations make."""
    for kind in ("data", "keys"):
        driver = empty()
        schema.prepare(driver, kind)
        found = shape(driver)
        found.pop("schema_version")
        listed = {
            table.name: sorted(column.name for column in table.columns)
            for table in inventory.INVENTORY
            if table.store == kind
        }
        assert listed == {name: sorted(columns) for name, columns in found.items()}


def test_prv5_sealed_columns_are_those_that_a_check_opens() -> None:
    listed = {
        (table.name, column.name)
        for table in inventory.INVENTORY
        for column in table.columns
        if column.sealed == "own-key"
    }
    assert listed == sealed.columns()


async def fill(store: Store) -> None:
    for number in range(3):
        one = record(subject=f"person {number}")
        await store.decisions.record(one)
        await completed(store, one, lessons=[lesson(key=key(subject=f"person {number}"))])
    await store.learning.import_samples([lesson(at=NOW + n) for n in range(60)], "origin")
    await store.decisions.record(record())
    await store.captures.append(fresh("c"), 0, bytes(range(256)), int(NOW))
    await store.audit.checkpoint(NOW)


class TestBackups:
    @pytest.mark.parametrize(("source", "target"), list(permutations(STORES, 2)) + [(name, name) for name in STORES])
    async def test_ops5_a_backup_restores_into_either_database(
        self, source: str, target: str, tmp_path: Path, request: pytest.FixtureRequest
    ) -> None:
        (tmp_path / "a").mkdir()
        async with STORES[source](tmp_path / "a", request) as store:
            await fill(store)
            before = store.everything()
            backup.write(store.database.driver, "data", tmp_path / "data.backup")
            backup.write(store.keys._db.driver, "keys", tmp_path / "keys.backup")
        drivers = (
            (Sqlite(tmp_path / "b.db"), Sqlite(tmp_path / "bk.db"))
            if target == "sqlite"
            else [Postgres(request.getfixturevalue("postgres_url"), fresh(n).replace("-", "_")) for n in ("r", "rk")]
        )
        backup.restore(drivers[0], "data", tmp_path / "data.backup")
        backup.restore(drivers[1], "keys", tmp_path / "keys.backup")
        (tmp_path / "master.json").write_bytes((tmp_path / "a" / "master.json").read_bytes())
        async with opened(*drivers, tmp_path) as again:
            after = again.everything()
            before.pop("schema_version")
            after.pop("schema_version")
            assert after == before
            assert sealed.faults(again.database, again.keys) == []
            assert await again.audit.verify() == []
            await fill(again)  # and life goes on behind the restored rows
            assert await again.audit.verify() == []

    async def test_nothing_readable_is_in_it(self, store: Store, tmp_path: Path) -> None:
        await store.decisions.record(record(directory={"id": "someone-special", "name": "Special Name"}))
        backup.write(store.database.driver, "data", tmp_path / "b")
        assert b"pecial" not in gzip.decompress((tmp_path / "b").read_bytes())

    @pytest.mark.parametrize("damage", ["cut", "flipped", "shortened", "keys", "nothing", "newer", "no rows"])
    async def test_a_damaged_backup_restores_nothing(
        self, store: Store, empty: Empty, tmp_path: Path, damage: str
    ) -> None:
        await fill(store)
        path = tmp_path / "b"
        backup.write(store.database.driver, "data", path)
        raw = path.read_bytes()
        lines = gzip.decompress(raw).splitlines(keepends=True)
        head = json.loads(lines[0])
        path.write_bytes(
            {
                "cut": raw[: len(raw) // 2],
                "flipped": raw[:500] + bytes([raw[500] ^ 1]) + raw[501:],
                "shortened": gzip.compress(b"".join(lines[:-3])),
                "keys": gzip.compress(json.dumps(head | {"kind": "keys"}).encode() + b"\n" + b"".join(lines[1:])),
                "nothing": b"",
                "newer": gzip.compress(json.dumps(head | {"schema": 99}).encode() + b"\n" + b"".join(lines[1:])),
                "no rows": gzip.compress(b"".join(lines[:-2] + lines[-1:])),
            }[damage]
        )
        driver = empty()
        with pytest.raises(StorageFailed):
            backup.restore(driver, "data", path)
        assert shape(driver) in ({}, {"schema_version": ["number", "name", "at"]})
        schema.prepare(driver, "data")

    async def test_only_an_empty_database_is_restored_into(self, store: Store, tmp_path: Path) -> None:
        await fill(store)
        backup.write(store.database.driver, "data", tmp_path / "b")
        before = store.everything()
        with pytest.raises(StorageFailed, match="not empty"):
            backup.restore(store.database.driver, "data", tmp_path / "b")
        assert store.everything() == before


class TestTwoSidecars:
    """Two sidecars on one PostgreSQL give one answer."""

    @pytest.fixture
    async def both(self, tmp_path: Path, postgres_url: str) -> Any:
        names = fresh("shared").replace("-", "_")
        async with (
            opened(Postgres(postgres_url, names), Postgres(postgres_url, f"{names}_keys"), tmp_path) as one,
            opened(Postgres(postgres_url, names), Postgres(postgres_url, f"{names}_keys"), tmp_path) as two,
        ):
            yield one, two

    async def test_ops2_what_one_has_used_the_other_refuses(self, both: tuple[Store, Store]) -> None:
        one, two = both
        used = record()
        await one.decisions.record(used)
        for error, changed in (
            (TokenReplayed, {"assertion": used.assertion}),
            (CaptureUsed, {"uses": used.uses}),
            (CaptureUsed, {"digests": used.digests}),
            (IdempotencyConflict, {"idempotency": used.idempotency}),
        ):
            with pytest.raises(error):
                await two.decisions.record(record(**changed))
        with pytest.raises(TokenReplayed):
            await two.assertions.spend(used.assertion)
        with pytest.raises(CaptureUsed):
            await two.captures.append(used.uses[0].removeprefix("capture:"), 1, b"x", int(NOW) + 600)
        found = await two.decisions.repeated("http://idp", str(used.idempotency and used.idempotency[0]))
        assert found
        assert found[1].id == used.id

    async def test_ops2_batches_sent_to_one_are_seen_by_the_other(self, both: tuple[Store, Store]) -> None:
        one, two = both
        await one.captures.append("c", 0, b"first", int(NOW) + 600)
        await two.captures.append("c", 1, b"second", int(NOW) + 600)
        assert await one.captures.waiting("c") == await two.captures.waiting("c") == [(0, b"first"), (1, b"second")]
        with pytest.raises(BatchOutOfOrder):
            await one.captures.append("c", 1, b"again", int(NOW) + 600)

    async def test_ops2_of_many_at_once_at_both_exactly_one_wins(self, both: tuple[Store, Store]) -> None:
        for changed in ({"uses": ("capture:c",)}, {"assertion": assertion()}, {"digests": ("d",)}):
            results = await asyncio.gather(
                *(store.decisions.record(record(**changed)) for store in both for _ in range(10)),
                return_exceptions=True,
            )
            assert sum(result is None for result in results) == 1, changed
            assert sum(isinstance(result, TokenReplayed | CaptureUsed) for result in results) == 19

    async def test_ops2_samples_learned_at_both_at_once_are_all_in_the_template(
        self, both: tuple[Store, Store]
    ) -> None:
        lessons = [lesson(at=NOW + number) for number in range(24)]
        await asyncio.gather(
            *(store.learning.import_samples([one], "origin") for one, store in zip(lessons, both * 12, strict=True))
        )
        (found,) = await both[0].profiles.find("one", "subject")
        assert found.samples == 24
        assert await both[1].correction.rebuild("one", "subject", "test", NOW) == {"password (keyboard)": True}

    async def test_sec7_ops2_both_write_one_chain(self, both: tuple[Store, Store]) -> None:
        await asyncio.gather(
            *(
                store.learning.import_samples([lesson(key=key(subject=fresh()))], "x")
                for store in both
                for _ in range(20)
            ),
            *(store.audit.checkpoint(NOW + n) for n, store in enumerate(both * 3)),
        )
        assert await both[0].audit.verify() == []
        assert (await both[1].audit.lengths())["one"] == 40

    async def test_ops2_they_share_the_keys(self, both: tuple[Store, Store]) -> None:
        one, two = both
        await one.learning.import_samples([lesson(at=NOW + n) for n in range(12)], "origin")
        assert (await two.profiles.find("one", "subject"))[0].samples == 12
        assert await two.keys.destroy("one", "subject")
        assert await one.profiles.find("one", "subject") == []
        assert one.keys.keyring(["one"]).pseudonym("one", "x") == two.keys.keyring(["one"]).pseudonym("one", "x")
