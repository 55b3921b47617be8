"""Spans for OpenTelemetry, when a site wants them: the extra `otel` installed and an OTLP endpoint set.

A span carries method, route, status and service, nothing else: no address as called, no query, no
header, no exception. They might name a patient; a list of what may leave is surer than a filter.
"""

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from flask import Flask, Response, g, request

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_SERVER_ERROR = 500
_log = logging.getLogger("cds_service")


def install(app: Flask, environment: Mapping[str, str] = os.environ) -> None:
    """Trace this app to the endpoint that the environment names; without one, do nothing."""
    if not any(environment.get(name) for name in _ENDPOINTS):
        return
    try:
        provider = _exporting(environment)
    except ImportError:
        _log.warning("no traces are sent: %s needs the extra otel installed", _ENDPOINTS[0])
        return
    trace_with(app, provider)


def trace_with(app: Flask, provider: "TracerProvider") -> None:
    """A span for every request of this app, below the caller's span where it names one."""
    from opentelemetry.trace import SpanKind, Status, StatusCode
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    tracer = provider.get_tracer("cds_service")
    propagator = TraceContextTextMapPropagator()

    def begin() -> None:
        route = request.url_rule.rule if request.url_rule else "unknown"
        caller = propagator.extract({"traceparent": request.headers.get("traceparent", "")})
        g.span = tracer.start_span(
            f"{request.method} {route}",
            context=caller,
            kind=SpanKind.SERVER,
            attributes={"http.request.method": request.method, "http.route": route},
        )

    def name(response: Response) -> Response:
        g.span.set_attribute("http.response.status_code", response.status_code)
        if response.status_code >= _SERVER_ERROR:
            g.span.set_status(Status(StatusCode.ERROR))
        return response

    def end(_: BaseException | None) -> None:
        span = g.pop("span", None)
        if span is not None:
            span.end()

    app.before_request(begin)
    app.after_request(name)
    app.teardown_request(end)


def _exporting(environment: Mapping[str, str]) -> "TracerProvider":
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = environment.get("OTEL_SERVICE_NAME") or "low-alp-cds"
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: named}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
