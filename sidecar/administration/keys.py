"""``gaitkeeper keys init | check | rotate | rewrap | prune``: all of them may run beside a serving sidecar.

Each is a row of the installation's audit chain. What changes keys is noted before it begins.
"""

from pathlib import Path

import typer

from sidecar.administration.opened import noted
from sidecar.config import Settings, is_url
from sidecar.errors import ConfigInvalid, GaitkeeperError
from sidecar.main import open_keys
from sidecar.masters import Masters
from sidecar.storage.keystore import SqlKeys


def init(settings: Settings) -> None:
    """Make the master key's file and the key store. Raises ConfigInvalid when there is one already."""
    kind, _, where = settings.master.partition(":")
    if not is_url(settings.key_store) and Path(settings.key_store).exists():
        raise ConfigInvalid(f"{settings.key_store} exists; there is nothing to begin")
    if kind == "file":
        Masters.init(Path(where))
    keys = open_keys(settings)
    try:
        keys.keyring(settings.tenants)
    finally:
        keys.close()
    noted(settings, "keys.made", {"store": "postgresql" if is_url(settings.key_store) else "file"})
    typer.echo(f"master keys: {settings.master}")
    typer.echo(f"users' keys: {settings.key_store}")
    typer.echo("Keep backups of both apart from those of the data.")


def check(settings: Settings) -> bool:
    """Unwrap every key and say what wraps how many; False when one does not unwrap."""
    keys = _existing(settings)
    try:
        for master, count in sorted(keys.masters_in_use().items()):
            typer.echo(f"master key {master}: wraps {count}")
        faults = keys.check()
    finally:
        keys.close()
    for fault in faults:
        typer.echo(fault, err=True)
    try:
        noted(settings, "keys.checked", {"faults": len(faults)})
    except GaitkeeperError as error:  # a check is for when something is broken; it must not need what it checks
        typer.echo(f"the audit chain could not be told: {error.message}", err=True)
    typer.echo(f"{len(faults)} keys do not unwrap" if faults else "every key unwraps")
    return not faults


def rotate(settings: Settings) -> None:
    """Make a new master key and wrap every key under it. The old one stays in the file until ``prune``."""
    kind, _, where = settings.master.partition(":")
    masters = Masters(settings.master)
    noted(settings, "keys.rotated", {"from": masters.current})
    typer.echo(f"new master key {masters.rotate()} ({kind}:{where})")
    rewrap(settings)


def prune(settings: Settings) -> None:
    """Remove master keys that wrap nothing any more from the file; run it when every replica uses the current one."""
    noted(settings, "keys.pruned", {})
    keys = _existing(settings)
    try:
        gone = Masters(settings.master).drop_unused(set(keys.masters_in_use()))
    finally:
        keys.close()
    for name in gone:
        typer.echo(f"removed master key {name}")


def rewrap(settings: Settings) -> None:
    """Wrap every key under the current master key. May be killed and started again."""
    noted(settings, "keys.rewrapped", {"to": Masters(settings.master).current})
    keys = _existing(settings)
    try:
        done = keys.rewrap(lambda count: typer.echo(f"{count} keys rewrapped"))
    finally:
        keys.close()
    typer.echo(f"done: {done} keys were behind")


def _existing(settings: Settings) -> SqlKeys:
    if not is_url(settings.key_store) and not Path(settings.key_store).exists():
        raise ConfigInvalid(f"{settings.key_store} does not exist; run keys init, or correct keys.store")
    return open_keys(settings)
