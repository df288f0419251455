"""compose.yaml against the files and programs it names. No engine is needed, and none is asked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from router.bookkeeping import require_counters
from router.config.schema import Config, OpenAIUpstream
from tests.deploy.deployment import DEPLOY, ROOT, compose, example_environment, load_yaml, parse_command, variables

COMPOSE = compose()
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
EACH_SERVICE = pytest.mark.parametrize("service", SERVICES.values(), ids=list(SERVICES))
TEXT = (ROOT / "compose.yaml").read_text()


def mounts(service: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Source, target and mode of each volume."""
    return [(*volume.split(":"), "rw")[:3] for volume in service.get("volumes", [])]


def test_services_and_profiles() -> None:
    assert set(SERVICES) == {"weir", "postgres", "redis", "counters", "prometheus", "grafana", "vllm"}
    assert {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service} == {
        "vllm": ["gpu"]
    }


def test_env_example_holds_exactly_the_variables_that_are_read() -> None:
    from_secrets = {secret["environment"] for secret in COMPOSE["secrets"].values()}
    assert variables(TEXT).keys() | from_secrets == example_environment().keys()


def test_env_example_repeats_the_defaults_and_leaves_what_is_required_empty() -> None:
    example = example_environment()
    for name, rule in variables(TEXT).items():
        assert rule.startswith((":?", ":-")), f"{name} may be missing without a word"
        assert example[name] == (rule[2:] if rule.startswith(":-") else ""), name


@EACH_SERVICE
def test_secrets_come_from_the_environment_and_have_no_default(service: dict[str, Any]) -> None:
    for name, value in service.get("environment", {}).items():
        if re.search(r"KEY|PASSWORD|AUTH|TOKEN|DATABASE_URL", name):
            rules = variables(value).values()
            assert rules, f"{name} is written down"
            assert all(rule.startswith(":?") or rule == ":-" for rule in rules), f"{name} has a default"


@EACH_SERVICE
def test_health_is_checked(service: dict[str, Any]) -> None:
    check = service["healthcheck"]
    assert check["test"][0] in ("CMD", "CMD-SHELL")
    assert {"interval", "timeout", "retries"} <= check.keys()


@EACH_SERVICE
def test_it_restarts_is_bounded_and_gains_no_privileges(service: dict[str, Any]) -> None:
    assert service["restart"] == "unless-stopped"
    assert {"cpus", "memory"} <= service["deploy"]["resources"]["limits"].keys()
    assert "no-new-privileges:true" in service["security_opt"]


@EACH_SERVICE
def test_image_is_pinned_to_a_release(service: dict[str, Any]) -> None:
    assert re.fullmatch(r"[a-z/-]+:v?\d+\.\d+(\.\d+)?(-[a-z0-9]+)*", service["image"])


@EACH_SERVICE
def test_ports_are_published_on_loopback_unless_told_otherwise(service: dict[str, Any]) -> None:
    for port in service.get("ports", []):
        assert port.startswith("${BIND_ADDRESS:-127.0.0.1}:")


def test_databases_are_not_published() -> None:
    assert not any("ports" in SERVICES[name] for name in ("postgres", "redis", "counters", "vllm"))


def test_volumes_are_declared_used_and_mounted_from_files_that_exist() -> None:
    named = set()
    for service in SERVICES.values():
        for source, _, mode in mounts(service):
            if source.startswith("."):
                assert (ROOT / source).is_dir()
                assert mode == "ro"
            else:
                named.add(source)
    assert named == COMPOSE["volumes"].keys()


def test_dependencies_are_services_and_waited_for_by_health() -> None:
    for service in SERVICES.values():
        for name in service.get("depends_on", {}):
            assert name in SERVICES
    assert SERVICES["weir"]["depends_on"]["postgres"] == {"condition": "service_healthy"}


def test_weir_can_write_its_state_and_nothing_else() -> None:
    weir = SERVICES["weir"]
    assert weir["read_only"] is True
    assert weir["cap_drop"] == ["ALL"]
    assert [target for _, target, mode in mounts(weir) if mode == "rw"] == ["/var/lib/weir"]


def test_no_read_only_service_is_given_a_secret_from_the_environment() -> None:
    """Compose copies such a secret into the container's own file system, and refuses where it cannot."""
    assert not any(service.get("read_only") and service.get("secrets") for service in SERVICES.values())


def test_weir_is_started_with_options_that_exist_where_its_port_is_published() -> None:
    weir = SERVICES["weir"]
    options = parse_command(weir["command"])
    assert options["host"] == "0.0.0.0"
    assert weir["ports"][0].endswith(f":{options['port']}")
    assert f"127.0.0.1:{options['port']}/readyz" in weir["healthcheck"]["test"][-1]
    (folder,) = [source for source, target, _ in mounts(weir) if Path(target) == options["config"].parent]
    assert (ROOT / folder / options["config"].name).samefile(DEPLOY / "weir.yaml")


def test_weirs_health_check_is_python_that_compiles() -> None:
    for name in ("weir", "vllm"):
        compile(SERVICES[name]["healthcheck"]["test"][-1], name, "exec")


def test_shutdown_leaves_time_for_open_streams() -> None:
    grace = int(SERVICES["weir"]["stop_grace_period"].removesuffix("s"))
    assert grace > Config.model_validate(load_yaml("deploy/weir.yaml")).server.shutdown_seconds


def test_counters_are_never_evicted_and_never_come_back_a_little_older() -> None:
    """Lost altogether, they are noticed and counted anew from the ledger."""
    command = " ".join(SERVICES["counters"]["command"])
    assert "--maxmemory-policy noeviction" in command
    assert '--save "" --appendonly no' in command
    assert "volatile" in " ".join(SERVICES["redis"]["command"])
    url = SERVICES["weir"]["environment"]["WEIR_COUNTERS_URL"]
    assert url.endswith("@counters:6379/0")


class TestWeirConfig:
    config = Config.model_validate(load_yaml("deploy/weir.yaml"))

    def test_every_reference_is_in_weirs_environment_and_the_other_way_round(self) -> None:
        assert variables((DEPLOY / "weir.yaml").read_text()).keys() == SERVICES["weir"]["environment"].keys()

    def test_hard_budgets_have_counters_that_all_its_workers_share(self) -> None:
        require_counters(self.config, workers=2)
        assert any(budget.hard for budget in self.config.budgets.values())

    def test_no_key_is_declared(self) -> None:
        assert all(not tenant.keys for tenant in self.config.tenants.values())

    def test_the_command_that_makes_a_key_is_right(self) -> None:
        command = re.search(r"docker compose exec weir weir (.+)", (DEPLOY / "weir.yaml").read_text())
        assert command is not None
        options = parse_command(command.group(1).split())
        assert options["tenant"] in self.config.tenants
        assert str(options["config"]) in SERVICES["weir"]["command"]

    def test_there_is_a_default_route_and_it_needs_no_gpu(self) -> None:
        assert "vllm" not in {self.config.models[name].upstream for name in self.config.routes["auto"].candidates}

    def test_vllm_serves_the_model_that_is_asked_of_it(self) -> None:
        command = SERVICES["vllm"]["command"]
        (model,) = [model.name or name for name, model in self.config.models.items() if model.upstream == "vllm"]
        upstream = self.config.upstreams["vllm"]
        assert isinstance(upstream, OpenAIUpstream)
        assert f"--served-model-name={model}" in command
        assert "--port=8000" in command
        assert upstream.base_url == "http://vllm:8000/v1"
