"""The production server as real processes: stopping, reloading, proxies, metrics across workers."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from cds_service.commands.cores import usable_cores
from tests.charts import Json
from tests.processes import (
    NO_SETTINGS,
    OFF,
    PATIENCE_SECONDS,
    ROOT,
    answering,
    environment,
    free_port,
    running,
)
from tests.signing import BASE, HASH_KEY, Signer, clients_file

BODY = (ROOT / "fhir_fixtures" / "requests" / "persistent-low-alp.json").read_bytes()
VIEW = "/cds-services/low-alp-patient-view"
LOCAL_CODE = '[[local_codes]]\nvalue_set = "alp-total"\nsystem = "urn:oid:1.2.3.4"\ncode = "ALP"\n'


class Running:
    """A server that answers, with its log."""

    def __init__(self, process: "subprocess.Popen[str]", port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.base = f"http://127.0.0.1:{port}"
        self._log = log

    def get(self, path: str, **options: object) -> requests.Response:
        return requests.get(self.base + path, timeout=10, **options)  # type: ignore[arg-type]

    def fire(self, **options: object) -> requests.Response:
        """One hook call on a connection of its own."""
        headers = {"Content-Type": "application/json", **options.pop("headers", {})}  # type: ignore[dict-item]
        return requests.post(self.base + VIEW, data=BODY, headers=headers, timeout=10)

    def metric(self, series: str) -> float:
        """The value of one series, 0 while it is not there."""
        found = re.search(rf"^{re.escape(series)} (\S+)$", self.get("/metrics").text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def knows_local_code(self) -> bool:
        return "urn:oid:1.2.3.4|ALP" in self.get("/cds-services").text

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def workers(self) -> set[int]:
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return {int(pid) for pid in found.read_text(encoding="ascii").split()}

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=PATIENCE_SECONDS) == 0


@contextmanager
def serving(
    folder: Path, *options: str, settings: Mapping[str, str] = NO_SETTINGS
) -> Iterator[Running]:
    port = free_port()
    log = folder / "log"
    environment = {
        **OFF,
        "CDS_DATABASE_URL": f"sqlite:///{folder / 'memory.sqlite3'}",
        "TMPDIR": str(folder),
        **settings,
    }
    arguments = ("serve", "--port", str(port), "--workers", "2", "--threads", "4", *options)
    with (
        log.open("w", encoding="utf-8") as output,
        running(*arguments, output=output, settings=environment) as process,
    ):
        answering(f"http://127.0.0.1:{port}", process)
        server = Running(process, port, log)
        until(lambda: len(server.workers()) == 2, "both workers are there")
        yield server
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=PATIENCE_SECONDS)


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS} s: {what}"
        time.sleep(0.05)


def half_sent(port: int) -> socket.socket:
    """A call of which the last byte is still to come."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
    head = (
        f"POST {VIEW} HTTP/1.1\r\nHost: cds\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(BODY)}\r\nConnection: close\r\n\r\n"
    )
    connection.sendall(head.encode() + BODY[:-1])
    return connection


def answer_of(connection: socket.socket) -> tuple[int, Json]:
    """Status and body of what comes until the server closes."""
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    connection.close()
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


class Load:
    """Callers that ask again and again, each on new connections, until told to stop."""

    def __init__(self, server: Running, callers: int = 4, most: int = 400) -> None:
        self.statuses: list[int] = []
        self.failures: list[BaseException] = []
        self._server = server
        self._most = most
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(callers)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        until(lambda: len(self.statuses) >= len(self._threads), "the load has begun")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=PATIENCE_SECONDS)

    def _ask(self) -> None:
        for _ in range(self._most):
            if self._stop.is_set():
                return
            try:
                self.statuses.append(self._server.fire().status_code)
            except requests.ConnectionError as error:
                self.failures.append(_cause(error))
                return


def _cause(error: BaseException) -> BaseException:
    """The system's own error below those of the libraries."""
    while (deeper := error.__cause__ or error.__context__) is not None:
        error = deeper
    return error


# stopping


def test_calls_under_way_are_answered_before_it_ends(tmp_path: Path) -> None:
    """As many as there are threads, each with its last byte sent only after SIGTERM."""
    with serving(tmp_path) as server:
        calls = [half_sent(server.port) for _ in range(6)]
        time.sleep(0.3)  # until the threads have them; sooner, the test would merely be easier
        server.process.send_signal(signal.SIGTERM)
        until(lambda: not _connects(server.port), "new callers are refused")
        for call in calls:
            call.sendall(BODY[-1:])
        with ThreadPoolExecutor(len(calls)) as readers:
            answers = list(readers.map(answer_of, calls))
        assert [status for status, _ in answers] == [200] * 6
        assert all(isinstance(body["cards"], list) for _, body in answers)
        assert server.process.wait(timeout=PATIENCE_SECONDS) == 0
        assert "Traceback" not in server.log()


def test_under_load_a_call_is_answered_or_refused_but_never_dropped(tmp_path: Path) -> None:
    with serving(tmp_path, "--threads", "1") as server, Load(server, callers=8) as load:
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=PATIENCE_SECONDS) == 0
    assert set(load.statuses) == {200}
    assert load.failures, "it ended while callers were still asking"
    assert {type(failure) for failure in load.failures} == {ConnectionRefusedError}


def _connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def test_a_stop_does_not_wait_for_ever(tmp_path: Path) -> None:
    with serving(tmp_path, "--graceful-seconds", "1") as server:
        call = half_sent(server.port)
        time.sleep(0.2)
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(timeout=10)
        call.close()


def test_a_stop_reaches_a_worker_that_has_just_been_started(tmp_path: Path) -> None:
    """Told to stop before it has its own way with signals, it would be waited for until it is killed."""
    program = """
import time
from cds_service.cli import main
from cds_service.commands.server import Worker

start = Worker.init_process

def slowly(worker):
    print("the worker is there", flush=True)
    time.sleep(1)
    start(worker)

Worker.init_process = slowly
main()
"""
    log = tmp_path / "log"
    address = ("--port", str(free_port()), "--workers", "1", "--graceful-seconds", "300")
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", program, "serve", *address],
            cwd=ROOT,
            env=environment(
                {**OFF, "CDS_DATABASE_URL": f"sqlite:///{tmp_path / 'memory.sqlite3'}"}
            ),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            there = "the worker is there"
            until(lambda: there in log.read_text(encoding="utf-8"), there)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=PATIENCE_SECONDS) == 0
        finally:
            process.kill()


def test_a_server_that_drains_is_not_ready_and_answers_all_the_same(tmp_path: Path) -> None:
    with serving(tmp_path, "--drain-seconds", "2") as server:
        assert server.get("/health/ready").json()["parts"]["server"] == "ready"
        server.process.send_signal(signal.SIGTERM)
        until(lambda: server.get("/health/ready").status_code == 503, "a proxy can see it")
        assert server.get("/health/ready").json()["parts"]["server"] == "not ready"
        assert server.fire().status_code == 200
        assert server.process.wait(timeout=PATIENCE_SECONDS) == 0


# reloading


def test_a_changed_policy_is_in_force_after_sighup_and_no_call_is_lost(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('version = "one"\n', encoding="utf-8")
    with serving(tmp_path, settings={"CDS_POLICY": str(policy)}) as server:
        assert not server.knows_local_code()
        before = server.workers()
        with Load(server) as load, requests.Session() as kept:
            kept.get(f"{server.base}/cds-services", timeout=10)
            policy.write_text(LOCAL_CODE, encoding="utf-8")
            server.process.send_signal(signal.SIGHUP)
            until(server.knows_local_code, "the new policy is in force")
            kept.get(f"{server.base}/cds-services", timeout=10).raise_for_status()
            until(lambda: server.workers().isdisjoint(before), "the old workers have ended")
        assert load.failures == []
        assert set(load.statuses) == {200}
        assert server.knows_local_code(), "in every worker"
        assert server.metric('cds_reloads_total{outcome="done"}') == 1
        assert server.get("/health/ready").status_code == 200
        server.end()
        assert "Traceback" not in server.log()


def test_a_wrong_policy_is_refused_in_one_line_and_the_old_one_stays(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(LOCAL_CODE, encoding="utf-8")
    with serving(tmp_path, settings={"CDS_POLICY": str(policy)}) as server:
        before = server.workers()
        policy.write_text("[alp]\nadult_femal = 38\n", encoding="utf-8")
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "reload refused" in server.log(), "the refusal is told")
        until(lambda: server.metric('cds_reloads_total{outcome="refused"}') == 1, "it is counted")
        assert server.workers() == before, "nobody was replaced"
        assert server.knows_local_code()
        assert server.get("/health/ready").status_code == 200
        told = [line for line in server.log().splitlines() if "reload refused" in line]
        assert len(told) == 1
        assert f"{policy}: unknown key alp.adult_femal" in told[0]
        policy.unlink()
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "cannot be read" in server.log(), "a policy that is gone is refused too")
        assert server.fire().status_code == 200
        policy.write_text('version = "three"\n', encoding="utf-8")
        server.process.send_signal(signal.SIGHUP)
        until(lambda: not server.knows_local_code(), "the mended policy is in force")
        server.end()
        assert "Traceback" not in server.log()


def test_changed_clients_are_in_force_after_sighup_and_wrong_ones_are_refused(
    tmp_path: Path,
) -> None:
    one, other = Signer("https://one.example"), Signer("https://other.example")
    tables = [
        {"name": name, "issuer": signer.issuer, "jwks": signer.jwks()}
        for name, signer in (("one", one), ("other", other))
    ]
    path = clients_file(tmp_path, tables[0])
    settings = {
        "CDS_AUTH": "required",
        "CDS_CLIENTS": str(path),
        "CDS_BASE_URL": BASE,
        "CDS_HASH_KEY": HASH_KEY.decode(),
    }

    with serving(tmp_path, settings=settings) as server:

        def status(signer: Signer) -> int:
            return server.get("/cds-services", headers=signer.bearer("/cds-services")).status_code

        assert (status(one), status(other)) == (200, 401)
        before = server.workers()
        path.write_text('[[client]]\nname = "one"\n', encoding="utf-8")
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "reload refused" in server.log(), "the refusal is told")
        told = [line for line in server.log().splitlines() if "reload refused" in line]
        assert len(told) == 1
        assert str(path) in told[0]
        assert server.workers() == before
        assert status(one) == 200
        clients_file(tmp_path, tables[1])
        server.process.send_signal(signal.SIGHUP)
        until(lambda: status(other) == 200, "the new client is let in")
        until(lambda: server.workers().isdisjoint(before), "the old workers have ended")
        assert status(one) == 401
        server.end()
        assert "Traceback" not in server.log()


def test_a_patient_keeps_its_name_over_a_reload_without_a_key_of_the_site(tmp_path: Path) -> None:
    def names() -> list[str]:
        return re.findall(r'"patient":"(\w+)"', server.log())

    with serving(tmp_path) as server:
        before = server.workers()
        assert server.fire().status_code == 200
        server.process.send_signal(signal.SIGHUP)
        until(lambda: server.workers().isdisjoint(before), "the old workers have ended")
        assert server.fire().status_code == 200
        until(lambda: len(names()) == 2, "both calls are told")
        assert len(set(names())) == 1
        server.end()


# proxies


def test_forwarded_headers_of_a_stranger_change_nothing(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        forwarded = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
        assert server.fire(headers=forwarded).status_code == 200
        refused = server.get("/metrics", headers=forwarded)
        assert refused.status_code == 403, "loopback, but on behalf of nobody knows whom"
        assert "CDS_METRICS_FROM" in refused.json()["issue"][0]["diagnostics"]
        assert server.get("/metrics", headers={"Via": "1.1 proxy"}).status_code == 403
        assert server.get("/metrics").status_code == 200
        assert "203.0.113.9" not in server.log()
        assert "address=127.0.0.1" in server.log()


def test_forwarded_headers_of_a_listed_proxy_name_the_caller(tmp_path: Path) -> None:
    with serving(tmp_path, settings={"CDS_TRUSTED_PROXIES": "127.0.0.0/8"}) as server:
        forwarded = {"X-Forwarded-For": "198.51.100.1, 203.0.113.9"}
        assert server.fire(headers=forwarded).status_code == 200
        assert "address=203.0.113.9" in server.log()
        assert "198.51.100.1" not in server.log(), "what stands before it, the caller wrote"
        assert server.get("/metrics", headers=forwarded).status_code == 403
        assert server.get("/metrics").status_code == 200


# metrics and logs of several workers


def test_what_all_workers_counted_is_added_up_and_outlives_one(tmp_path: Path) -> None:
    series = 'cds_requests_total{service="low-alp-patient-view",status="200"}'
    with serving(tmp_path) as server:
        for _ in range(20):
            assert server.fire().status_code == 200
        assert server.metric(series) == 20
        assert server.metric('cds_request_seconds_count{hook="patient-view"}') == 20
        killed = min(server.workers())
        os.kill(killed, signal.SIGKILL)
        until(lambda: killed not in server.workers(), "it is gone")
        until(lambda: len(server.workers()) == 2, "another took its place")
        assert server.fire().status_code == 200
        assert server.metric(series) == 21
        assert [p.name for p in tmp_path.glob("cds-metrics-*")], "where workers add up"
        server.end()
        assert not list(tmp_path.glob("cds-metrics-*")), "gone with the server"


def test_every_line_of_a_json_log_is_an_object(tmp_path: Path) -> None:
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    headers = {"X-Request-ID": "request-0001", "traceparent": f"00-{trace}-{span}-01"}
    with serving(tmp_path, settings={"CDS_LOG_FORMAT": "json"}) as server:
        answer = server.fire(headers=headers)
        assert answer.headers["X-Request-ID"] == "request-0001"
        for pid in server.workers():
            os.kill(pid, signal.SIGKILL)  # so that the server itself has something to say
        until(lambda: "SIGKILL" in server.log(), "gunicorn says so")
        server.end()
        lines = [json.loads(line) for line in server.log().splitlines()]
    (line,) = [found for found in lines if found["message"].startswith("answered ")]
    assert line["service"] == "low-alp-patient-view"
    assert line["request_id"] == "request-0001"
    assert (line["trace_id"], line["span_id"]) == (trace, span)
    assert line["address"] == "127.0.0.1"
    assert line["severity"] == "INFO"
    assert isinstance(line["ms"], float)


# what it is told, and what it is not ready for


def test_a_database_out_of_reach_stops_no_start_and_is_told_by_readiness(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/later/memory.sqlite3"
    with serving(tmp_path, settings={"CDS_DATABASE_URL": url}) as server:
        assert server.get("/health/ready").json()["parts"]["database"] == "not ready"
        assert len(server.fire().json()["cards"]) == 1, "the card goes out"
        (tmp_path / "later").mkdir()
        until(lambda: server.get("/health/ready").status_code == 200, "it mends itself")
        server.end()
        assert "Traceback" not in server.log()


@pytest.mark.parametrize(
    "quota, cores",
    [
        ("max 100000", None),
        ("50000 100000", 1),
        ("100000 100000", 1),
        ("150000 100000", 2),
        ("99900000 100000", None),
        ("nonsense", None),
        ("0 0", None),
    ],
)
def test_auto_is_a_worker_for_each_core_that_may_be_used(
    tmp_path: Path, quota: str, cores: int | None
) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(f"{quota}\n", encoding="ascii")
    here = len(os.sched_getaffinity(0))
    assert usable_cores(file) == min(here, cores or here)
    assert usable_cores(tmp_path / "not there") == here


def test_a_worker_does_not_inherit_the_connections_of_its_master(tmp_path: Path) -> None:
    program = f"""
import os
from cds_service.database import open_database
engine = open_database("sqlite:///{tmp_path}/memory.sqlite3")
engine.connect().close()
assert engine.pool.checkedin() == 1
child = os.fork()
if not child:
    os._exit(engine.pool.checkedin())
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert engine.pool.checkedin() == 1
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=PATIENCE_SECONDS)
