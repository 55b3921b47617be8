"""`cds-service evaluate`: cards for hook requests and patient Bundles, without a server."""

from datetime import UTC, date, datetime

import click
import msgspec
from rich.console import Console
from rich.markup import escape

from cds_service.clients import OPEN, Client
from cds_service.commands import terminal
from cds_service.commands.inputs import Asked, BadInput, Case, cases
from cds_service.commands.refusal import Refusal, advisor_for, settings_in_force
from cds_service.errors import ServiceError
from cds_service.guidance import Advisor, Answer
from cds_service.hooks.request import HOOKS, decode
from cds_service.offered_services import SERVICES


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--hook", type=click.Choice(HOOKS), help="Ask as this hook.")
@click.option(
    "--as-of",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Day on which the question is asked; default: the Bundle's timestamp, else today.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    help="json: one object a line.",
)
@click.option("--explain", is_flag=True, help="Say for every row why it holds or not.")
@click.option("--draft", metavar="DRUG", help="Order this drug (alendronate, denosumab …).")
@click.option("--end", is_flag=True, help="The drafted order ends the drug instead.")
@click.option(
    "--client",
    help="Ask as this client, with what is remembered of the patient there (CDS_DATABASE_URL).",
)
def evaluate(
    files: tuple[str, ...],
    hook: str | None,
    as_of: datetime | None,
    form: str,
    explain: bool,
    draft: str | None,
    end: bool,
    client: str | None,
) -> None:
    """Cards for hook requests or patient Bundles.

    Takes files, folders, or - for standard input. What a folder holds besides is named and left out.
    """
    settings = settings_in_force()
    if client is not None and settings.hash_key is None:
        raise Refusal(
            "--client needs CDS_HASH_KEY: without it nobody can tell whose cards are whose"
        )
    advisor = advisor_for(settings, settings.hash_key if client is not None else None)
    caller = Client(client) if client is not None else OPEN
    drug = drafted(draft, end, advisor)
    on = as_of.date() if as_of else None
    try:
        for case in cases(files, Asked(hook, drug, end), advisor.rulebook):
            day = on or case.taken or datetime.now(UTC).date()
            answer = _answer(advisor, case, day, caller, explain=explain)
            if form == "json":
                click.echo(msgspec.json.encode(_as_json(case, day, answer)))
            else:
                _print(Console(), advisor, case, answer, explain=explain)
    except BadInput as error:
        raise Refusal(str(error)) from error
    finally:
        advisor.close()


def drafted(draft: str | None, end: bool, advisor: Advisor) -> str | None:
    """The key of the drug to draft, given by key or by any name of the list."""
    drugs = advisor.rulebook.drugs
    known = [key for key, drug in drugs.items() if drug.is_antiresorptive]
    if end and draft is None:
        raise Refusal("--end goes with --draft DRUG: the drug that the order ends")
    if draft is None or draft in known:
        return draft
    named = advisor.rulebook.drug_list.by_name(draft)
    if named is None or named.drug not in known:
        raise Refusal(f"--draft {draft}: no such antiresorptive; known are {', '.join(known)}")
    return named.drug


def _answer(advisor: Advisor, case: Case, day: date, caller: Client, *, explain: bool) -> Answer:
    hooks = tuple(s.hook for s in SERVICES.values())
    try:
        return advisor.answer(decode(case.body, hooks), day, client=caller, explain=explain)
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
        terminal.show_silence(console, answer.decision)


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
    if decision.shadow:
        result["shadow"] = [finding.slug for finding in decision.shadow]
    if decision.steps:
        result["rows"] = [
            {"situation": s.slug, "outcome": s.outcome, "reason": s.verdict.reason}
            for s in decision.steps
        ]
    return result
