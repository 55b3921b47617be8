"""What is under deploy/ fits the service: settings, commands, metrics, schemas."""

import json
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from cds_service.app import create_app
from cds_service.cli import main
from cds_service.metrics import Metrics
from cds_service.settings import SETTINGS, Settings
from tests.processes import ROOT

DEPLOY = ROOT / "deploy"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
OURS = ("sandbox", "fixtures", "replica-a", "replica-b", "migrate")
ALERTS = yaml.safe_load((DEPLOY / "monitoring" / "alerts.yml").read_text(encoding="utf-8"))
DASHBOARD = json.loads((DEPLOY / "monitoring" / "dashboard.json").read_text(encoding="utf-8"))
KNOWN_SETTINGS = {s.name for s in SETTINGS}


def documents() -> Iterator[dict[str, Any]]:
    for path in MANIFESTS:
        if path.name != "kustomization.yaml":
            yield from yaml.safe_load_all(path.read_text(encoding="utf-8"))


def found(kind: str, name: str = "cds") -> dict[str, Any]:
    return next(d for d in documents() if d["kind"] == kind and d["metadata"]["name"] == name)


# metrics


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for group in ALERTS["groups"] for rule in group["rules"])
    yield from (target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"])


def test_alerts_and_dashboard_name_metrics_that_are_exported() -> None:
    named = {name for text in expressions() for name in re.findall(r"\bcds_\w+", text)}
    assert named <= Metrics().names()
    assert {n.rsplit("_", 1)[0] for n in Metrics().names()} - {
        n.rsplit("_", 1)[0] for n in named
    } == set(), "and leave none out"


@pytest.mark.parametrize("alert", [rule["alert"] for rule in ALERTS["groups"][0]["rules"]])
def test_an_alert_says_what_is_the_matter(alert: str) -> None:
    (rule,) = [r for r in ALERTS["groups"][0]["rules"] if r["alert"] == alert]
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert rule["annotations"]["summary"]


@pytest.mark.parametrize(
    "alert", ["FiringRateChanged", "CanaryPatientSilenced", "CouldNotCheck", "SlowAnswers"]
)
def test_what_must_not_go_unseen_has_an_alert(alert: str) -> None:
    assert alert in [rule["alert"] for rule in ALERTS["groups"][0]["rules"]]


def test_labels_in_expressions_are_labels_of_the_metric() -> None:
    """A misspelt label matches nothing, silently."""
    labels = {
        metric.name: set(metric._labelnames) | {"le", "namespace"}
        for metric in vars(Metrics()).values()
        if hasattr(metric, "_labelnames")
        for metric in [_Named(metric)]
    }
    checked = 0
    for text in expressions():
        for name, matchers in re.findall(r"\b(cds_\w+)\{([^}]*)\}", text):
            base = re.sub(r"_(total|bucket|count|sum)$", "", name)
            used = set(re.findall(r'(\w+)\s*=~?"', matchers))
            assert used <= labels[base], text
            checked += 1
    assert checked > 10


class _Named:
    def __init__(self, metric: Any) -> None:
        self.name: str = metric._name
        self._labelnames: tuple[str, ...] = metric._labelnames


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_alert_rules_do_what_their_own_tests_say() -> None:
    for arguments in (("check", "rules", "alerts.yml"), ("test", "rules", "alerts.test.yml")):
        subprocess.run(["promtool", *arguments], cwd=DEPLOY / "monitoring", check=True)


# compose


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_every_container_is_hardened(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["security_opt"] == ["no-new-privileges:true"]
    if name in OURS:
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["tmpfs"] == ["/tmp"]  # noqa: S108  (of the container)
    for port in service.get("ports", ()):
        assert port.startswith("127.0.0.1:"), "on loopback only"


def test_a_replica_is_given_time_to_stop() -> None:
    replica = COMPOSE["services"]["replica-a"]
    seconds = dict(re.findall(r"--(drain|graceful)-seconds=(\d+)", " ".join(replica["command"])))
    given = int(replica["stop_grace_period"].removesuffix("s"))
    assert given > int(seconds["drain"]) + int(seconds["graceful"])


@pytest.mark.parametrize("name", OURS)
def test_commands_of_compose_exist(name: str) -> None:
    program, subcommand, *arguments = COMPOSE["services"][name].get("command", ("", ""))
    if subcommand:
        main.commands[subcommand].make_context(subcommand, list(arguments))
    assert program in ("", "cds-service")


def test_fixtures_are_loaded_from_where_the_image_has_them() -> None:
    (folder,) = COMPOSE["services"]["fixtures"]["command"][4:]
    image = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    (version,) = set(re.findall(r"^FROM python:([0-9.]+)-", image, re.MULTILINE))
    installed = f"/opt/cds/lib/python{version}/site-packages/"
    assert folder.startswith(installed)
    assert list((ROOT / folder.removeprefix(installed)).glob("*.json"))


def test_settings_of_compose_are_settings() -> None:
    for name in OURS:
        given = COMPOSE["services"][name].get("environment", {})
        assert {key.removesuffix("_FILE") for key in given} <= KNOWN_SETTINGS


def test_the_sandbox_is_open_on_loopback_and_replicas_authenticate() -> None:
    services = COMPOSE["services"]
    assert services["sandbox"]["environment"]["CDS_AUTH"] == "off"
    assert services["sandbox"]["profiles"] == ["sandbox"]
    for name in ("replica-a", "replica-b"):
        assert services[name]["environment"]["CDS_AUTH"] == "required"
        assert "ports" not in services[name], "only through the proxy"


def test_only_the_proxy_is_trusted_and_it_has_that_address() -> None:
    address = COMPOSE["services"]["proxy"]["networks"]["proxied"]["ipv4_address"]
    assert COMPOSE["services"]["replica-a"]["environment"]["CDS_TRUSTED_PROXIES"] == address


def test_networks_with_replicas_and_database_are_closed() -> None:
    for name in ("replica-a", "replica-b", "database", "migrate"):
        for network in COMPOSE["services"][name]["networks"]:
            assert COMPOSE["networks"][network]["internal"] is True


def test_profiles_name_what_they_need() -> None:
    for name, service in COMPOSE["services"].items():
        for needed in service.get("depends_on", ()):
            profiles = COMPOSE["services"][needed]["profiles"]
            assert set(service["profiles"]) <= set(profiles), f"{name} without {needed}"


def test_no_secret_is_committed(tmp_path: Path) -> None:
    kept = subprocess.run(
        ["git", "ls-files", "deploy/secrets"],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert kept.stdout.split() == ["deploy/secrets/.gitignore"]
    for secret in COMPOSE["secrets"].values():
        assert secret["file"].startswith("./deploy/secrets/")


def test_secrets_are_made_once_and_kept(tmp_path: Path) -> None:
    shutil.copy(DEPLOY / "make-secrets.sh", tmp_path)
    folder = tmp_path / "secrets"
    folder.mkdir()
    made = []
    for _ in range(2):
        subprocess.run([tmp_path / "make-secrets.sh"], check=True)
        made.append({path.name: path.read_text(encoding="ascii") for path in folder.iterdir()})
    assert made[0] == made[1]
    assert {f"./deploy/secrets/{name}" for name in made[0]} == {
        secret["file"] for secret in COMPOSE["secrets"].values()
    }
    assert made[0]["database_url"] == (
        f"postgresql://cds:{made[0]['database_password']}@database/cds"
    )
    assert len(made[0]["hash_key"]) == 64
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def _has_compose() -> bool:
    docker = shutil.which("docker")
    if docker is None:
        return False
    asked = subprocess.run([docker, "compose", "version"], capture_output=True, check=False)
    return asked.returncode == 0


@pytest.mark.parametrize("profile", ["sandbox", "replicated"])
def test_compose_itself_accepts_the_file(profile: str) -> None:
    if not _has_compose():
        pytest.skip("no docker client with the compose plugin")
    subprocess.run(
        ["docker", "compose", "--profile", profile, "config", "--quiet"], cwd=ROOT, check=True
    )


# Kubernetes


@pytest.mark.parametrize(
    "document", list(documents()), ids=lambda d: f"{d['kind']}-{d['metadata']['name']}"
)
def test_manifest_fits_the_schema_of_kubernetes(document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, "1.37", strict=True)


def test_every_manifest_is_applied() -> None:
    listed = yaml.safe_load((DEPLOY / "kubernetes" / "kustomization.yaml").read_text())["resources"]
    assert sorted([*listed, "kustomization.yaml"]) == [path.name for path in MANIFESTS]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kustomize_builds_it() -> None:
    built = subprocess.run(
        ["kubectl", "kustomize", str(DEPLOY / "kubernetes")],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    for document in yaml.safe_load_all(built.stdout):
        kubernetes_validate.validate(document, "1.37", strict=True)
        assert document["kind"] == "Namespace" or document["metadata"]["namespace"] == "low-alp-cds"


@pytest.mark.parametrize("kind, name", [("Deployment", "cds"), ("Job", "cds-migration")])
def test_pods_are_restricted(kind: str, name: str) -> None:
    pod = found(kind, name)["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]


def test_a_pod_is_given_time_to_stop() -> None:
    pod = found("Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (graceful,) = [a for a in container["args"] if a.startswith("--graceful-seconds=")]
    drained = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > drained + int(graceful.partition("=")[2])


def test_every_address_but_the_operators_is_reached_from_outside(tmp_path: Path) -> None:
    (rule,) = found("Ingress")["spec"]["rules"]
    paths = [(path["path"], path["pathType"]) for path in rule["http"]["paths"]]
    settings = Settings(auth="off", database_url=f"sqlite:///{tmp_path}/memory.sqlite3")
    routes = {r.rule for r in create_app(settings).url_map.iter_rules()}
    for route in sorted(routes | {"/smart/launch", "/smart/callback", "/timeline"}):
        reached = any(
            route == path or (kind == "Prefix" and route.startswith(f"{path}/"))
            for path, kind in paths
        )
        assert reached is not route.startswith(("/metrics", "/health")), route


def test_selectors_select_the_pods() -> None:
    labels = found("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert found("Service")["spec"]["selector"] == labels
    assert found("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    assert found("NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels
    target = found("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert target == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "cds"}


def test_settings_of_kubernetes_are_settings() -> None:
    lines = (DEPLOY / "kubernetes" / "site.env").read_text(encoding="utf-8").splitlines()
    assert {line.partition("=")[0] for line in lines} <= KNOWN_SETTINGS
    container = found("Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert {variable["name"] for variable in container["env"]} <= KNOWN_SETTINGS


# the image


def test_the_image_runs_as_nobody_and_is_probed_for_readiness() -> None:
    image = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^USER 10001$", image, re.MULTILINE)
    assert "/health/ready" in image
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", image, re.MULTILINE)
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for name in " ".join(copied).split():
        assert f"!{name}" in allowed, f"{name} is kept out of the build by .dockerignore"
