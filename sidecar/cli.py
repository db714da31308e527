"""The ``gaitkeeper`` command."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sidecar import __version__
from sidecar.errors import GaitkeeperError

if TYPE_CHECKING:
    from sidecar.config import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
evaluate = typer.Typer(no_args_is_help=True, help="Measure error rates on recorded people.")
app.add_typer(evaluate, name="evaluate")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gaitkeeper {__version__}")
        raise typer.Exit


@app.callback()
def gaitkeeper(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Behavioral biometrics for identity providers."""


@app.command()
def serve(config: Annotated[Path, typer.Option("--config", "-c", help="Settings file (TOML).")]) -> None:
    """Run the sidecar."""
    import os
    import resource

    import structlog
    import uvicorn

    from sidecar.config import load_settings
    from sidecar.main import application

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    os.umask(0o077)  # databases and keys are their owner's alone
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    settings = load_settings(config)
    uvicorn.run(
        application(settings),
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=5000,  # open connections, also idle ones: not a place to be stingy (SECURITY.md)
        timeout_graceful_shutdown=3,
    )


@app.command()
def demo(
    port: Annotated[
        int, typer.Option(max=65533, help="Port of the sidecar; the next two are the provider's and the application's.")
    ] = 8800,
    state: Annotated[Path, typer.Option(help="Directory for keys and databases.")] = Path(".gaitkeeper/demo"),
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the login page.")] = True,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget an earlier demo first.")] = False,
) -> None:
    """Run the sidecar, a demo identity provider and a demo application."""
    from sidecar.demo.launch import run_demo

    run_demo(port=port, state=state, browser=browser, fresh=fresh)


@app.command()
def rehearse(
    data: Annotated[Path | None, typer.Option(help="Keystroke set (CMU layout): a file or its folder.")] = None,
    subjects: Annotated[int, typer.Option(min=2, max=51)] = 5,
    seed: Annotated[int, typer.Option()] = 1,
    in_process: Annotated[bool, typer.Option("--in-process", help="The same use cases without a browser.")] = False,
    json: Annotated[Path | None, typer.Option(help="Write the figures to this file.")] = None,
    require: Annotated[
        bool, typer.Option("--require", help="Exit with 1 when the required figures are not reached.")
    ] = False,
) -> None:
    """Play real people's recorded timings into the login and print what was decided."""
    from sidecar.rehearsal.command import run_rehearsal

    if not run_rehearsal(
        data=data, subjects=subjects, seed=seed, in_process_only=in_process, json_path=json, require=require
    ):
        raise typer.Exit(1)


@evaluate.command("keystroke")
def evaluate_keystroke(
    data: Annotated[Path, typer.Option(help="A fixed-text set: a file, its folder, or a folder of sets.")],
    setting: Annotated[str, typer.Option(help="A setting of docs/evaluation.md, or all.")] = "all",
    detector: Annotated[str, typer.Option(help="A detector's or a baseline's name, or all.")] = "all",
    baselines: Annotated[str, typer.Option(help="standard, or none but scaled Manhattan.")] = "standard",
    seed: Annotated[int, typer.Option(min=0)] = 1,
    jobs: Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="Processes; all cores if left out.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the rows to this file.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the report with its charts to this file.")] = None,
) -> None:
    """Measure the detectors of typing beside the baselines of the literature."""
    from sidecar.evaluation.keystroke.command import run_evaluation

    run_evaluation(
        data=data,
        setting=setting,
        detector=detector,
        baselines=baselines,
        seed=seed,
        jobs=jobs,
        json_path=json,
        html_path=html,
    )


@evaluate.command("attacks")
def evaluate_attacks(
    data: Annotated[Path, typer.Option(help="A fixed-text set: a file, its folder, or a folder of sets.")],
    detector: Annotated[str, typer.Option(help="A detector's name.")] = "nearest-recent-2",
    seed: Annotated[int, typer.Option(min=0)] = 1,
    poisoning: Annotated[bool, typer.Option("--poisoning/--no-poisoning", help="Play the poisoning too.")] = True,
    json: Annotated[Path | None, typer.Option(help="Write the figures to this file.")] = None,
) -> None:
    """Measure what bots, replays and poisoning reach, with and without the checks against them."""
    from sidecar.evaluation.attacks.command import run_attacks

    run_attacks(data=data, detector=detector, seed=seed, poisoning=poisoning, json_path=json)


keys = typer.Typer(no_args_is_help=True, help="Master keys and users' keys.")
subject = typer.Typer(no_args_is_help=True, help="What is kept about one person.")
app.add_typer(keys, name="keys")
app.add_typer(subject, name="subject")

Config = Annotated[Path, typer.Option("--config", "-c", help="Settings file (TOML).")]
Tenant = Annotated[str, typer.Option(help="Tenant of the identity provider.")]
Who = Annotated[str, typer.Argument(help="The identity provider's id of the user.")]


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
    """Print states and counts of one person."""
    from sidecar.administration import subject as commands

    typer.echo(commands.readable(commands.show(_settings(config), tenant, who)))


@subject.command("export")
def subject_export(who: Who, config: Config, tenant: Tenant) -> None:
    """Print everything kept about one person as JSON (docs/privacy.md)."""
    from sidecar.administration import subject as commands

    typer.echo(commands.readable(commands.export(_settings(config), tenant, who)))


@subject.command("forget")
def subject_forget(who: Who, config: Config, tenant: Tenant) -> None:
    """Destroy a person's key and every row about them; backups of the data cannot be read for them any more."""
    from sidecar.administration import subject as commands

    known = commands.forget(_settings(config), tenant, who)
    typer.echo("forgotten" if known else "there was no key; any rows are gone")


def _settings(config: Path) -> "Settings":
    from sidecar.config import load_settings

    return load_settings(config)


def main() -> None:
    """Run the command; our own errors become one line and exit code 2."""
    try:
        app()
    except GaitkeeperError as error:
        typer.echo(f"gaitkeeper: {error.code}: {error.message}", err=True)
        sys.exit(2)
