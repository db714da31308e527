"""``gaitkeeper policy ...``: start, look over, test, compare, sign. Files only; no store, no server."""

import os
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Draft, test, compare, replay and sign policy files.")

File = Annotated[Path, typer.Argument(help="Policy file (YAML).", dir_okay=False)]
Files = Annotated[list[Path], typer.Argument(help="Policy files (YAML).", dir_okay=False)]
Moment = Annotated[str | None, typer.Option("--now", help="Decide as of this time (2026-11-21T12:00:00Z); else now.")]


@app.command()
def init(
    policy: File = Path("policy.yaml"),
    shipped: Annotated[str, typer.Option("--from", help="balanced, observe-only or strict.")] = "balanced",
    force: Annotated[bool, typer.Option("--force", help="Write over files that exist.")] = False,
) -> None:
    """Write a policy to start from, its tests, and the schemas that editors complete from."""
    from datetime import UTC, datetime

    from sidecar.drafting.files import start

    today = f"{datetime.now(UTC):%Y-%m-%d}"
    for path in start(policy, shipped=shipped, force=force, today=today):
        typer.echo(f"wrote {path}")


@app.command()
def lint(
    policies: Files,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail, too.")] = False,
    now: Moment = None,
) -> None:
    """Name mistakes, unreachable, contradictory and untested rules, and what expires; exit code 1 on errors."""
    from sidecar.drafting.files import suites_beside
    from sidecar.errors import PolicyInvalid
    from sidecar.policy.language import load
    from sidecar.policy.lint import lint as look_over
    from sidecar.policy.testing import coverage, run

    failing = 0
    for path in policies:
        try:
            policy = load(path)
            suites = suites_beside(path)
        except PolicyInvalid as error:
            typer.echo(_as_finding(error.message))
            failing += 1
            continue
        covered = coverage(policy, run(policy, suites)) if suites else None
        for finding in look_over(policy, moment(now), covered):
            typer.echo(finding.line(str(path)))
            failing += finding.severity == "error" or (strict and finding.severity == "warning")
    if failing:
        raise typer.Exit(1)


def _as_finding(message: str) -> str:
    """Put the word "error" where the other findings have theirs: after file, line and column."""
    file, line, column, said = message.split(":", 3)
    return f"{file}:{line}:{column}: error:{said}"


@app.command("test")
def run_tests(
    policies: Files,
    junit: Annotated[Path | None, typer.Option(help="Write the results as JUnit XML.")] = None,
    require_coverage: Annotated[
        bool, typer.Option("--require-coverage", help="Fail where a rule decides no case.")
    ] = False,
) -> None:
    """Run the *.test.yaml beside each policy and say which rules they tried; exit code 1 when a case fails."""
    from rich.console import Console
    from rich.table import Table

    from sidecar.drafting.files import suites_beside
    from sidecar.errors import BadRequest
    from sidecar.policy.language import load
    from sidecar.policy.testing import Result, coverage, run
    from sidecar.policy.testing import junit as as_junit

    failed, untried = 0, 0
    everything: list[Result] = []
    for path in policies:
        suites = suites_beside(path)
        if not suites:
            raise BadRequest(f"there is no {path.stem}.test.yaml beside {path}; gaitkeeper policy init writes one")
        policy = load(path)
        results = run(policy, suites)
        everything.extend(results)
        for result in results:
            for failure in result.failures:
                at = result.case.at
                typer.echo(f"{result.suite}:{at.line}:{at.column}: {result.case.name}: {failure}")
        failed += sum(1 for result in results if result.failures)
        covered = coverage(policy, results)
        table = Table(title=f"{policy.id}: {len(results)} cases", title_justify="left")
        for heading in ("rule or outcome", "decided", "looked at"):
            table.add_column(heading, justify="left" if heading == "rule or outcome" else "right")
        for entry in covered:
            table.add_row(entry.name, str(entry.decided) if entry.decided else "never", str(entry.looked_at))
        Console().print(table)
        untried += sum(1 for entry in covered[: len(policy.rules)] if not entry.decided)
    if junit is not None:
        junit.write_text(as_junit(everything))
    typer.echo(f"{len(everything) - failed} passed, {failed} failed, {untried} rules never tried")
    if failed or (require_coverage and untried):
        raise typer.Exit(1)


@app.command("key")
def new_key(name: Annotated[Path, typer.Argument(help="NAME.pem and NAME.pub.pem are written.")]) -> None:
    """Make a key pair to sign policies with. The private key belongs to a person or a pipeline, not to the sidecar."""
    from sidecar.errors import BadRequest
    from sidecar.policy.signature import fingerprint, new_key, read_public

    private, public = new_key()
    paths = Path(f"{name}.pem"), Path(f"{name}.pub.pem")
    if existing := [path for path in paths if path.exists()]:
        raise BadRequest(f"{existing[0]} exists; a key is not written over")
    descriptor = os.open(paths[0], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(private)
    paths[1].write_bytes(public)
    typer.echo(f"wrote {paths[0]} and {paths[1]}, key {fingerprint(read_public(public, str(paths[1])))}")


@app.command()
def sign(policy: File, key: Annotated[Path, typer.Option(help="Ed25519 private key (PEM).")]) -> None:
    """Sign a policy file; the signature stands beside it. A file that does not hold up is not signed."""
    from sidecar.policy.language import parse, read_bytes
    from sidecar.policy.signature import SUFFIX, fingerprint, read_private
    from sidecar.policy.signature import sign as signed

    raw = read_bytes(policy)
    parse(raw, str(policy))
    private = read_private(read(key), str(key))
    path = Path(f"{policy}{SUFFIX}")
    path.write_text(signed(raw, private))
    typer.echo(f"wrote {path}, key {fingerprint(private.public_key())}")


@app.command()
def verify(
    policy: File, key: Annotated[list[Path], typer.Option(help="Ed25519 public key (PEM). May be repeated.")]
) -> None:
    """Check a policy file's signature; exit code 2 where it is missing or wrong."""
    from sidecar.compiler import signature_beside
    from sidecar.policy.language import read_bytes
    from sidecar.policy.signature import read_public
    from sidecar.policy.signature import verify as verified

    keys = [read_public(read(path), str(path)) for path in key]
    found = verified(read_bytes(policy), signature_beside(policy), keys, str(policy))
    typer.echo(f"{policy}: signed by {found}")


def moment(given: str | None, otherwise: float | None = None) -> float:
    """Return epoch seconds of what was asked for, of the decision, or of now."""
    import time
    from datetime import UTC, datetime

    from sidecar.errors import BadRequest

    if given is None:
        return time.time() if otherwise is None else otherwise
    try:
        found = datetime.fromisoformat(given)
    except ValueError:
        raise BadRequest(f"--now {given!r} is no time; write 2026-11-21T12:00:00Z") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def read(path: Path) -> bytes:
    from sidecar.errors import BadRequest

    try:
        return path.read_bytes()
    except OSError as error:
        raise BadRequest(f"{path} cannot be read: {error.strerror}") from None


def as_json(value: object) -> str:
    import json

    return json.dumps(value, indent=1)
