"""The ``gaitkeeper`` command."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from sidecar import __version__
from sidecar.errors import GaitkeeperError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


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
    settings = load_settings(config)
    uvicorn.run(
        application(settings),
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=500,
        timeout_graceful_shutdown=3,
    )


@app.command()
def demo(
    port: Annotated[
        int, typer.Option(help="Port of the sidecar; the next two are the provider's and the application's.")
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
) -> None:
    """Play real people's recorded timings into the login and print what was decided."""
    from sidecar.rehearsal.command import run_rehearsal

    run_rehearsal(data=data, subjects=subjects, seed=seed, in_process_only=in_process, json_path=json)


def main() -> None:
    """Run the command; our own errors become one line and exit code 2."""
    try:
        app()
    except GaitkeeperError as error:
        typer.echo(f"gaitkeeper: {error.code}: {error.message}", err=True)
        sys.exit(2)
