"""The files of infra/ that need docker or Kubernetes to run: what they name is there, and they agree."""

from __future__ import annotations

import re
import shlex

import pytest
import yaml

SERVICE_KEYS = {
    "image", "build", "command", "environment", "env_file", "ports", "volumes", "depends_on", "healthcheck", "restart",
    "stop_grace_period",
}  # fmt: skip
POOL = ["prefect", "worker", "start", "--pool", "latentlake"]


@pytest.fixture(scope="module")
def compose(repository):
    return yaml.safe_load((repository / "infra" / "server" / "compose.yaml").read_text())


@pytest.fixture(scope="module")
def manifests(repository):
    text = (repository / "infra" / "kubernetes" / "latentlake.yaml").read_text()
    return {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(text)}


def test_compose_services_have_known_keys_and_lean_on_healthy_ones(compose, repository):
    services = compose["services"]
    assert set(services) == {"postgres", "server", "worker"}
    for name, service in services.items():
        assert set(service) <= SERVICE_KEYS, name
        assert ("image" in service) != ("build" in service)
        for other, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert "healthcheck" in services[other]
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in compose["volumes"] or source.startswith("./")
    assert (repository / services["worker"]["build"]["dockerfile"]).exists()
    # passwords come from the environment: the file says only that it has to be set
    assert services["postgres"]["environment"]["POSTGRES_PASSWORD"].startswith("${POSTGRES_PASSWORD:?")


def test_the_dockerfile_copies_what_the_package_is_built_from(repository):
    text = (repository / "infra" / "server" / "Dockerfile").read_text().replace("\\\n", " ")
    copied = {part for line in re.findall(r"^COPY (.*)$", text, re.M) for part in shlex.split(line)[:-1]}
    assert all((repository / name).exists() for name in copied)
    assert copied >= {"pyproject.toml", "README.md", "LICENSE", "ae_core", "flows", "infra/constraints.txt"}
    assert yaml.safe_load(re.findall(r"^CMD (.*)$", text, re.M)[0]) == POOL


def test_manifests_refer_to_what_is_there(manifests):
    for (kind, name), one in manifests.items():
        if kind == "Service":
            workload = manifests.get(("Deployment", name)) or manifests[("StatefulSet", name)]
            pod = workload["spec"]["template"]
            assert one["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
            ports = {port["containerPort"] for c in pod["spec"]["containers"] for port in c["ports"]}
            assert {port["port"] for port in one["spec"]["ports"]} <= ports
            continue
        spec = one["spec"]
        assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
        claimed = {claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", [])}
        pod = spec["template"]["spec"]
        volumes = claimed | {volume["name"] for volume in pod.get("volumes", [])}
        for container in pod["containers"]:
            assert {mount["name"] for mount in container.get("volumeMounts", [])} <= volumes
            for variable in container.get("env", []):
                assert "PASSWORD" not in variable["name"] or "secretKeyRef" in variable["valueFrom"]


def test_both_run_the_same_server_and_worker(compose, manifests):
    server = manifests[("Deployment", "server")]["spec"]["template"]["spec"]["containers"][0]
    assert server["image"] == compose["services"]["server"]["image"]
    assert server["command"] == shlex.split(compose["services"]["server"]["command"])
    assert manifests[("Deployment", "worker")]["spec"]["template"]["spec"]["containers"][0]["command"] == POOL
    assert "readinessProbe" in server
    assert "livenessProbe" in server
