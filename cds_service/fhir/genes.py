"""An ALPL result: by the code of an ALPL test, or by the gene that a component names."""

from collections.abc import Mapping

from cds_service.fhir import resources as r
from cds_service.fhir.late_results import taken_on
from cds_service.record import Classification, GeneResult
from cds_service.terminology import Terminology

_CLASSES: Mapping[str, Classification] = {
    "answer-pathogenic": "pathogenic",
    "answer-likely-pathogenic": "likely pathogenic",
    "answer-uncertain-significance": "uncertain significance",
    "answer-benign": "negative",
    "answer-variant-absent": "negative",
}
_ZYGOSITY = {"answer-heterozygous": "heterozygous", "answer-homozygous": "homozygous"}


def gene_result(
    observation: r.Observation, concepts: tuple[str, ...], terminology: Terminology
) -> GeneResult | None:
    """The ALPL result of an Observation; None when it is none, or says nothing of the whole gene."""

    def concepts_of(code: r.BareConcept | None) -> tuple[str, ...]:
        return terminology.of(code.coding) if code else ()

    components = [(concepts_of(c.code), c) for c in observation.component or ()]
    names_alpl = any(
        "gene-studied" in codes and "alpl-gene" in concepts_of(c.valueCodeableConcept)
        for codes, c in components
    )
    is_alpl_test = "alpl-gene-test" in concepts or "alpl-familial-test" in concepts
    genetic = "variant-assessment" in concepts or "variant-significance" in concepts
    if not (is_alpl_test or (genetic and names_alpl)):
        return None
    answers = concepts_of(observation.valueCodeableConcept)
    for codes, component in components:
        if "variant-significance" in codes or "allelic-state" in codes:
            answers += concepts_of(component.valueCodeableConcept)
    found = [_CLASSES[a] for a in answers if a in _CLASSES]
    one_variant_only = "alpl-familial-test" in concepts or any(
        "variant-dna-change" in codes for codes, _ in components
    )
    for classification in _CLASSES.values():
        if classification in found:
            if classification == "negative" and one_variant_only:
                return None  # without that one variant the gene may still carry another
            zygosity = next((_ZYGOSITY[a] for a in answers if a in _ZYGOSITY), None)
            return GeneResult(classification, zygosity, taken_on(observation)[0])
    return None
