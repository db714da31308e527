"""The administrators' commands as the command line shows them; what they do lives beside this file."""

import json as jsons
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sidecar.config import Settings

keys = typer.Typer(no_args_is_help=True, help="Master keys and users' keys.")
subject = typer.Typer(no_args_is_help=True, help="What is kept about one person, and what they may ask for.")
profile = typer.Typer(no_args_is_help=True, help="Templates: made again, taken back.")
db = typer.Typer(no_args_is_help=True, help="Databases: schema, backups, checks.")
audit = typer.Typer(no_args_is_help=True, help="The audit chains.")
recording = typer.Typer(no_args_is_help=True, help="Named recordings of people who agreed to one.")

GROUPS = {"keys": keys, "subject": subject, "profile": profile, "db": db, "audit": audit, "recording": recording}

Config = Annotated[Path, typer.Option("--config", "-c", help="Settings file (TOML).")]
Tenant = Annotated[str, typer.Option(help="Tenant of the identity provider.")]
Who = Annotated[str, typer.Argument(help="The identity provider's id of the user.")]
Kind = Annotated[str, typer.Option("--of", help="data or keys; never both in one file.")]


@keys.command("init")
def keys_init(config: Config) -> None:
    """Make master key and key store."""
    from sidecar.administration import keys as commands

    commands.init(_settings(config))


@keys.command("check")
def keys_check(config: Config) -> None:
    """Unwrap every key; exit code 1 when one does not."""
    from sidecar.administration import keys as commands

    if not commands.check(_settings(config)):
        raise typer.Exit(1)


@keys.command("rotate")
def keys_rotate(config: Config) -> None:
    """Make a new master key and wrap every key under it; the sidecar may go on serving."""
    from sidecar.administration import keys as commands

    commands.rotate(_settings(config))


@keys.command("rewrap")
def keys_rewrap(config: Config) -> None:
    """Finish a rotation: wrap every key under the current master key."""
    from sidecar.administration import keys as commands

    commands.rewrap(_settings(config))


@keys.command("prune")
def keys_prune(config: Config) -> None:
    """Remove master keys that wrap nothing any more."""
    from sidecar.administration import keys as commands

    commands.prune(_settings(config))


@subject.command("show")
def subject_show(who: Who, config: Config, tenant: Tenant) -> None:
    """Print consent, states and counts of one person."""
    from sidecar.administration import subject as commands

    typer.echo(commands.readable(commands.show(_settings(config), tenant, who)))


@subject.command("export")
def subject_export(who: Who, config: Config, tenant: Tenant) -> None:
    """Print everything kept about one person as JSON (docs/privacy.md)."""
    from sidecar.administration import subject as commands

    typer.echo(commands.readable(commands.export(_settings(config), tenant, who)))


@subject.command("pause")
def subject_pause(who: Who, config: Config, tenant: Tenant) -> None:
    """Score and learn nothing of a person until resumed; nothing is erased."""
    from sidecar.administration import subject as commands

    commands.pause(_settings(config), tenant, who, paused=True)
    typer.echo("paused")


@subject.command("resume")
def subject_resume(who: Who, config: Config, tenant: Tenant) -> None:
    """Score and learn of a person again."""
    from sidecar.administration import subject as commands

    commands.pause(_settings(config), tenant, who, paused=False)
    typer.echo("resumed")


@subject.command("forget")
def subject_forget(who: Who, config: Config, tenant: Tenant) -> None:
    """Destroy a person's key and every row about them; backups of the data cannot be read for them any more."""
    from sidecar.administration import subject as commands

    known = commands.forget(_settings(config), tenant, who)
    typer.echo("forgotten" if known else "there was no key; any rows are gone")


@subject.command("mark")
def subject_mark(
    who: Who,
    mark: Annotated[str, typer.Argument(help="safe, compromised, or none to take a mark away.")],
    config: Config,
    tenant: Tenant,
    days: Annotated[float | None, typer.Option(help="For how many days; left out, until taken away.")] = None,
) -> None:
    """Say of an account that it is safe or compromised; policies read it as mark.state."""
    from sidecar.administration import subject as commands

    typer.echo(commands.mark(_settings(config), tenant, who, mark, days))


@profile.command("rebuild")
def profile_rebuild(who: Who, config: Config, tenant: Tenant) -> None:
    """Make a person's templates again from the evidence log; exit code 1 when one was not the same, bit for bit."""
    from sidecar.administration import profile as commands

    done = commands.rebuild(_settings(config), tenant, who)
    for name, same in done.items():
        typer.echo(f"{name}: {'the same' if same else 'was different, and is made anew'}")
    if not all(done.values()):
        raise typer.Exit(1)


@profile.command("unlearn")
def profile_unlearn(
    who: Who,
    config: Config,
    tenant: Tenant,
    since: Annotated[str, typer.Option(help="From when on, as 2026-11-21T09:30 (UTC unless it says otherwise).")],
) -> None:
    """Take back what was learned since a moment: somebody else was in."""
    from sidecar.administration import profile as commands

    words = {
        "exact": "as it was at that moment",
        "checkpoint": "a copy from before that moment; its samples are past their retention",
        "remaining": "made of the samples that are left",
        "nothing": "gone; it will be learned anew",
    }
    for name, how in commands.unlearn(_settings(config), tenant, who, since).items():
        typer.echo(f"{name}: {words[how]}")


@profile.command("confirm")
def profile_confirm(who: Who, config: Config, tenant: Tenant) -> None:
    """Vouch for samples that only a password stood for (the person was identified in another way)."""
    from sidecar.administration import profile as commands

    typer.echo(f"{commands.confirm(_settings(config), tenant, who)} samples vouched for")


@profile.command("reset")
def profile_reset(who: Who, config: Config, tenant: Tenant, field: Annotated[str, typer.Option()] = "password") -> None:
    """Forget one field's profile."""
    from sidecar.administration import profile as commands

    commands.reset(_settings(config), tenant, who, field)
    typer.echo(f"{field}: forgotten")


@db.command("migrate")
def db_migrate(
    config: Config, to: Annotated[int | None, typer.Option(help="Schema of the data to go to, also back.")] = None
) -> None:
    """Bring the databases to this version's schema."""
    from sidecar.administration import db as commands

    for line in commands.migrate(_settings(config), to):
        typer.echo(line)


@db.command("backup")
def db_backup(path: Path, config: Config, kind: Kind = "data") -> None:
    """Write a backup of data or keys; the sidecar may go on serving."""
    from sidecar.administration import db as commands

    typer.echo(f"{commands.backup(_settings(config), kind, path)} rows in {path}")


@db.command("restore")
def db_restore(path: Path, config: Config, kind: Kind = "data") -> None:
    """Restore a backup into an empty database, of either kind."""
    from sidecar.administration import db as commands

    typer.echo(f"{commands.restore(_settings(config), kind, path)} rows restored")


@db.command("check")
def db_check(config: Config) -> None:
    """Look for damage, rows that do not open, broken chains; exit code 1 when there is any."""
    from sidecar.administration import db as commands

    faults = commands.check(_settings(config))
    for fault in faults:
        typer.echo(fault, err=True)
    typer.echo(f"{len(faults)} faults" if faults else "no fault")
    if faults:
        raise typer.Exit(1)


@audit.command("verify")
def audit_verify(
    config: Config,
    witness: Annotated[Path | None, typer.Option(help="What the second place holds, to see what was cut off.")] = None,
    key: Annotated[str | None, typer.Option(help="Public key from elsewhere, in hex.")] = None,
) -> None:
    """Find any changed, removed or reordered row; exit code 1 when there is one."""
    from sidecar.administration import audit as commands

    faults, lengths = commands.verify(_settings(config), witness, key)
    for fault in faults:
        typer.echo(f"{fault.tenant}, row {fault.number}: {fault.what}", err=True)
    for tenant, length in sorted(lengths.items()):
        typer.echo(f"{tenant}: {length} rows")
    typer.echo(f"{len(faults)} faults" if faults else "every chain holds")
    if faults:
        raise typer.Exit(1)


@audit.command("key")
def audit_key(config: Config) -> None:
    """Print the public key that signs checkpoints; keep a copy elsewhere."""
    from sidecar.administration import audit as commands

    typer.echo(commands.public_key(_settings(config)))


@audit.command("show")
def audit_show(
    config: Config,
    tenant: Annotated[str, typer.Option(help="Tenant, or * for what concerns the installation.")] = "*",
    count: Annotated[int, typer.Option(min=1, max=10_000)] = 20,
) -> None:
    """Print the newest rows of a chain, newest first, one JSON object a line."""
    from sidecar.administration import audit as commands

    for row in commands.newest(_settings(config), tenant, count):
        typer.echo(jsons.dumps(row))


@recording.command("begin")
def recording_begin(
    name: str,
    config: Config,
    tenant: Tenant,
    purpose: Annotated[str, typer.Option(help="What it is for, in words.")],
    days: Annotated[float, typer.Option(help="For how many days, 90 at most.")] = 7.0,
) -> None:
    """Begin to keep event streams of people who agreed to this recording by name."""
    from sidecar.administration import recording as commands

    commands.begin(_settings(config), tenant, name, purpose, days)
    typer.echo("begun")


@recording.command("end")
def recording_end(name: str, config: Config, tenant: Tenant) -> None:
    """End a recording now."""
    from sidecar.administration import recording as commands

    if not commands.end(_settings(config), tenant, name):
        typer.echo("no such recording runs", err=True)
        raise typer.Exit(1)
    typer.echo("ended")


@recording.command("list")
def recording_list(config: Config, tenant: Tenant) -> None:
    """Print a tenant's recordings."""
    from sidecar.administration import recording as commands

    for row in commands.known(_settings(config), tenant):
        typer.echo(jsons.dumps(row))


def _settings(config: Path) -> "Settings":
    from sidecar.config import load_settings

    return load_settings(config)
