"""The parts of the report that compare: with the naive rule, with another policy, with silence."""

from collections.abc import Sequence

from cds_service.html_report import Part
from cds_service.rulebook import Rulebook
from cds_service.screen.numbers import figure
from cds_service.screen.plan import Plan
from cds_service.screen.run_record import shadow_counts, silence_counts
from cds_service.screen.suppression import alone, shown, together
from cds_service.screen.tally import PolicyTally, Tally


def naive(plan: Plan, books: Sequence[Rulebook], counts: Tally) -> Part:
    """ALP alerts of the naive rule beside the cards."""
    names = ["naive rule", *(f"policy {b.policy.version}" for b in books)]
    alerts = [counts.naive_alerts, *(p.all_cards for p in counts.policies)]
    patients = [counts.naive_patients, *(p.patients_with_card for p in counts.policies)]
    cards, people = ([alone(n, plan.suppress_below) for n in c] for c in (alerts, patients))
    span = "in the period" if plan.replay else "of the months that patient-view looks back"
    none = (
        " No result came with a printed limit, so the naive rule says nothing here."
        if counts.alp and not counts.alp_with_limit
        else ""
    )
    text = (
        "The naive rule alerts on every ALP below the limit that the laboratory printed, whatever"
        f" the circumstances. Counted {span}: {counts.alp:,} ALP results,"
        f" {counts.alp_with_limit:,} with a printed limit.{none}"
    )
    bar = {"type": "bar", "x": names, "y": cards, "name": "alerts or cards"}
    return Part(
        "Against the naive rule",
        text,
        ("Rule", "Alerts or cards", "Patients"),
        tuple(zip(names, cards, people, strict=True)),
        figure([bar], {"yaxis": {"title": {"text": "alerts or cards"}}}),
    )


def changes(plan: Plan, counts: Tally) -> Part:
    """Who gains and who loses a card under the second policy."""
    keys = sorted(counts.changes, key=lambda k: (k[0], -counts.changes[k], str(k)))
    patients = shown([counts.changes[k] for k in keys], plan.suppress_below)
    kinds = ("gains", "loses", "other card", "same card")
    totals = [
        together([p for k, p in zip(keys, patients, strict=True) if k[0] == kind]) for kind in kinds
    ]
    caution = (
        " The numbers of the two policies can be taken from each other, and the difference may be"
        " small: what is to be published is better screened with one policy."
        if plan.suppress_below
        else ""
    )
    bar = {"type": "bar", "x": list(kinds), "y": totals, "name": "patients"}
    return Part(
        "Policy A against policy B",
        "Patients with a card under one of the two at least. A gains row has a card under B alone, a"
        f" loses row under A alone. The worklist gives the reason for each patient.{caution}",
        ("Change", "Under A", "Under B", "Patients"),
        tuple((k[0], k[1], k[2], p) for k, p in zip(keys, patients, strict=True)),
        figure([bar], {"yaxis": {"title": {"text": "patients"}}}),
    )


def silences(plan: Plan, book: Rulebook, policy: PolicyTally, name: str) -> Part:
    """Which silence decided how often."""
    slugs = sorted(policy.silences, key=lambda s: (-policy.silences[s], s))
    times = silence_counts(policy, plan)
    rows = [(book.situations[s].title, s, times[s]) for s in slugs]
    rows += [
        (book.situations[s].title, f"{s} (in shadow, {hook})", n)
        for (hook, s), n in shadow_counts(policy, plan).items()
    ]
    return Part(
        f"Why nothing was said{name}",
        "How often each silence decided, and how often a situation in shadow would have given the card."
        " Silence is no reassurance: the sensitivity of the rules is unknown.",
        ("Silence", "Name", "Times"),
        tuple(rows),
    )
