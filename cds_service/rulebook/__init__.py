"""The knowledge as loaded: situations, orders, citations and policy, checked against each other.

Everything is read and checked once, at start. What contradicts itself refuses to start, with the
file and the name in the message.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from cds_service.decision import Row
from cds_service.drugs import Drug, DrugList
from cds_service.errors import KnowledgeError
from cds_service.policy import SWITCHES, Policy
from cds_service.quantity import Units
from cds_service.rulebook.files import (
    KNOWLEDGE,
    read_drugs,
    read_policy,
    read_table,
    read_units,
    read_value_sets,
    site_codes,
)
from cds_service.rulebook.situation import Situation, read_situations
from cds_service.terminology import Concept, Terminology

_EVERY = "every"
"""In the policy, in place of a name: the switch of all situations that are not named."""


class About(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a card says about the knowledge behind it."""

    version: str
    date: object
    last_clinical_review: str
    intended_user: str


class Citation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One source."""

    label: str
    evidence: str
    read_as: str
    url: str | None = None


class OverrideReason(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a clinician may set a card aside."""

    display: str
    meaning: str
    hl7: str


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One draft order that cards may offer."""

    label: str
    text: str
    instructions: str
    codings: tuple[str, ...] = ()
    pending_as: tuple[str, ...] = ()
    done_by: tuple[str, ...] = ()
    not_when: tuple[str, ...] = ()
    repeats_alp: bool = False


class Rulebook(msgspec.Struct, frozen=True):
    """Everything that the service knows, ready for use."""

    canonical: str
    about: About
    policy: Policy
    terminology: Terminology
    units: Mapping[str, Units]
    drugs: Mapping[str, Drug]
    drug_list: DrugList
    situations: Mapping[str, Situation]
    rows: Sequence[Row]
    orders: Mapping[str, Order]
    citations: Mapping[str, Citation]
    override_reasons: Mapping[str, OverrideReason]

    @property
    def order_system(self) -> str:
        """Code system of our own order codes."""
        return f"{self.canonical}/fhir/CodeSystem/orders"

    @property
    def override_system(self) -> str:
        """Code system of our own override reasons."""
        return f"{self.canonical}/fhir/CodeSystem/override-reasons"

    @property
    def situation_system(self) -> str:
        """Code system of the situations."""
        return f"{self.canonical}/fhir/CodeSystem/situations"


def load(canonical: str, site_policy: Path | None = None) -> Rulebook:
    """Read and check all knowledge. Raises KnowledgeError naming file and key."""
    policy = read_policy(site_policy)
    value_sets = read_value_sets()
    drugs = read_drugs()
    terminology = Terminology(site_codes(value_sets, policy, site_policy))
    orders = read_table("orders.toml", Order)
    citations = read_table("citations.toml", Citation)
    reasons = read_table("override_reasons.toml", OverrideReason)
    situations = read_situations(KNOWLEDGE / "situations", orders, citations, reasons)
    _check_orders(orders, terminology)
    _check_drugs(drugs, terminology)
    _check_switches(policy, situations, orders, site_policy)
    policy = msgspec.structs.replace(policy, situations=_each_switched(policy, situations))
    _check_snoozes(policy, reasons, site_policy)
    ordered = sorted(situations.values(), key=lambda s: s.priority)
    return Rulebook(
        canonical=canonical.rstrip("/"),
        about=read_table("about.toml", About, single=True)["about"],
        policy=policy,
        terminology=terminology,
        units=read_units(),
        drugs=drugs,
        drug_list=DrugList(drugs, terminology),
        situations=situations,
        rows=[s.row for s in ordered],
        orders=orders,
        citations=citations,
        override_reasons=reasons,
    )


def orderable(terminology: Terminology, coding: str) -> Concept | None:
    """The concept of a `system|code` pair among the codes that orders may carry."""
    system, _, code = coding.partition("|")
    found = terminology.value_sets["orderables"].concepts
    return next((c for c in found if c.system == system and c.code == code), None)


def _check_orders(orders: Mapping[str, Order], terminology: Terminology) -> None:
    from cds_service.phrases import FLAGS

    for code, order in orders.items():
        for coding in order.codings:
            if orderable(terminology, coding) is None:
                raise KnowledgeError(
                    f"orders.toml [{code}]: {coding} is not in value set orderables"
                )
        for value_set in (*order.pending_as, *order.done_by):
            if value_set not in terminology.value_sets:
                raise KnowledgeError(f"orders.toml [{code}]: there is no value set {value_set}")
        for flag in order.not_when:
            if flag not in FLAGS:
                raise KnowledgeError(f"orders.toml [{code}]: there is no condition {flag}")


def _check_drugs(drugs: Mapping[str, Drug], terminology: Terminology) -> None:
    for key, drug in drugs.items():
        if drug.value_set is not None and drug.value_set not in terminology.value_sets:
            raise KnowledgeError(f"drugs.toml [{key}]: there is no value set {drug.value_set}")


def _check_switches(
    policy: Policy,
    situations: Mapping[str, Situation],
    orders: Mapping[str, Order],
    site_policy: Path | None,
) -> None:
    file = site_policy or KNOWLEDGE / "policy.toml"
    for slug, switch in policy.situations.items():
        if slug != _EVERY and slug not in situations:
            raise KnowledgeError(
                f"{file}: situations.{slug}: there is no such situation;"
                f" known are {', '.join(sorted(situations))}"
            )
        if switch not in SWITCHES:
            raise KnowledgeError(
                f"{file}: situations.{slug}: {switch!r} is no switch; it is to be one of"
                f" {', '.join(map(repr, SWITCHES))}"
            )
        if slug != _EVERY and situations[slug].kind == "silence":
            raise KnowledgeError(
                f"{file}: situations.{slug}: it names a silence and cannot be switched"
            )
    for code in policy.orders.off:
        if code not in orders:
            raise KnowledgeError(
                f"{file}: orders.off: there is no order {code};"
                f" known are {', '.join(sorted(orders))}"
            )


def _each_switched(policy: Policy, situations: Mapping[str, Situation]) -> Mapping[str, Any]:
    """The switch of each situation by its name: its own goes before the one for every situation."""
    named = dict(policy.situations)
    every = named.pop(_EVERY, None)
    if every is None:
        return named
    return {s.slug: every for s in situations.values() if s.kind != "silence"} | named


def _check_snoozes(
    policy: Policy, reasons: Mapping[str, OverrideReason], site_policy: Path | None
) -> None:
    for code in policy.snooze.months:
        if code not in reasons:
            raise KnowledgeError(
                f"{site_policy or KNOWLEDGE / 'policy.toml'}: snooze.months.{code}: there is no such"
                f" override reason; known are {', '.join(sorted(reasons))}"
            )
