"""What can be said of an Assessment: the placeholders and the conditions that texts may use. Pure.

A phrase gives its words for this patient, or None when there is nothing to say: the bullet that
uses it is then left out. Its `longest` bounds the words, so that a summary can be proven to fit.
"""

from collections.abc import Mapping

from cds_service.phrases.flags import FLAGS
from cds_service.phrases.patient import PATIENT
from cds_service.phrases.phrase import UNBOUNDED, Phrase
from cds_service.phrases.policy import POLICY
from cds_service.phrases.series import SERIES
from cds_service.phrases.specimen import SPECIMEN
from cds_service.phrases.treatment import TREATMENT
from cds_service.phrases.workup import WORKUP

PHRASES: Mapping[str, Phrase] = {**SERIES, **TREATMENT, **WORKUP, **SPECIMEN, **PATIENT, **POLICY}

__all__ = ["FLAGS", "PHRASES", "POLICY", "UNBOUNDED", "Phrase"]
