"""Patients whose card was set aside: what the next chart opened, or the next order, brings.

A row tells what was on record when the card was shown, which of its cards was answered and how, and
what is on record on the reference day. Days count from the reference day.
"""

from typing import Any

import msgspec

from tests.charts import (
    Json,
    alp,
    alpl,
    condition,
    dose,
    draft,
    patient,
    prescribed,
    stay,
    taking,
)
from tests.remembering import accepted, overridden


class SetAside(msgspec.Struct, frozen=True):
    """A patient, a card that was answered, and what is shown on the reference day."""

    id: str
    title: str
    then: list[Json]
    """On record when the card was shown."""
    on: int
    """The day on which it was shown and, unless `said_on` differs, answered."""
    reason: str | None
    """Code of the override reason; None: `says` holds the answer."""
    now: list[Json]
    """On record on the reference day."""
    cards: list[str]
    """Situations of the cards on the reference day."""
    silence: str | None = None
    answered: str = "persistent-low-alp"
    """The situation whose card was answered."""
    said_on: int | None = None
    says: Any = None
    """The feedback entries for the card, where they are not one override with `reason`."""
    shown_at: str = "patient-view"
    hook: str = "patient-view"
    drafts: list[Json] = []
    mentions: list[str] = []


SILENT = "workup-in-progress"
LOW = [patient(58, "female"), alp(26, -400, 35), alp(28, -200, 35)]
LATER = [*LOW, alp(28, -60, 35)]
TREATED = [
    patient(64, "female"),
    alp(24, -900, 35),
    alp(26, -600, 35),
    alp(25, -300, 35),
    taking("alendronate", -500),
]
INFUSED = [*TREATED[:3], alp(25, -300, 35), dose("zoledronate", -500)]
REBOUND = [patient(66, "female"), alp(27, -100, 35), alp(26, -160, 35), dose("denosumab", -420)]
KNOWN = [patient(61, "female"), alp(29, -40, 35), condition("hypophosphatasia", -900)]
VUS = [patient(50, "female"), alp(30, -200, 35), alp(31, -100, 35), alpl("VUS", -90)]

ROWS = [
    SetAside(
        "V54",
        # The vignette does not say which card it was; here it is that of the situation at hand, made
        # from a value of 4 months ago that another laboratory had reported.
        "Already evaluated 4 months ago, patient-view",
        then=[patient(58, "female"), alp(26, -400, 35), alp(27, -160, 35)],
        on=-120,
        reason="already-evaluated",
        now=[patient(58, "female"), alp(26, -400, 35), alp(28, -60, 35)],
        cards=[],
        silence=SILENT,
    ),
    SetAside(
        "S01",
        "The same value again is nothing new",
        LOW,
        -120,
        "specialist-managing",
        LATER,
        [],
        SILENT,
    ),
    SetAside(
        "S02",
        "Already evaluated 13 months ago: its time is over",
        LOW_LONG := [patient(58, "female"), alp(26, -700, 35), alp(28, -500, 35)],
        -396,
        "already-evaluated",
        [*LOW_LONG, alp(28, -60, 35)],
        ["persistent-low-alp"],
    ),
    SetAside(
        "S03",
        "A passing cause, 2 months ago",
        LOW,
        -60,
        "transient-or-known-cause",
        LATER,
        [],
        SILENT,
    ),
    SetAside(
        "S04",
        "A passing cause, 4 months ago: its time is over",
        LOW,
        -120,
        "transient-or-known-cause",
        LATER,
        ["persistent-low-alp"],
    ),
    SetAside(
        "S05",
        "Laboratory artefact, 4 months ago: its time is over",
        LOW,
        -120,
        "laboratory-artefact",
        LATER,
        ["persistent-low-alp"],
    ),
    SetAside(
        "S06",
        "Will arrange elsewhere, 2 months ago",
        LOW,
        -60,
        "arranged-elsewhere",
        LATER,
        [],
        SILENT,
    ),
    SetAside(
        "S07",
        "Palliative goals, 16 months ago: for good",
        LOW_LONG,
        -490,
        "palliative-goals",
        [*LOW_LONG, alp(28, -60, 35)],
        [],
        SILENT,
    ),
    SetAside(
        "S08",
        "Benefit judged greater says nothing of the next chart opened",
        LOW,
        -3,
        "benefit-judged-greater",
        LOW,
        ["persistent-low-alp"],
    ),
    SetAside(
        "S09",
        "Patient declined: asked again",
        LOW,
        -3,
        "patient-declined",
        LOW,
        ["persistent-low-alp"],
    ),
    SetAside(
        "S10",
        "The record is wrong: shown until it is put right",
        LOW,
        -3,
        "record-wrong",
        LOW,
        ["persistent-low-alp"],
    ),
    SetAside(
        "S11",
        "A lower ALP wakes",
        LOW,
        -120,
        "already-evaluated",
        [*LOW, alp(22, -10, 35)],
        ["persistent-low-alp"],
        mentions=["Set aside on 4 Jul 2026 (already evaluated)", "lowest ALP 22 U/L"],
    ),
    SetAside(
        "S12",
        "A lower ALP that was drawn before the card but came after it wakes",
        LOW,
        -120,
        "already-evaluated",
        [*LOW, alp(22, -130, 35)],
        ["persistent-low-alp"],
        mentions=["lowest ALP 22 U/L"],
    ),
    SetAside(
        "S13",
        "A value below a limit of detection is lower than the same number",
        LOW,
        -120,
        "already-evaluated",
        [*LOW, alp(26, -10, 35, comparator="<")],
        ["persistent-low-alp"],
    ),
    SetAside(
        "S14",
        "A lower ALP in acute illness does not count, and does not wake",
        LOW,
        -120,
        "already-evaluated",
        [*LATER, alp(15, -100, 35), stay("IMP", -105, -95)],
        [],
        SILENT,
    ),
    SetAside(
        "S15",
        "A metatarsal stress fracture wakes",
        LOW,
        -120,
        "already-evaluated",
        [*LATER, condition("metatarsal stress fracture, left", -30)],
        ["persistent-low-alp"],
        mentions=["new since: stress fracture of the foot"],
    ),
    SetAside(
        "S16",
        "A fracture known when the card was set aside does not wake",
        [*LOW, condition("metatarsal stress fracture, left", -300)],
        -120,
        "already-evaluated",
        [*LATER, condition("metatarsal stress fracture, left", -300)],
        [],
        SILENT,
    ),
    SetAside(
        "S17",
        "An atypical femoral fracture is another situation",
        LOW,
        -120,
        "already-evaluated",
        [*LATER, condition("atypical femoral fracture", -30)],
        ["fracture-low-alp"],
    ),
    SetAside(
        "S18",
        "A single low value that turns persistent is another situation",
        [patient(58, "female"), alp(31, -200, 35)],
        -120,
        "transient-or-known-cause",
        [patient(58, "female"), alp(31, -200, 35), alp(33, -50, 35)],
        ["persistent-low-alp"],
        answered="single-low-alp",
    ),
    SetAside(
        "S19",
        "A renewed tablet is nothing new",
        TREATED,
        -120,
        "already-evaluated",
        [*TREATED, prescribed("alendronate", -40)],
        [],
        SILENT,
        answered="low-before-antiresorptive",
    ),
    SetAside(
        "S20",
        "Another antiresorptive wakes",
        TREATED,
        -120,
        "already-evaluated",
        [*TREATED, dose("denosumab", -40)],
        ["low-before-antiresorptive"],
        answered="low-before-antiresorptive",
        mentions=["new since: denosumab"],
    ),
    SetAside(
        "S21",
        "An order for another antiresorptive wakes",
        TREATED,
        -120,
        "already-evaluated",
        [*TREATED, prescribed("zoledronate", -4)],
        ["low-before-antiresorptive"],
        answered="low-before-antiresorptive",
    ),
    SetAside(
        "S22",
        "The next infusion wakes: it cannot be taken back",
        INFUSED,
        -200,
        "already-evaluated",
        [*INFUSED, dose("zoledronate", -130)],
        ["low-before-antiresorptive"],
        answered="low-before-antiresorptive",
    ),
    SetAside(
        "S23",
        "An infusion known when the card was set aside does not wake",
        INFUSED,
        -200,
        "already-evaluated",
        INFUSED,
        [],
        SILENT,
        answered="low-before-antiresorptive",
    ),
    SetAside(
        "S24",
        "A tablet taken up again after a year wakes",
        [*TREATED[:4], taking("alendronate", -890, -700)],
        -120,
        "already-evaluated",
        [*TREATED[:4], taking("alendronate", -890, -700), taking("alendronate", -20)],
        ["low-before-antiresorptive"],
        answered="low-before-antiresorptive",
    ),
    SetAside(
        "S25",
        "An overdue denosumab is another matter and stands by itself",
        REBOUND,
        -30,
        "already-evaluated",
        REBOUND,
        ["denosumab-gap"],
    ),
    SetAside(
        "S26",
        "An overdue denosumab set aside leaves the other card alone",
        REBOUND,
        -30,
        "specialist-managing",
        REBOUND,
        ["persistent-low-alp"],
        answered="denosumab-gap",
    ),
    SetAside(
        "S27",
        "A critical card at an order is never snoozed",
        KNOWN,
        -30,
        "specialist-managing",
        KNOWN,
        ["hpp-antiresorptive-order"],
        answered="hpp-antiresorptive-order",
        shown_at="order-sign",
        hook="order-sign",
        drafts=[draft("alendronate")],
    ),
    SetAside(
        "S28",
        "No card at an order is snoozed",
        LOW,
        -30,
        "already-evaluated",
        LOW,
        ["persistent-low-alp-antiresorptive-order"],
        answered="persistent-low-alp-antiresorptive-order",
        shown_at="order-sign",
        hook="order-sign",
        drafts=[draft("alendronate")],
    ),
    SetAside(
        "S29",
        "A situation of every hook, set aside at an order, is quiet in the chart",
        VUS,
        -30,
        "already-evaluated",
        VUS,
        [],
        SILENT,
        answered="incomplete-workup",
        shown_at="order-sign",
        drafts=[draft("alendronate")],
    ),
    SetAside(
        "S30",
        "The same situation, set aside in the chart, speaks at the order",
        VUS,
        -30,
        "already-evaluated",
        VUS,
        ["incomplete-workup"],
        answered="incomplete-workup",
        hook="order-sign",
        drafts=[draft("alendronate")],
    ),
    SetAside(
        "S31",
        "A client without a clock that is right: late feedback counts from when it was said",
        LOW,
        -150,
        "transient-or-known-cause",
        LATER,
        ["persistent-low-alp"],
        said_on=-149,
    ),
    SetAside(
        "S32",
        "A reason that the client added itself does not snooze",
        LOW,
        -3,
        None,
        LOW,
        ["persistent-low-alp"],
        says=lambda card: [
            overridden(
                card["uuid"],
                None,
                -3,
                reason={"system": "urn:example", "code": "already-evaluated"},
            )
        ],
    ),
    SetAside(
        "S33",
        "A comment alone does not snooze",
        LOW,
        -3,
        None,
        LOW,
        ["persistent-low-alp"],
        says=lambda card: [overridden(card["uuid"], None, -3, userComment="known")],
    ),
    SetAside(
        "S34",
        "Set aside without a word does not snooze",
        LOW,
        -3,
        None,
        LOW,
        ["persistent-low-alp"],
        says=lambda card: [overridden(card["uuid"], None, -3)],
    ),
    SetAside(
        "S35",
        "The last word counts: set aside, then taken",
        LOW,
        -30,
        None,
        LOW,
        ["persistent-low-alp"],
        says=lambda card: [
            accepted(card, 0, day=-29),
            overridden(card["uuid"], "already-evaluated", -30),
        ],
    ),
    SetAside(
        "S36",
        "The last word counts: taken, then set aside",
        LOW,
        -30,
        None,
        LOW,
        [],
        SILENT,
        says=lambda card: [
            overridden(card["uuid"], "already-evaluated", -29),
            accepted(card, 0, day=-30),
        ],
    ),
    SetAside(
        "S37",
        "A date in the far future does not make a snooze longer",
        LOW_LONG,
        -490,
        None,
        LOW_LONG,
        [],
        SILENT,
        says=lambda card: [
            {
                **overridden(card["uuid"], "already-evaluated"),
                "outcomeTimestamp": "2199-01-01T00:00:00Z",
            }
        ],
    ),
    SetAside(
        "S38",
        "A date long past is a snooze that is over",
        LOW,
        -3,
        None,
        LOW,
        ["persistent-low-alp"],
        says=lambda card: [overridden(card["uuid"], "already-evaluated", -3000)],
    ),
    SetAside(
        "S39",
        "Death outranks everything",
        LOW,
        -30,
        "already-evaluated",
        [patient(58, "female", deceasedBoolean=True), *LOW[1:]],
        [],
        "out-of-scope",
    ),
    SetAside(
        "S40",
        "An ALP that is normal again is not low, snoozed or not",
        LOW,
        -30,
        "already-evaluated",
        [*LOW, alp(70, -5, 35)],
        [],
        "nothing-low",
    ),
]
