"""Log lines, as text or as JSON, each with the request that it belongs to.

A line is written as words and `key=value` pairs; in JSON the pairs become fields.
"""

import logging
import re
import sys
from contextvars import ContextVar
from datetime import UTC, datetime

import msgspec

from cds_service.settings import LogFormat

_DIRECTIVE = re.compile(r"(?:(\w+)=)?%(?:[-+ #0]*\d*(?:\.\d+)?)[a-zA-Z%]")


class Origin(msgspec.Struct, frozen=True):
    """Where a line comes from: one request."""

    request_id: str
    address: str | None = None
    """Of the caller; behind listed proxies, of the one that they name."""
    trace_id: str | None = None
    span_id: str | None = None
    """The caller's span, of W3C Trace Context."""


AUDIT = "cds_service.audit"
"""The logger of the audit trail, whose records carry their line as `audit`."""
ORIGIN: ContextVar[Origin | None] = ContextVar("origin", default=None)
"""The request being answered; None outside of one."""


def write_to_stderr(level: str, form: LogFormat) -> None:
    """Send every log line to standard error in that form."""
    to_stderr = logging.StreamHandler(sys.stderr)
    to_stderr.setFormatter(JsonLine() if form == "json" else TextLine())
    logging.basicConfig(level=level, handlers=[to_stderr], force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # a line for every look at the schema


class TextLine(logging.Formatter):
    """`time LEVEL message request=… trace=…`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        line = super().formatMessage(record)
        origin = ORIGIN.get()
        if origin is None or record.name == AUDIT:  # JSON to the end, and it has its request id
            return line
        names = {
            "request": origin.request_id,
            "address": origin.address,
            "trace": origin.trace_id,
        }
        return line + "".join(f" {name}={value}" for name, value in names.items() if value)


class JsonLine(logging.Formatter):
    """One JSON object a line; its own names win over pairs of the same name."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = dict(_pairs(record))
        line |= {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "severity": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.name == AUDIT:
            line["message"] = "audit"
            line["audit"] = getattr(record, "audit", None)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        origin = ORIGIN.get()
        if origin is not None:
            line |= {k: v for k, v in msgspec.structs.asdict(origin).items() if v is not None}
        return msgspec.json.encode(line, enc_hook=str).decode()


def _pairs(record: logging.LogRecord) -> dict[str, object]:
    """The `key=value` pairs of the line, with their values as they were given."""
    if not isinstance(record.args, tuple) or not isinstance(record.msg, str):
        return {}
    directives = [d for d in _DIRECTIVE.finditer(record.msg) if not d[0].endswith("%%")]
    if len(directives) != len(record.args):
        return {}
    return {
        found[1]: value
        for found, value in zip(directives, record.args, strict=True)
        if found[1] is not None
    }
