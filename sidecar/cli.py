"""The ``gaitkeeper`` command."""

import contextlib
import sys
from pathlib import Path
from typing import Annotated, TextIO, cast

import typer

from idp_adapters.keycloak.commands import keycloak
from sidecar import __version__
from sidecar.administration import commands
from sidecar.administration.policy_commands import app as policy
from sidecar.errors import GaitkeeperError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
evaluate = typer.Typer(no_args_is_help=True, help="Measure error rates on recorded people.")
app.add_typer(evaluate, name="evaluate")
for name, group in commands.GROUPS.items():
    app.add_typer(group, name=name)
app.add_typer(policy, name="policy")
app.add_typer(keycloak, name="keycloak")


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


class StandardError:
    """Where ``serve`` logs. It may be a full disk or a pipe that nobody reads: that must not cost anybody a login."""

    def write(self, text: str) -> None:
        """Write, or lose the line."""
        with contextlib.suppress(OSError):
            sys.stderr.write(text)

    def flush(self) -> None:
        """Flush what can be."""
        with contextlib.suppress(OSError):
            sys.stderr.flush()


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
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", StandardError())),
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
    keycloak: Annotated[
        Path | None, typer.Option(help="A server with our jar, as make demo-keycloak leaves it: play there.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures to this file.")] = None,
    require: Annotated[
        bool, typer.Option("--require", help="Exit with 1 when the required figures are not reached.")
    ] = False,
) -> None:
    """Play real people's recorded timings into the login and print what was decided."""
    from sidecar.rehearsal.command import run_rehearsal

    reached = run_rehearsal(
        data=data,
        subjects=subjects,
        seed=seed,
        in_process_only=in_process,
        keycloak=keycloak,
        json_path=json,
        require=require,
    )
    if not reached:
        raise typer.Exit(1)


@app.command()
def recalibrate(
    config: Annotated[Path, typer.Option("--config", "-c", help="Settings file (TOML).")],
    tenant: Annotated[str | None, typer.Option(help="One tenant; all if left out.")] = None,
    dry: Annotated[bool, typer.Option("--dry-run", help="Say what would hold, and keep nothing.")] = False,
    reset: Annotated[bool, typer.Option("--reset", help="Go back to scores as shipped.")] = False,
) -> None:
    """Put scores right by the installation's own logins; for cron. Interrupted, it goes on where it was."""
    from sidecar.administration import recalibrate as commands

    commands.command(config, tenant, reset=reset, dry=dry)


@evaluate.command("keystroke")
def evaluate_keystroke(
    data: Annotated[Path, typer.Option(help="A fixed-text set: a file, its folder, or a folder of sets.")],
    setting: Annotated[
        list[str] | None, typer.Option(help="A setting of docs/evaluation.md, or all (the default). May be repeated.")
    ] = None,
    detector: Annotated[str, typer.Option(help="A detector's or a baseline's name, or all.")] = "nearest-recent-2",
    baselines: Annotated[
        str, typer.Option(help="standard, literature (two-class papers as well), or none but scaled Manhattan.")
    ] = "standard",
    seed: Annotated[int, typer.Option(min=0)] = 1,
    jobs: Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="Processes; all cores if left out.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the rows to this file.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the report with its charts to this file.")] = None,
    det: Annotated[Path | None, typer.Option(help="Write the DET chart of the first setting to this SVG file.")] = None,
    require: Annotated[
        bool, typer.Option("--require", help="Exit code 1 where the shipped scorer misses an aim on the public sets.")
    ] = False,
) -> None:
    """Measure the detectors of typing beside the baselines of the literature."""
    from sidecar.evaluation.keystroke.command import Files, run_evaluation

    code = run_evaluation(
        data=data,
        setting=setting or ["all"],
        detector=detector,
        baselines=baselines,
        seed=seed,
        jobs=jobs,
        files=Files(json, html, det),
        require=require,
    )
    raise typer.Exit(code)


@evaluate.command("calibration")
def evaluate_calibration(
    decisions: Annotated[
        Path, typer.Option(help='Labelled decisions, a JSON object a line: {"llr": 1.2, "own": true}.')
    ],
    state: Annotated[Path, typer.Option(help="Counts so far; made if missing, gone on from if there.")],
) -> None:
    """Count an installation's labelled decisions and print what would put its calibration right; fit for cron."""
    from sidecar.evaluation.recalibration import run_recalibration

    run_recalibration(decisions=decisions, state=state)


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

    raise typer.Exit(run_attacks(data=data, detector=detector, seed=seed, poisoning=poisoning, json_path=json))


def main() -> None:
    """Run the command; our own errors become one line and exit code 2."""
    try:
        app()
    except GaitkeeperError as error:
        typer.echo(f"gaitkeeper: {error.code}: {error.message}", err=True)
        sys.exit(2)
