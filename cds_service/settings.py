"""Every setting, with its default and meaning. The table in the README is made from this module."""

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from cds_service import setting_texts as texts
from cds_service.bases import read_entries
from cds_service.errors import KnowledgeError
from cds_service.networks import Network, networks

Auth = Literal["required", "off"]
LogFormat = Literal["text", "json"]
_FILE = "_FILE"
_LARGEST_BODY = 1024 * 1024 * 1024


class Settings(msgspec.Struct, frozen=True):
    """The settings in force."""

    auth: Auth = "required"
    base_url: str | None = None
    """Without a slash at its end."""
    clients: Path | None = None
    cors_origins: tuple[str, ...] = ()
    policy: Path | None = None
    canonical_url: str = "https://low-alp-cds.example"
    database_url: str = "sqlite:///low-alp-cds.sqlite3"
    hash_key: bytes | None = None
    """None: a random key for as long as the service runs."""
    fhir_servers: tuple[str, ...] = ()
    fhir_timeout: float = 3.0
    """Seconds."""
    fhir_budget: float = 6.0
    """Seconds."""
    max_body_bytes: int = 10_485_760
    max_entries: int = 20_000
    max_concurrent: int = 64
    log_level: str = "INFO"
    log_format: LogFormat = "text"
    trusted_proxies: tuple[Network, ...] = ()
    metrics_from: tuple[Network, ...] = networks("127.0.0.0/8, ::1")


class Setting(msgspec.Struct, frozen=True):
    """One environment variable: the field that it fills, and how its text is read."""

    name: str
    field: str
    default: str
    read: Callable[[str], Any]
    """Raises ValueError saying what would be right."""
    meaning: str
    secret: bool = False
    """Whether its text may never be shown."""


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Read the settings. Raises KnowledgeError naming the variable and what would be right."""
    known = [s.name for s in SETTINGS]
    for name in environment:
        if name.startswith("CDS_") and name.removesuffix(_FILE) not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise KnowledgeError(f"{name} is no setting of this version; {hint}")
    return Settings(**{s.field: _read(s, _text(s, environment)) for s in SETTINGS})


def _text(setting: Setting, environment: Mapping[str, str]) -> str:
    """What was set: in the environment or, for a secret, in the file that `<NAME>_FILE` names."""
    given = environment.get(setting.name) or ""
    named = f"{setting.name}{_FILE}"
    file = environment.get(named)
    if not file:
        return given or setting.default
    if not setting.secret:
        raise KnowledgeError(f"{named} is no setting: only a secret is read from a file")
    if given:
        raise KnowledgeError(f"{setting.name} and {named} are both set; set one of them")
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise KnowledgeError(f"{named}: {file} cannot be read") from error


def _read(setting: Setting, text: str) -> Any:
    try:
        return setting.read(text)
    except ValueError as error:
        shown = "not usable" if setting.secret else repr(text)
        raise KnowledgeError(f"{setting.name} is {shown}; it is to be {error}") from error


SETTINGS = (
    Setting(
        "CDS_AUTH",
        "auth",
        "required",
        texts.auth,
        "`required`: every call needs the token of a client in `CDS_CLIENTS`, and `CDS_BASE_URL` and"
        " `CDS_HASH_KEY` are needed too. `off`: whoever reaches it may call; on loopback only, unless"
        " `serve --open-to-network` says otherwise",
    ),
    Setting(
        "CDS_BASE_URL",
        "base_url",
        "",
        texts.base,
        "public address of the service, as clients call it, without `/cds-services`; https, or http on"
        " loopback. Tokens are made for it, and SMART links lead to it",
    ),
    Setting("CDS_CLIENTS", "clients", "", texts.path, "path of the TOML of trusted clients"),
    Setting(
        "CDS_CORS_ORIGINS",
        "cors_origins",
        "",
        texts.origins,
        "comma list of origins of web pages that may call while `CDS_AUTH` is `off`; otherwise each"
        " client has its own",
    ),
    Setting(
        "CDS_POLICY",
        "policy",
        "",
        texts.path,
        "path of a site policy TOML, laid over the built-in policy",
    ),
    Setting(
        "CDS_CANONICAL_URL",
        "canonical_url",
        "https://low-alp-cds.example",
        texts.url,
        "base of the code systems and value sets that this service defines",
    ),
    Setting(
        "CDS_DATABASE_URL",
        "database_url",
        "sqlite:///low-alp-cds.sqlite3",
        texts.database,
        "where the service remembers: an SQLite file, or `postgresql://…` for more than one machine",
        secret=True,
    ),
    Setting(
        "CDS_HASH_KEY",
        "hash_key",
        "",
        texts.key,
        "secret of at least 32 characters, the same on every machine: patients are remembered and logged"
        " by a hash made with it. Without it a random one is made at each start, and what is remembered"
        " of a patient ends with it",
        secret=True,
    ),
    Setting(
        "CDS_FHIR_SERVERS",
        "fhir_servers",
        "",
        read_entries,
        "comma list of FHIR base URLs that may be called while authentication is off, each as the EHR"
        " writes it in `fhirServer`. Names must lead to public addresses, unless the network of the"
        " internal ones stands in the list too, as in `https://fhir.example/r4,10.1.0.0/16`",
    ),
    Setting(
        "CDS_FHIR_TIMEOUT",
        "fhir_timeout",
        "3",
        texts.seconds,
        "seconds that one call of a FHIR server may take",
    ),
    Setting(
        "CDS_FHIR_BUDGET",
        "fhir_budget",
        "6",
        texts.seconds,
        "seconds that all calls for one hook may take together",
    ),
    Setting(
        "CDS_MAX_BODY_BYTES",
        "max_body_bytes",
        "10485760",
        texts.number(1024, _LARGEST_BODY),
        "largest request body, in bytes; a longer one is 413",
    ),
    Setting(
        "CDS_MAX_ENTRIES",
        "max_entries",
        "20000",
        texts.number(100, 1_000_000),
        "most resources in one call; more are 413",
    ),
    Setting(
        "CDS_MAX_CONCURRENT",
        "max_concurrent",
        "64",
        texts.number(1, 4096),
        "most calls that one worker process answers at once, and no more than it has threads; more are 503."
        " With several clients, one may have three quarters of them",
    ),
    Setting(
        "CDS_LOG_LEVEL", "log_level", "INFO", texts.level, "`DEBUG`, `INFO`, `WARNING` or `ERROR`"
    ),
    Setting(
        "CDS_LOG_FORMAT",
        "log_format",
        "text",
        texts.log_format,
        "`text`, or `json`: one object a line, with its request id and trace",
    ),
    Setting(
        "CDS_TRUSTED_PROXIES",
        "trusted_proxies",
        "",
        networks,
        "comma list of addresses or networks of reverse proxies: only what they forward"
        " (`X-Forwarded-For`, `X-Forwarded-Proto`) is believed",
    ),
    Setting(
        "CDS_METRICS_FROM",
        "metrics_from",
        "127.0.0.0/8, ::1",
        networks,
        "comma list of addresses or networks that may read `/metrics`",
    ),
)
