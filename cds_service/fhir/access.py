"""How FHIR servers are reached: warm connections and threads, shared by all calls of a process."""

import threading
from concurrent.futures import ThreadPoolExecutor

import requests

from cds_service.clients import Client
from cds_service.fhir.budget import Budget, Limits
from cds_service.fhir.client import FhirClient
from cds_service.fhir.completing import FhirServer
from cds_service.fhir.grant import Grant
from cds_service.fhir.scopes import Scopes
from cds_service.fhir.servers import AllowedServers
from cds_service.fhir.transport import session
from cds_service.observer import NOBODY, Observer

_MOST_SEARCHES = 64
"""Under way at once in one process; further ones wait, on the budget of their hook."""


class FhirAccess:
    """Warm connections to FHIR servers, one pool for each list of allowed servers.

    Built once and shared by all calls. It makes connections and threads when they are first needed,
    so that worker processes may be forked before.
    """

    def __init__(self, limits: Limits | None = None, observer: Observer = NOBODY) -> None:
        self.limits = limits or Limits()
        self._observer = observer
        self._lock = threading.Lock()
        self._pools: dict[tuple[str, ...], tuple[AllowedServers, requests.Session]] = {}
        self._executor: ThreadPoolExecutor | None = None

    def server_of(
        self, fhir_server: str | None, grant: Grant | None, client: Client
    ) -> FhirServer | None:
        """The FHIR server of a call, when there is one that may be called on this client's behalf."""
        if fhir_server is None or not client.fhir_servers:
            return None
        allowed, session = self._pool(client.fhir_servers)
        base = allowed.find(fhir_server)
        if base is None:
            return None
        budget = Budget(self.limits)
        token = grant.token if grant else None
        asked = FhirClient(session, base, token, budget, self._observer)
        return FhirServer(asked, grant.scopes if grant else Scopes(), self._threads())

    def session_of(self, client: Client) -> requests.Session:
        """Connections to whatever address this client's list lets us connect to."""
        return self._pool(client.fhir_servers)[1]

    def close(self) -> None:
        """Let go of every connection."""
        with self._lock:
            for _, session in self._pools.values():
                session.close()
            self._pools.clear()
            if self._executor is not None:
                self._executor.shutdown(wait=False, cancel_futures=True)
                self._executor = None

    def _pool(self, entries: tuple[str, ...]) -> tuple[AllowedServers, requests.Session]:
        with self._lock:
            if entries not in self._pools:
                allowed = AllowedServers(entries)
                self._pools[entries] = (allowed, session(allowed.addresses, _MOST_SEARCHES))
            return self._pools[entries]

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(_MOST_SEARCHES, "fhir")
            return self._executor
