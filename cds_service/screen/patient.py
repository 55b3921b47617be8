"""One patient asked about: every moment, every policy, decided by the core and by nothing else."""

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from cds_service import explain, words
from cds_service.assessment import Call
from cds_service.assessment.calendar import months_after
from cds_service.card_text.speaker import Speaker
from cds_service.decision import Decision, Finding, decide
from cds_service.errors import ServiceError
from cds_service.fhir.drafts import read_drafts
from cds_service.fhir.reader import ReadingAids
from cds_service.hooks.request import ORDER_HOOKS
from cds_service.record import LabResult, age_at
from cds_service.rulebook import Rulebook
from cds_service.screen.chart import Chart, Late
from cds_service.screen.hindsight import Moment
from cds_service.screen.moments import Question, known_orders, questions
from cds_service.screen.names import name_in
from cds_service.screen.plan import Plan
from cds_service.screen.results import Answer, Explanation, Missing, PatientResult, Told
from cds_service.screen.snooze import Snooze


class Asker:
    """Asks a plan's questions about one patient after another."""

    def __init__(self, plan: Plan, books: Sequence[Rulebook]) -> None:
        self._plan = plan
        self._books = books
        self._aids = reading_aids(books)

    def ask(
        self, patient: str, lines: Sequence[bytes], late: Late | None
    ) -> PatientResult | Missing:
        """What there is to say about a patient; Missing when no Patient can be read."""
        chart = Chart(lines, late)
        if chart.patient is None:
            resources = len(lines) + (len(late()) if late is not None else 0)
            return Missing(patient, resources, unreadable=chart.came_with_patient)
        asked = questions(chart, self._plan, self._aids[0])
        snoozes = [Snooze(self._plan.snooze_days) for _ in self._books]
        silences: tuple[Counter[str], ...] = tuple(Counter() for _ in self._books)
        told: list[Told] = []
        last: Question | None = None
        refused: list[str] = []
        for question in asked:
            try:
                decisions = [self._decision(chart, question, n) for n in range(len(self._books))]
            except ServiceError as error:
                refused.append(error.diagnostics)  # counted and named: no silence in its place
                continue
            answers = tuple(
                self._answer(d, b, s, question)
                for d, b, s in zip(decisions, self._books, snoozes, strict=True)
            )
            for answer, counted in zip(answers, silences, strict=True):
                if answer.indicator is None and answer.situation:
                    counted[answer.situation] += 1
            if any(a.indicator or a.shadow for a in answers):
                told.append(_told(question, answers, decisions[0]))
                last = question
        return self._result(chart, asked, told, silences, last, refused)

    def _decision(
        self, chart: Chart, question: Question, number: int, *, explained: bool = False
    ) -> Decision:
        book, aids = self._books[number], self._aids[number]
        record = chart.record(question.moment, aids, hidden=question.hidden, whole=explained)
        call = Call(question.hook, question.moment.day)
        if question.hook in ORDER_HOOKS:
            drafts = read_drafts(
                known_orders(question.orders), None, record.patient.id, chart.entries, aids
            )
            record = msgspec.structs.replace(record, orders=(*record.orders, *drafts.tests))
            call = msgspec.structs.replace(call, draft=drafts.draft)
        return decide(
            record,
            call,
            rows=book.rows,
            drugs=book.drugs,
            policy=book.policy,
            explain=explained,
        )

    def _answer(
        self, decision: Decision, book: Rulebook, snooze: Snooze, question: Question
    ) -> Answer:
        primary, beside = decision.primary, decision.accompanying
        shadow = tuple(f.slug for f in decision.shadow)
        withheld = tuple(f.slug for f in decision.withheld)
        if primary is None:
            silence = decision.silence
            return Answer(
                silence.slug if silence else None,
                reason=silence.reason if silence else "",
                shadow=shadow,
                withheld=withheld,
            )
        indicator = _indicator(primary, book)
        speaker = Speaker(decision.assessment, raised=primary.level == "raised")
        return Answer(
            situation=primary.slug,
            indicator=indicator,
            summary=speaker.first(book.situations[primary.slug].headlines),
            reason=primary.reason,
            beside=beside.slug if beside else None,
            beside_indicator=_indicator(beside, book) if beside else None,
            snoozed=snooze.covers(primary.slug, indicator, question.moment.day),
            shadow=shadow,
            withheld=withheld,
        )

    def _result(
        self,
        chart: Chart,
        asked: Sequence[Question],
        told: Sequence[Told],
        silences: Iterable[Counter[str]],
        last: Question | None,
        refused: Sequence[str],
    ) -> PatientResult:
        record = chart.record(Moment(self._plan.last_day), self._aids[0])
        age = age_at(record.patient.born, self._plan.last_day)
        signings = sum(q.hook in ORDER_HOOKS for q in asked)
        results = [r for r in record.alp if self._in_period(r)]
        return PatientResult(
            patient=record.patient.id,
            name=name_in(chart.lines) if self._plan.names else None,
            sex=record.patient.sex,
            age_years=age.years if age else None,
            views=len(asked) - signings,
            signings=signings,
            alp=len(results),
            alp_with_limit=sum(r.low is not None for r in results),
            below_printed_limit=sum(map(_below_printed_limit, results)),
            unread=chart.unread,
            refused=tuple(refused),
            told=tuple(told),
            silences=tuple(dict(s) for s in silences),
            explanations=self._explanations(chart, last) if last else (),
        )

    def _in_period(self, result: LabResult) -> bool:
        first, last = self._plan.period
        if self._plan.replay is None:
            months = self._books[0].policy.look_back.patient_view_months
            first = months_after(last, -months)
        return result.taken is not None and first <= result.taken.last <= last

    def _explanations(self, chart: Chart, question: Question) -> tuple[Explanation, ...]:
        found = []
        for number, book in enumerate(self._books):
            decision = self._decision(chart, question, number, explained=True)
            settled = decision.primary or decision.silence
            found.append(
                Explanation(
                    policy=book.policy.version,
                    day=question.moment.day,
                    hook=question.hook,
                    situation=settled.slug if settled else None,
                    facts=tuple(explain.facts(decision.assessment)),
                    gaps=tuple(explain.gaps(decision.assessment)),
                    rows=tuple(explain.rows(decision, book)),
                )
            )
        return tuple(found)


def reading_aids(books: Iterable[Rulebook]) -> tuple[ReadingAids, ...]:
    """What reading needs, for each policy: a policy may add codes."""
    return tuple(ReadingAids(b.terminology, b.units, b.drug_list, b.order_system) for b in books)


def _indicator(finding: Finding, book: Rulebook) -> str:
    return book.situations[finding.slug].level_indicator(finding.level)


def _told(question: Question, answers: tuple[Answer, ...], decision: Decision) -> Told:
    latest = decision.assessment.alp.latest
    quantity = latest.result.quantity if latest else None
    return Told(
        day=question.moment.day,
        hook=question.hook,
        drugs=decision.assessment.call.draft.ordered,
        answers=answers,
        latest_alp=words.amount(quantity) if quantity else None,
        latest_alp_u_per_l=latest.u_per_l if quantity and latest else None,
        latest_alp_date=latest.day.last.isoformat() if latest else None,
    )


def _below_printed_limit(result: LabResult) -> bool:
    """The naive rule, for comparison only: a final result below the limit printed beside it."""
    if result.quantity is None or result.low is None or result.problem is not None:
        return False
    value, limit = result.quantity.canonical, result.low.canonical
    if value is None or limit is None:
        return result.quantity.value < result.low.value
    return value < limit
