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
    from collections.abc import Callable, Iterable, Iterator, Mapping

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
    from sidecar.administration import policy as acts
    from sidecar.drafting.report import page
    from sidecar.errors import BadRequest
    from sidecar.policy.language import read_bytes

    raw, cores = read_bytes(policy), jobs or os.cpu_count() or 1
    if decisions is not None:
        with decisions.open("rb") as file:
            figures = _replayed(raw, policy, file, cores, decisions.stat().st_size, file.tell)
    elif config is not None:
        settings, now = _settings(config), time.time()
        tenants = [tenant] if tenant else settings.tenants
        with acts.recorded(settings, tenants, now - days * 86_400, now + 1) as replay:
            figures = _replayed(raw, policy, replay.decisions(), cores)
            shown = [row["name"] for row in figures["most_affected"]]
            figures["people"] = replay.names(shown) if names else {}
    else:
        raise BadRequest("give --decisions, or --config of an installation")
    if json is not None:
        json.write_text(as_json(figures) + "\n")
    if html is not None:
        html.write_text(page(figures))
    for line in _summary(figures, policy):
        typer.echo(line)


def _replayed(
    raw: bytes,
    policy: Path,
    decisions: "Iterable[bytes] | Iterable[Recorded]",
    jobs: int,
    size: int | None = None,
    read_to: "Callable[[], int] | None" = None,
) -> dict[str, Any]:
    """Return the figures of a replay, with a bar while it runs. ``size``, ``read_to``: how much there is, how far it got."""
    from rich.console import Console
    from rich.progress import Progress

    from sidecar.drafting.replay import replayed
    from sidecar.policy.backtest import report
    from sidecar.policy.language import parse

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("decisions", total=size)

        def progress(done: int) -> None:
            if read_to is None:
                bar.advance(task, done)
            else:
                bar.update(task, completed=read_to())

        found = replayed(raw, str(policy), decisions, jobs=jobs, progress=progress)
    return report(found, parse(raw, str(policy)))


def _summary(figures: dict[str, Any], policy: Path) -> "Iterator[str]":
    from sidecar.policy.backtest import percent, points

    change = figures["difference"]
    interval = f" ({points(change['low'])} to {points(change['high'])})" if change["low"] is not None else ""
    yield f"{figures['decisions']:,} logins of {figures['subjects']:,} people"
    yield f"asked: {percent(figures['before']['share'])} as recorded, {percent(figures['after']['share'])} with {policy}"
    yield f"{figures['more']:,} more, {figures['fewer']:,} fewer: {points(change['share'])}{interval}"
    for move in figures["moves"][:10]:
        then, now = f"{move['from']} by {move['rule_before'] or '?'}", f"{move['to']} by {move['rule_after']}"
        yield f"{move['decisions']:>9,}  {then} -> {now}"


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
    percent: Percent = None,
    group: Groups = None,
) -> None:
    """Approve a proposed version for the audience it is proposed for; whoever proposed it cannot."""
    from sidecar.administration import policy as acts
    from sidecar.usecases.publish import audience, whom

    meant = audience(percent, group or ())
    typer.echo(f"version {number} is {acts.approve(_settings(config), number, meant)} for {whom(meant)}")


@app.command()
def enforce(config: Config) -> None:
    """Let the staged version decide for everybody; with four eyes, propose that."""
    from sidecar.administration import policy as acts

    number, slot = acts.enforce(_settings(config))
    typer.echo(f"version {number} is {slot} for everybody")


@app.command()
def withdraw(
    slot: Annotated[str, typer.Argument(help="proposed, staged or emergency")],
    config: Config,
) -> None:
    """Take a proposed, staged or emergency version away."""
    from sidecar.administration import policy as acts

    typer.echo(f"version {acts.withdraw(_settings(config), slot)} is withdrawn")  # type: ignore[arg-type] # checked there


@app.command()
def rollback(
    config: Config,
    why: Annotated[str, typer.Option(help="Why, for the audit chain.")] = "",
    to_file: Annotated[bool, typer.Option("--to-file", help="Back to the file of the settings.")] = False,
) -> None:
    """Put what was enforced before back."""
    from sidecar.administration import policy as acts

    number = acts.roll_back(_settings(config), why, to_file=to_file)
    typer.echo(f"version {number} is enforced again" if number else "the configured file decides again")


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

    typer.echo(acts.sources(_settings(config), [number])[number].decode(), nl=False)


@app.command()
def diff(
    old: Annotated[str, typer.Argument(help="Policy file, or with --config the number of a version.")],
    new: Annotated[str, typer.Argument(help="Policy file, or with --config the number of a version.")],
    json: Annotated[bool, typer.Option("--json", help="Print the changes as JSON.")] = False,
    config: ConfigFile = None,
    now: Moment = None,
) -> None:
    """Compare two files or published versions by meaning; exit code 1 where they differ."""
    from dataclasses import asdict

    from sidecar.policy.compare import differences
    from sidecar.policy.language import parse

    texts = _texts((old, new), config)
    changes = differences(parse(texts[old], old), parse(texts[new], new), moment(now))
    if json:
        typer.echo(as_json([asdict(change) for change in changes]))
    else:
        for change in changes:
            typer.echo(f"{change.direction:9}{change.subject}: {change.message}")
        if not changes:
            typer.echo("the same in meaning")
    if changes:
        raise typer.Exit(1)


@app.command()
def status(config: Config) -> None:
    """Print what is in force for whom, one JSON object a line."""
    from sidecar.administration import policy as acts

    for row in acts.status(_settings(config)):
        typer.echo(jsons.dumps(row))


def _texts(names: tuple[str, str], config: Path | None) -> dict[str, bytes]:
    """Return the texts of files, and of versions by number. A number that is a file, too, is the file."""
    from sidecar.administration import policy as acts
    from sidecar.policy.language import read_bytes

    numbers = [] if config is None else [name for name in names if name.isdecimal() and not Path(name).exists()]
    published = acts.sources(_settings(config), [int(name) for name in numbers]) if config and numbers else {}
    return {name: published[int(name)] if name in numbers else read_bytes(Path(name)) for name in names}


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
