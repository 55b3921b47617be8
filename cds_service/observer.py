"""What may be counted while the service works: the parts tell it, and know no metrics library."""

from typing import Literal, Protocol

FhirOutcome = Literal["answered", "refused", "failed", "timed out"]
"""`refused`: a status that is no success; `failed`: no answer that could be read."""
FeedbackOutcome = Literal["accepted", "overridden"]


class Observer(Protocol):
    """Takes note; never raises, never slows a call by more than a counter does.

    Nothing that a record holds as free text may be handed over: names are of our own lists.
    """

    def fhir_query(self, resource: str, outcome: FhirOutcome, seconds: float) -> None:
        """One call of an EHR's FHIR server; `resource` is the resource type that was asked for."""

    def unknown_alp_code(self, system: str | None, code: str | None) -> None:
        """A result that was sent as ALP carries no code known here."""

    def alp_unit_not_accepted(self, *, given: bool) -> None:
        """An ALP has a unit that is not accepted, or (`given` is false) none at all."""

    def feedback(self, outcome: FeedbackOutcome, situation: str | None) -> None:
        """A clinician took a suggestion, or set the card of that situation aside."""

    def memory_failure(self, operation: str) -> None:
        """Something could not be remembered or recalled; `operation` is a word of our own."""


class Nobody:
    """An observer that takes no note."""

    def fhir_query(self, resource: str, outcome: FhirOutcome, seconds: float) -> None:
        """Not noted."""

    def unknown_alp_code(self, system: str | None, code: str | None) -> None:
        """Not noted."""

    def alp_unit_not_accepted(self, *, given: bool) -> None:
        """Not noted."""

    def feedback(self, outcome: FeedbackOutcome, situation: str | None) -> None:
        """Not noted."""

    def memory_failure(self, operation: str) -> None:
        """Not noted."""


NOBODY = Nobody()
