"""A decision as the pages about a patient show it: the timeline, its chart, and why row by row."""

from typing import Any

from cds_service import explain
from cds_service.decision import Decision
from cds_service.rulebook import Rulebook
from cds_service.timeline import timeline
from cds_service.web.pages.chart import drawable, figure


def explained(decision: Decision, rulebook: Rulebook) -> dict[str, Any]:
    """What the templates `_timeline.html` and `_explanation.html` need. The decision holds its steps."""
    line = timeline(decision.assessment)
    silence = decision.silence
    return {
        "t": line,
        "figure": figure(line) if drawable(line) else None,
        "silence": rulebook.situations[silence.slug] if silence else None,
        "why_silent": explain.silence(decision),
        "facts": [*explain.facts(decision.assessment), *explain.gaps(decision.assessment)],
        "rows": list(explain.rows(decision, rulebook)),
    }
