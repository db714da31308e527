"""``gaitkeeper policy ...``, the part that knows an installation: explaining and replaying what was decided, publishing."""

import json as jsons
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sidecar.drafting.commands import File, Moment, app, as_json, moment, read

__all__ = ["app"]

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.config import Settings
    from sidecar.domain.decisions import SignalValue
    from sidecar.policy.backtest import Recorded
    from sidecar.policy.language import Policy

FactsFile = Annotated[
    Path | None, typer.Option("--facts", help="JSON: the facts, or a recorded decision that holds them.")
]
OtherPolicy = Annotated[Path | None, typer.Option("--policy", help="Decide by this file instead.", dir_okay=False)]
DecisionId = Annotated[str | None, typer.Option("--decision", help="A recorded decision, by its id.")]
TenantName = Annotated[str | None, typer.Option("--tenant", help="The decision's tenant.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", "-c", help="Settings file (TOML) of the installation.")]
Config = Annotated[Path, typer.Option("--config", "-c", help="Settings file (TOML).")]
Percent = Annotated[
    float | None,
    typer.Option(min=0.0, max=100.0, help="For this share of people; everybody if left out, nobody beside --group."),
]
Groups = Annotated[list[str] | None, typer.Option("--group", help="For this group. May be repeated.")]
Note = Annotated[str, typer.Option(help="Why, for the history.")]
PolicyFile = Annotated[Path | None, typer.Argument(help="Policy file; left out, the one that decided.", dir_okay=False)]


@app.command()
def explain(
    policy: PolicyFile = None,
    facts: FactsFile = None,
    decision: DecisionId = None,
    tenant: TenantName = None,
    config: ConfigFile = None,
    now: Moment = None,
) -> None:
    """Say why facts, or a recorded decision, get the answer they get: every leaf with the values it saw."""
    from sidecar.policy.bands import rebanded
    from sidecar.policy.evaluate import decide
    from sidecar.policy.explain import explained

    loaded, known, at = _given(policy, facts, decision, tenant, config)
    known = rebanded(known, loaded.mismatch_from, loaded.prior)
    for line in explained(loaded, decide(loaded, known, moment(now, at))):
        typer.echo(line)


@app.command("what-if")
def what_if(
    changes: Annotated[list[str], typer.Option("--set", help="signal=value; null is not known. May be repeated.")],
    policy: PolicyFile = None,
    facts: FactsFile = None,
    decision: DecisionId = None,
    tenant: TenantName = None,
    config: ConfigFile = None,
    now: Moment = None,
) -> None:
    """Change signals of a decision and say what would have come of it."""
    from sidecar.policy.compare import words
    from sidecar.policy.explain import explained, read_change, shown
    from sidecar.policy.explain import what_if as twice

    loaded, known, at = _given(policy, facts, decision, tenant, config)
    wanted = dict(read_change(change) for change in changes)
    before, after = twice(loaded, known, wanted, moment(now, at))
    for name, value in wanted.items():
        typer.echo(f"{name}: {shown(known.get(name))} -> {shown(value)}")
    typer.echo(
        f"{words(before.consequence)} by {before.rule_id} -> {words(after.consequence)} by {after.rule_id}"
        if (before.consequence, before.rule_id) != (after.consequence, after.rule_id)
        else "the answer stays the same"
    )
    for line in explained(loaded, after):
        typer.echo(line)


@app.command()
def backtest(
    policy: File,
    decisions: Annotated[
        Path | None, typer.Option(help="Recorded decisions, one JSON object a line.", exists=True)
    ] = None,
    config: ConfigFile = None,
    tenant: TenantName = None,
    days: Annotated[float, typer.Option(help="With --config: how far back.")] = 30.0,
    names: Annotated[
        bool, typer.Option("--names", help="With --config: people by name; noted in the audit chain.")
    ] = False,
    jobs: Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="Processes; all cores if left out.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures to this file.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the page to this file.")] = None,
) -> None:
    """Replay recorded decisions against a policy: who would be asked more or less, and by which rule."""
    from rich.console import Console
    from rich.progress import Progress

    from sidecar.drafting.replay import replayed
    from sidecar.drafting.report import page, percent, points
    from sidecar.errors import BadRequest
    from sidecar.policy.backtest import report
    from sidecar.policy.language import parse, read_bytes

    raw = read_bytes(policy)
    cores = jobs or os.cpu_count() or 1
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("decisions", total=None)
        if decisions is not None:
            bar.update(task, total=decisions.stat().st_size)
            with decisions.open("rb") as file:
                found = replayed(
                    raw, str(policy), file, jobs=cores, progress=lambda _: bar.update(task, completed=file.tell())
                )
        elif config is not None:
            rows = _recorded(config, tenant, days, names)
            bar.update(task, total=len(rows))
            found = replayed(raw, str(policy), rows, jobs=cores, progress=lambda done: bar.advance(task, done))
        else:
            raise BadRequest("give --decisions, or --config of an installation")
    figures = report(found, parse(raw, str(policy)))
    if json is not None:
        json.write_text(as_json(figures) + "\n")
    if html is not None:
        html.write_text(page(figures))
    change = figures["difference"]
    interval = f" ({points(change['low'])} to {points(change['high'])})" if change["low"] is not None else ""
    typer.echo(f"{figures['decisions']:,} logins of {figures['subjects']:,} people")
    typer.echo(
        f"asked: {percent(figures['before']['share'])} as recorded, {percent(figures['after']['share'])} with {policy}"
    )
    typer.echo(f"{figures['more']:,} more, {figures['fewer']:,} fewer: {points(change['share'])}{interval}")
    for move in figures["moves"][:10]:
        typer.echo(
            f"{move['decisions']:>9,}  {move['from']} by {move['rule_before'] or '?'} -> {move['to']} by {move['rule_after']}"
        )


@app.command()
def publish(
    policy: File,
    config: Config,
    note: Note = "",
    percent: Percent = None,
    group: Groups = None,
    band: Annotated[
        float | None,
        typer.Option(
            min=0.0, max=1.0, help="Go back by itself when more than this share of ready people was challenged."
        ),
    ] = None,
) -> None:
    """Check a policy (compiled apart, tested, signature) and let it decide: at once, for a part, or after approval."""
    from sidecar.administration import policy as acts
    from sidecar.usecases.publish import audience, whom

    meant = audience(percent, group or ())
    number, slot = acts.publish(_settings(config), policy, note=note, meant=meant, band=band)
    typer.echo(f"version {number} is {slot} for {whom(meant)}")


@app.command()
def approve(
    number: int,
    config: Config,
    who: Annotated[str | None, typer.Option("--as", help="Your name, where one account serves several people.")] = None,
) -> None:
    """Approve a proposed version; its author cannot."""
    from sidecar.administration import policy as acts

    typer.echo(f"version {number} is {acts.approve(_settings(config), number, who)}")


@app.command()
def enforce(config: Config) -> None:
    """Let the staged version decide for everybody."""
    from sidecar.administration import policy as acts

    typer.echo(f"version {acts.enforce(_settings(config))} is enforced")


@app.command()
def withdraw(
    slot: Annotated[str, typer.Argument(help="proposed, staged or emergency")],
    config: Config,
) -> None:
    """Take a proposed, staged or emergency version away."""
    from sidecar.administration import policy as acts

    typer.echo(f"version {acts.withdraw(_settings(config), slot)} is withdrawn")  # type: ignore[arg-type] # checked there


@app.command()
def rollback(config: Config, why: Annotated[str, typer.Option(help="Why, for the audit chain.")] = "") -> None:
    """Put the version that was enforced before back."""
    from sidecar.administration import policy as acts

    typer.echo(f"version {acts.roll_back(_settings(config), why)} is enforced again")


@app.command()
def emergency(
    policy: File,
    config: Config,
    hours: Annotated[float, typer.Option(help="For how long, 168 at most.")] = 4.0,
    note: Note = "",
) -> None:
    """Let a policy decide at once for everybody, without approval, for a time; the audit chain says so."""
    from sidecar.administration import policy as acts

    typer.echo(
        f"version {acts.emergency(_settings(config), policy, note=note, hours=hours)} decides for {hours:g} hours"
    )


@app.command()
def restore(number: int, config: Config, note: Note = "") -> None:
    """Publish an earlier version again, with all its checks."""
    from sidecar.administration import policy as acts

    fresh, slot = acts.restore(_settings(config), number, note)
    typer.echo(f"version {number} is back as version {fresh}, {slot}")


@app.command()
def history(config: Config, count: Annotated[int, typer.Option(min=1, max=1000)] = 20) -> None:
    """Print the published versions, newest first."""
    from sidecar.administration import policy as acts
    from sidecar.policy.language import readable_moment

    for version in acts.history(_settings(config), count):
        typer.echo(
            f"{version.number:>5}  {readable_moment(version.at)}  {version.name:<24} {version.author}  {version.note}".rstrip()
        )


@app.command()
def show(number: int, config: Config) -> None:
    """Print the text of a published version, for diff and for the next one."""
    from sidecar.administration import policy as acts

    typer.echo(acts.source(_settings(config), number).decode(), nl=False)


@app.command()
def status(config: Config) -> None:
    """Print what is in force for whom, one JSON object a line."""
    from sidecar.administration import policy as acts

    for row in acts.status(_settings(config)):
        typer.echo(jsons.dumps(row))


def _recorded(config: Path, tenant: str | None, days: float, names: bool) -> "list[Recorded]":
    from sidecar.administration import policy as acts

    settings, now = _settings(config), time.time()
    return acts.recorded(settings, [tenant] if tenant else settings.tenants, now - days * 86_400, now + 1, names=names)


def _given(
    policy: Path | None, facts: Path | None, decision: str | None, tenant: str | None, config: Path | None
) -> "tuple[Policy, Mapping[str, SignalValue], float | None]":
    """Return policy, facts and when they were recorded, from files or from the installation. Raises BadRequest."""
    from sidecar.errors import BadRequest
    from sidecar.policy.language import load, parse

    if facts is not None and policy is not None and decision is None:
        return load(policy), *_facts(facts)
    if decision is None or tenant is None or config is None or facts is not None:
        raise BadRequest("give POLICY and --facts, or --decision, --tenant and --config")
    from sidecar.administration import policy as acts
    from sidecar.policy.explain import read_facts
    from sidecar.shipped import policy_directory

    settings = _settings(config)
    stored, source = acts.decision(settings, tenant, decision)
    if policy is not None:
        loaded = load(policy)
    elif source is not None:
        loaded = parse(source, str(stored.body["policy"]))
    else:
        loaded = load(settings.policy or policy_directory() / "default.yaml")
        if loaded.digest != stored.body.get("policy_digest"):
            raise BadRequest("the policy that decided is not at hand; name a file")
    return loaded, read_facts(stored.body["facts"]), stored.at


def _facts(path: Path) -> "tuple[Mapping[str, SignalValue], float | None]":
    """Read facts, and when they were recorded where the file says so."""
    import json

    from sidecar.errors import BadRequest
    from sidecar.policy.explain import read_facts

    try:
        found: Any = json.loads(read(path))
    except ValueError as error:
        raise BadRequest(f"{path} is not JSON: {error}") from None
    at = None
    if isinstance(found, dict) and "facts" in found:
        at = found.get("at")
        found = found["facts"]
    recorded = float(at) if isinstance(at, int | float) and not isinstance(at, bool) else None
    return read_facts(found), recorded


def _settings(config: Path) -> "Settings":
    from sidecar.config import load_settings

    return load_settings(config)
