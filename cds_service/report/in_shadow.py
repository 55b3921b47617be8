"""What situations in shadow would have shown. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence

from cds_service.database.shadow_findings import ShadowFinding
from cds_service.report import Plot, Section
from cds_service.report.compared_rates import weekly
from cds_service.report.reasons import title_of
from cds_service.rulebook import Rulebook


def in_shadow(findings: Sequence[ShadowFinding], book: Rulebook, days: int) -> Iterator[Section]:
    """Findings of so many days by situation and moment; no section where there is none."""
    if not findings:
        return
    counts = Counter((f.situation, f.hook) for f in findings)
    people = Counter((situation, hook) for situation, hook, *_ in {_whose(f) for f in findings})
    keys = sorted(counts, key=lambda k: (-counts[k], k))
    yield Section(
        "shadow",
        "In shadow",
        "Cards that would have gone out, were the situation on; nobody was shown them. What one of them"
        " would have outranked is not counted. A patient of two clients counts twice.",
        ("Situation", "Hook", "Findings", "Patients", "Findings a week"),
        [(title_of(k[0], book), k[1], counts[k], people[k], weekly(counts[k], days)) for k in keys],
        Plot(
            [f"{title_of(slug, book)} ({hook})" for slug, hook in keys],
            [("Findings", [counts[k] for k in keys])],
            counts="findings",
        ),
        machine_rows=[
            {
                "situation": k[0],
                "hook": k[1],
                "findings": counts[k],
                "patients": people[k],
                "findingsPerWeek": weekly(counts[k], days),
            }
            for k in keys
        ],
    )


def _whose(finding: ShadowFinding) -> tuple[str, str, str, str]:
    return finding.situation, finding.hook, finding.client, finding.patient
