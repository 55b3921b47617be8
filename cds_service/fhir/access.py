"""How FHIR servers are reached: warm connections and threads, shared by all calls of a process."""

import threading
from concurrent.futures import ThreadPoolExecutor

import msgspec
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
"""Under way at once in one process for one list of servers; more wait, on the budget of their hook."""


class _Pool(msgspec.Struct, frozen=True):
    """What calls to the servers of one list share: a slow server takes threads from its own calls only."""

    allowed: AllowedServers
    session: requests.Session
    threads: ThreadPoolExecutor


class FhirAccess:
    """Warm connections and threads, one pool for each list of allowed servers.

    Built once and shared by all calls. It makes connections and threads when they are first needed,
    so that worker processes may be forked before.
    """

    def __init__(self, limits: Limits | None = None, observer: Observer = NOBODY) -> None:
        self.limits = limits or Limits()
        self._observer = observer
        self._lock = threading.Lock()
        self._pools: dict[tuple[str, ...], _Pool] = {}

    def server_of(
        self, fhir_server: str | None, grant: Grant | None, client: Client
    ) -> FhirServer | None:
        """The FHIR server of a call, when there is one that may be called on this client's behalf."""
        if fhir_server is None or not client.fhir_servers:
            return None
        pool = self._pool(client.fhir_servers)
        base = pool.allowed.find(fhir_server)
        if base is None:
            return None
        budget = Budget(self.limits)
        token = grant.token if grant else None
        asked = FhirClient(pool.session, base, token, budget, self._observer)
        return FhirServer(asked, grant.scopes if grant else Scopes(), pool.threads)

    def session_of(self, client: Client) -> requests.Session:
        """Connections to whatever address this client's list lets us connect to."""
        return self._pool(client.fhir_servers).session

    def close(self) -> None:
        """Let go of every connection and thread."""
        with self._lock:
            for pool in self._pools.values():
                pool.session.close()
                pool.threads.shutdown(wait=False, cancel_futures=True)
            self._pools.clear()

    def _pool(self, entries: tuple[str, ...]) -> _Pool:
        with self._lock:
            if entries not in self._pools:
                allowed = AllowedServers(entries)
                self._pools[entries] = _Pool(
                    allowed,
                    session(allowed.addresses, _MOST_SEARCHES),
                    ThreadPoolExecutor(_MOST_SEARCHES, "fhir"),
                )
            return self._pools[entries]
