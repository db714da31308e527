"""``gaitkeeper db migrate | backup | restore | check``, and the same for the key store."""

import asyncio
from pathlib import Path

from sidecar.administration.opened import noted
from sidecar.config import Settings
from sidecar.errors import ConfigInvalid
from sidecar.main import build, data_driver, key_driver, models
from sidecar.storage import agreement, schema, sealed
from sidecar.storage import backup as backups

KINDS = ("data", "keys")


def migrate(settings: Settings, to: int | None) -> list[str]:
    """Bring both databases to this version's schema, or the data's to another one; return what was done."""
    done: list[str] = []
    moved: dict[str, list[int]] = {}
    for kind in KINDS if to is None else ("data",):
        driver = _driver(settings, kind)
        before, after = schema.migrate(driver, kind, to)
        driver.close()
        if before not in (0, after):
            moved[kind] = [before, after]
        done.append(
            f"{kind}: schema {before} -> {after}" if before != after else f"{kind}: schema {after}, nothing to do"
        )
    if moved and to is None:  # an older schema is nothing this version can write to
        noted(settings, "db.migrated", moved)
    return done


def backup(settings: Settings, kind: str, path: Path) -> int:
    """Write a backup of the data or of the keys; never both in one file. Raises StorageFailed, ConfigInvalid."""
    if path.exists():
        raise ConfigInvalid(f"{path} exists")
    noted(settings, "db.backed_up", {"of": kind})
    driver = _driver(settings, kind)
    try:
        return backups.write(driver, kind, path)
    finally:
        driver.close()


def restore(settings: Settings, kind: str, path: Path) -> int:
    """Restore a backup into an empty database. Raises StorageFailed."""
    driver = _driver(settings, kind)
    try:
        return backups.restore(driver, kind, path)
    finally:
        driver.close()


def check(settings: Settings) -> list[str]:
    """Return what is wrong with the databases: damage, rows that do not open, rows that do not agree, broken chains, keys that do
    not unwrap.
    """
    sidecar = build(settings)
    try:
        rules, now = settings.retention, sidecar.assessor.clock()
        data, keys, audit = sidecar.database, sidecar.keys, sidecar.audit
        faults = [*_damage(settings), *keys.check(), *sealed.faults(data, keys)]
        faults += agreement.faults(data, keys, audit, models(settings), rules, now)
        chains = asyncio.run(audit.verify())
        return faults + [f"audit {fault.tenant}, row {fault.number}: {fault.what}" for fault in chains]
    finally:
        sidecar.close()


def _damage(settings: Settings) -> list[str]:
    driver = data_driver(settings)
    connection = driver.reader()
    try:
        return [f"{driver.where}: {text}" for text in driver.faults(connection)]
    finally:
        connection.close()
        driver.close()


def _driver(settings: Settings, kind: str) -> "schema.Dialect":
    if kind not in KINDS:
        raise ConfigInvalid(f"choose {' or '.join(KINDS)}")
    return data_driver(settings) if kind == "data" else key_driver(settings)
