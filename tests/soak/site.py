"""The machines of a hospital for the soak: replicas, their database, the EHR's FHIR server."""

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cds_service.database import open_database
from cds_service.database.upgrading import upgrade
from tests.databases import PostgreSQL
from tests.fhir_stub import FhirStub, running
from tests.serving import OPEN, Served
from tests.signing import BASE, Signer, clients_file
from tests.soak.patients import at_the_ehr

CALL_SECONDS = 1
"""CDS_FHIR_TIMEOUT of the replicas."""
_WORKERS = 2


class FhirServer:
    """A FHIR server that can die and come back at its address."""

    def __init__(self) -> None:
        self._life = ExitStack()
        self.stub = self._begin(0)

    @property
    def base(self) -> str:
        """Its base URL."""
        return self.stub.base

    def slow(self, seconds: float) -> None:
        """Wait before each answer."""
        self.stub.delay_seconds = seconds

    def trouble(self, name: str) -> None:
        """What goes wrong with every search; empty: nothing."""
        self.stub.trouble = {"*": name} if name else {}

    def die(self) -> None:
        """No new connection is taken, and those that are there break."""
        self.trouble("dies")
        self._life.close()

    def come_back(self) -> None:
        """A new process would be no different: the same address, the same charts."""
        self.stub = self._begin(self.stub.server_address[1])

    def close(self) -> None:
        """End it."""
        self._life.close()

    def _begin(self, port: int) -> FhirStub:
        stub = FhirStub(port)
        stub.store(at_the_ehr())
        return self._life.enter_context(running(stub))


class Replicas:
    """Servers on one database."""

    def __init__(self, url: str, how_many: int, settings: dict[str, str]) -> None:
        self.log: list[str] = []
        self._url = url
        self._settings = settings
        self.servers: list[Served] = []
        for _ in range(how_many):
            self.servers.append(self._start(None))

    @property
    def ports(self) -> tuple[int, int]:
        """Of the first and the last."""
        return self.servers[0].port, self.servers[-1].port

    def kill_a_worker(self, number: int) -> None:
        """As the kernel does when memory is short."""
        os.kill(self.servers[number].workers()[0], signal.SIGKILL)

    def stop(self, number: int) -> None:
        """End one gracefully."""
        self.servers[number].stop()

    def start(self, number: int) -> None:
        """Start it again, at its address."""
        self.servers[number] = self._start(self.servers[number].port)

    def fill_disk(self) -> None:
        """No file may grow, and none may be written to: what a full disk does, to these alone."""
        self._let_files_grow_to(0)

    def free_disk(self) -> None:
        """There is room again."""
        self._let_files_grow_to(resource.RLIM_INFINITY)

    def close(self) -> None:
        """End them all."""
        for server in self.servers:
            server.kill()

    def failures(self, operation: str) -> int:
        """How often memory failed at that, by the log."""
        return sum(f"memory failed operation={operation} " in line for line in list(self.log))

    def _start(self, port: int | None) -> Served:
        return Served(
            self._url,
            workers=_WORKERS,
            port=port,
            settings=self._settings,
            log=self.log.append,
        )

    def _let_files_grow_to(self, size: int) -> None:
        for server in self.servers:
            for process in (server.process.pid, *server.workers()):
                resource.prlimit(process, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@contextmanager
def hospital(
    folder: Path,
) -> Iterator[tuple[PostgreSQL, str, FhirServer, Signer, Replicas]]:
    """Two replicas on PostgreSQL with client authentication, and a FHIR server."""
    signer = Signer("https://ehr.hospital.example")
    with ExitStack() as stack:
        server = PostgreSQL()
        stack.callback(server.remove)
        url = server.migrated()
        fhir = FhirServer()
        stack.callback(fhir.close)
        replicas = Replicas(url, 2, signed(folder, signer, fhir.base))
        stack.callback(replicas.close)
        yield server, url, fhir, signer, replicas


@contextmanager
def practice(folder: Path) -> Iterator[tuple[str, Replicas]]:
    """One server on an SQLite file, without client authentication."""
    url = f"sqlite:///{folder}/memory.sqlite3"
    engine = open_database(url)
    upgrade(engine)
    engine.dispose()
    replicas = Replicas(url, 1, dict(OPEN))
    try:
        yield url, replicas
    finally:
        replicas.close()


def signed(folder: Path, signer: Signer, *fhir_servers: str) -> dict[str, str]:
    """The settings of replicas that one client may call, with the keys of `signer`."""
    table = {"name": "ehr", "issuer": signer.issuer, "jwks": signer.jwks()}
    return {
        "CDS_BASE_URL": BASE,
        "CDS_CLIENTS": str(clients_file(folder, {**table, "fhir_servers": list(fhir_servers)})),
        "CDS_FHIR_TIMEOUT": str(CALL_SECONDS),
        "CDS_FHIR_BUDGET": str(2 * CALL_SECONDS),
    }
