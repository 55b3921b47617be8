"""The `cds-service` command."""

import logging
import os
import sys
from datetime import UTC, date, datetime

import click
import msgspec
from rich.console import Console
from rich.markup import escape

from cds_service import rulebook
from cds_service.app import create_app
from cds_service.commands import demo as demonstration
from cds_service.commands import terminal
from cds_service.commands.inputs import Asked, BadInput, Case, cases
from cds_service.commands.screen import screen
from cds_service.commands.server import Server, can_listen, is_loopback
from cds_service.errors import KnowledgeError, ServiceError
from cds_service.guidance import Advisor, Answer
from cds_service.hooks.request import HOOKS, decode
from cds_service.offered_services import SERVICES
from cds_service.rulebook.files import site_changes
from cds_service.settings import Settings, from_environment


@click.group()
@click.version_option(package_name="low-alp-cds", prog_name="cds-service")
def main() -> None:
    """Advice on low ALP and antiresorptive drugs, as CDS Hooks cards."""


main.add_command(screen)


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1, 64))
@click.option("--threads", default=8, show_default=True, type=click.IntRange(1, 256))
@click.option(
    "--open-to-network",
    is_flag=True,
    help="With CDS_AUTH=off, listen beyond loopback all the same. Anyone who reaches it can call it.",
)
def serve(host: str, port: int, workers: int, threads: int, open_to_network: bool) -> None:
    """Run the production server."""
    settings = _settings()
    if settings.auth == "required":
        raise _Refusal(
            "CDS_AUTH=required needs client authentication, which this version does not have yet."
            " Set CDS_AUTH=off to serve on loopback."
        )
    if not is_loopback(host) and not open_to_network:
        raise _Refusal(
            f"CDS_AUTH=off listens on loopback only, not on {host}."
            " Add --open-to-network if everyone who can reach it may call it."
        )
    if not can_listen(host, port):
        raise _Refusal(
            f"Cannot listen on {host} port {port}: taken, or not an address of this machine."
        )
    _log_to_stderr(settings)
    try:
        app = create_app(settings)
    except KnowledgeError as error:
        raise _Refusal(str(error)) from error
    click.echo(
        f"Serving on http://{host}:{port}/cds-services without client authentication (CDS_AUTH=off).",
        err=True,
    )
    Server(app, host=host, port=port, workers=workers, threads=threads).run()


@main.command()
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535))
@click.option("--once", is_flag=True, help="Print the cards and exit.")
def demo(port: int, once: bool) -> None:
    """Start the service on loopback, fire hooks for bundled patients, and stay up."""
    settings = msgspec.structs.replace(_settings(), auth="off")
    try:
        demonstration.run(settings, Console(), port=port, stay=not once)
    except (demonstration.CannotStart, KnowledgeError) as error:
        raise _Refusal(str(error)) from error


@main.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--hook", type=click.Choice(HOOKS), help="Ask as this hook.")
@click.option(
    "--as-of",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Day on which the question is asked; default: the Bundle's timestamp, else today.",
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
@click.option("--explain", is_flag=True, help="Say for every row why it holds or not.")
@click.option("--draft", metavar="DRUG", help="Order this drug (alendronate, denosumab …).")
@click.option("--end", is_flag=True, help="The drafted order ends the drug instead.")
def evaluate(
    files: tuple[str, ...],
    hook: str | None,
    as_of: datetime | None,
    form: str,
    explain: bool,
    draft: str | None,
    end: bool,
) -> None:
    """Cards for hook requests or patient Bundles: files, folders, or - for standard input."""
    advisor = _advisor(_settings())
    drug = _drafted(draft, end, advisor)
    on = as_of.date() if as_of else None
    try:
        for case in cases(files, Asked(hook, drug, end), advisor.rulebook):
            day = on or case.taken or datetime.now(UTC).date()
            answer = _answer(advisor, case, day, explain=explain)
            if form == "json":
                click.echo(msgspec.json.encode(_as_json(case, day, answer)))
            else:
                _print(Console(), advisor, case, answer, explain=explain)
    except BadInput as error:
        raise _Refusal(str(error)) from error


@main.command()
def check() -> None:
    """Check knowledge and policy, and say what is in force."""
    settings = _settings()
    book = _advisor(settings).rulebook
    switched = {s: w for s, w in book.policy.situations.items() if w != "on"}
    click.echo(
        f"Knowledge {book.about.version}, policy {book.policy.version}:"
        f" {len(book.rows)} situations, {len(book.terminology.value_sets)} value sets,"
        f" {len(book.orders)} orders. Last clinical review: {book.about.last_clinical_review}."
    )
    for slug, switch in sorted(switched.items()):
        click.echo(f"{slug} is {switch}")
    for line in site_changes(settings.policy):
        click.echo(line)


def _settings() -> Settings:
    try:
        return from_environment(os.environ)
    except KnowledgeError as error:
        raise _Refusal(str(error)) from error


def _advisor(settings: Settings) -> Advisor:
    try:
        return Advisor(rulebook.load(settings.canonical_url, settings.policy))
    except KnowledgeError as error:
        raise _Refusal(str(error)) from error


def _drafted(draft: str | None, end: bool, advisor: Advisor) -> str | None:
    """The key of the drug to draft, given by key or by any name of the list."""
    drugs = advisor.rulebook.drugs
    known = [key for key, drug in drugs.items() if drug.is_antiresorptive]
    if end and draft is None:
        raise _Refusal("--end goes with --draft DRUG: the drug that the order ends")
    if draft is None or draft in known:
        return draft
    named = advisor.rulebook.drug_list.by_name(draft)
    if named is None or named.drug not in known:
        raise _Refusal(f"--draft {draft}: no such antiresorptive; known are {', '.join(known)}")
    return named.drug


class _Refusal(click.ClickException):
    """Bad input or settings: one clear line on standard error."""

    exit_code = 2


def _answer(advisor: Advisor, case: Case, day: date, *, explain: bool) -> Answer:
    hooks = tuple(s.hook for s in SERVICES.values())
    try:
        return advisor.answer(decode(case.body, hooks), day, explain=explain)
    except ServiceError as error:
        raise BadInput(f"{case.name}: {error.diagnostics}") from error


def _print(
    console: Console, advisor: Advisor, case: Case, answer: Answer, *, explain: bool
) -> None:
    console.rule(f"[bold]{escape(case.name)}[/bold] ({case.hook})")
    if explain:
        terminal.show_explanation(console, answer.decision, advisor.rulebook)
    terminal.show_cards(console, answer.response.cards)
    if not answer.response.cards:
        terminal.show_silence(console, answer.decision, advisor.rulebook)


def _as_json(case: Case, day: date, answer: Answer) -> dict[str, object]:
    decision = answer.decision
    situation = decision.primary or decision.silence
    result: dict[str, object] = {
        "file": case.name,
        "patient": decision.assessment.record.patient.id,
        "hook": case.hook,
        "asOf": day.isoformat(),
        "situation": situation.slug if situation else None,
        "reason": situation.reason if situation else None,
        "cards": answer.response.cards,
    }
    if decision.steps:
        result["rows"] = [
            {"situation": s.slug, "outcome": s.outcome, "reason": s.verdict.reason}
            for s in decision.steps
        ]
    return result


def _log_to_stderr(settings: Settings) -> None:
    logging.basicConfig(
        level=settings.log_level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
