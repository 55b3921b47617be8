"""What operators need of the application: health, metrics, canary, request ids, traces, proxies."""

import logging
from collections.abc import Callable, Mapping

from flask import Flask

from cds_service.canary import Canary, Report
from cds_service.metrics import Metrics
from cds_service.settings import Settings
from cds_service.web import health, measuring, origin, tracing
from cds_service.web.proxies import TrustedProxies

_log = logging.getLogger("cds_service")


def install(
    app: Flask, settings: Settings, metrics: Metrics, probes: Mapping[str, health.Probe]
) -> None:
    """To be called before any other part: the origin of a request is known to all that follow."""
    origin.install(app)
    tracing.install(app)
    measuring.install(app, metrics, settings.metrics_from)
    app.register_blueprint(health.blueprint(probes, metrics))
    app.wsgi_app = TrustedProxies(app.wsgi_app, settings.trusted_proxies)  # type: ignore[method-assign]


def canary_note(metrics: Metrics) -> Callable[[Report], None]:
    """Takes down what the canary patients gave: a metric for each, a line for each that is wrong.

    What only the site's own policy answers otherwise is told in one line: it may be most of them, as
    when every situation begins in shadow.
    """
    told: dict[str, str | None] = {}
    told_of_site: list[str] = []

    def note(report: Report) -> None:
        for policy, findings in (("built-in", report.built_in), ("in force", report.in_force)):
            for finding in findings:
                metrics.canary.labels(finding.name, policy).set(finding.as_expected)
        for finding in report.wrong:
            if finding.name not in told or told[finding.name] != finding.came:
                _log.warning(
                    "canary patient=%r expected=%r came=%r",
                    finding.name,
                    finding.expected,
                    finding.came or "no answer",
                )
        told.clear()
        told.update((finding.name, finding.came) for finding in report.wrong)
        if told_of_site != report.decided_by_site:
            _log.info(
                "canary: this site's policy answers %d of %d patients otherwise than the built-in one: %s",
                len(report.decided_by_site),
                len(report.in_force),
                ", ".join(report.decided_by_site),
            )
        told_of_site[:] = report.decided_by_site

    return note


def canary_probe(canary: Canary) -> health.Probe:
    """Ready while every canary patient gives what it must."""
    return lambda: canary.report().cause
