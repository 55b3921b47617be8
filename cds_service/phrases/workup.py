"""Phrases about substrates, ALPL and other tests."""

from collections.abc import Mapping

from cds_service import words
from cds_service.assessment import Assessment
from cds_service.assessment.workup import Substrate, latest
from cds_service.phrases.phrase import Phrase
from cds_service.record import GeneResult, LabResult


def _value(found: Substrate | None) -> str | None:
    return words.amount(found.result.quantity) if found and found.result.quantity else None


def _day(found: Substrate | None) -> str | None:
    return words.dated(found.day) if found else None


def substrate_limit(found: Substrate | None) -> str | None:
    """The limit, rounded where it is our own converted into the unit of the result."""
    if found is None or found.limit is None:
        return None
    if found.built_in_limit:
        return f"{words.tenth(found.limit.value)} {words.unit(found.limit.unit or '')}".strip()
    return words.amount(found.limit)


def _substrate(a: Assessment) -> str | None:
    names = []
    if a.workup.plp_raised:
        names.append("PLP")
    if a.workup.pea_raised:
        names.append("urine PEA")
    return words.listed(names) or None


def alpl(a: Assessment) -> str | None:
    """Class, zygosity and date of the ALPL result; nothing else of it is ever shown."""
    gene = a.workup.alpl
    return f"{variant(gene)} (reported {words.dated(gene.reported)})" if gene else None


def variant(gene: GeneResult) -> str:
    """Class and zygosity of an ALPL result."""
    name = {
        "uncertain significance": "variant of uncertain significance",
        "negative": "negative",
    }.get(gene.classification, f"{gene.classification} variant")
    return f"{name}, {gene.zygosity}" if gene.zygosity else name


def pth(a: Assessment) -> LabResult | None:
    """The latest PTH."""
    return latest(a.record.results, "pth", a.as_of)


def _liver(a: Assessment) -> str | None:
    for name, found in a.context.liver_results:
        if found.quantity and found.high:
            return f"{name} {words.amount(found.quantity)} (limit {words.amount(found.high)})"
    diseases = a.context.liver_disease
    return f"{diseases[0].name.lower()} on record" if diseases else None


def _liver_tests(a: Assessment) -> str | None:
    """Every raised liver test around the latest ALP, with its limit, and the liver diseases on record."""
    parts = []
    for name, found in a.context.liver_results:
        if found.quantity is not None:
            limit = f" (limit {words.amount(found.high)})" if found.high else ""
            parts.append(f"{name} {words.amount(found.quantity)}{limit}")
    parts += [f"{d.name.lower()} on record" for d in a.context.liver_disease]
    return words.listed(dict.fromkeys(parts)) or None


def _liver_short(a: Assessment) -> str | None:
    for name, found in a.context.liver_results:
        if found.quantity:
            return f"{name} raised ({words.amount(found.quantity)})"
    diseases = a.context.liver_disease
    return f"{diseases[0].name.lower()} on record" if diseases else None


def _result_value(found: LabResult | None) -> str | None:
    return words.amount(found.quantity) if found and found.quantity else None


WORKUP: Mapping[str, Phrase] = {
    "plp": Phrase(lambda a: _value(a.workup.plp), 18),
    "plp_date": Phrase(lambda a: _day(a.workup.plp), 11),
    "plp_limit": Phrase(lambda a: substrate_limit(a.workup.plp), 18),
    "pea": Phrase(lambda a: _value(a.workup.pea), 28),
    "pea_date": Phrase(lambda a: _day(a.workup.pea), 11),
    "pea_limit": Phrase(lambda a: substrate_limit(a.workup.pea), 28),
    "substrate": Phrase(_substrate, 18),
    "alpl": Phrase(alpl),
    "pth": Phrase(lambda a: _result_value(pth(a)), 18),
    "pth_date": Phrase(lambda a: words.dated(r.taken) if (r := pth(a)) else None, 11),
    "liver": Phrase(_liver, 56),
    "liver_tests": Phrase(_liver_tests),
    "liver_short": Phrase(_liver_short, 36),
}
