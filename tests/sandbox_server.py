"""The demonstration as `cds-service demo` builds it, on a free port."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from werkzeug.serving import make_server

from cds_service.commands.demo import Ehr, sandbox_app
from cds_service.guidance import Advisor
from cds_service.web.pages.visits import Exchange, Json
from tests.conftest import open_settings


@contextmanager
def demonstration(
    advisor: Advisor, send: Callable[[Ehr, str, Json], Exchange] | None = None
) -> Iterator[str]:
    """Its base URL. `send` stands between the sandbox and the service, for answers it never gives."""
    ehr = Ehr() if send is None else _Between(send)
    app = sandbox_app(open_settings(), advisor, ehr)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    ehr.base = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield ehr.base
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Between(Ehr):
    def __init__(self, send: Callable[[Ehr, str, Json], Exchange]) -> None:
        self._between = send

    def send(self, path: str, body: Json) -> Exchange:
        """Ask the one in between."""
        return self._between(straight(self.base), path, body)


def straight(base: str) -> Ehr:
    """A record system that talks to the service straight."""
    ehr = Ehr()
    ehr.base = base
    return ehr
