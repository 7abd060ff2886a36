"""`deploy/` says what the code and the docs say."""

import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._core.instance.ref import InstanceRef
from dagster._core.workspace.config_schema import process_workspace_config

from orchestration.dagster_home import DAGSTER_YAML, WORKSPACE_YAML
from orchestration.run_lock import WRITER_POOL

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def text_of(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


def yaml_of(name: str) -> Any:
    return yaml.safe_load(text_of(name))


def instructions(word: str) -> list[list[str]]:
    """The words behind each instruction of that name in the Containerfile."""
    return [
        shlex.split(line)[1:] for line in text_of("Containerfile").splitlines() if line.startswith(f"{word} ")
    ]


def copied() -> list[str]:
    """What the Containerfile takes from the repository."""
    return [
        name for words in instructions("COPY") if not words[0].startswith("--from=") for name in words[:-1]
    ]


def services_of_the_entrypoint() -> dict[str, str]:
    return dict(re.findall(r"^([a-z-]+)\) exec (.*) ;;$", text_of("entrypoint"), re.MULTILINE))


def test_dagster_takes_its_settings() -> None:
    storage, launcher = (
        InstanceRef.from_dir(str(DEPLOY)).storage_data,
        yaml_of("dagster.yaml")["run_launcher"]["class"],
    )
    assert storage is not None
    assert (storage.class_name, launcher) == ("DagsterPostgresStorage", "DefaultRunLauncher")


def test_it_differs_from_our_own_instance_in_storage_and_launcher_only() -> None:
    settings = yaml_of("dagster.yaml")
    assert {"storage", "run_launcher"} <= set(settings)
    assert {
        name: value for name, value in settings.items() if name not in ("storage", "run_launcher")
    } == yaml.safe_load(DAGSTER_YAML)


def test_the_pool_is_the_one_of_the_code() -> None:
    assert re.findall(r"The pool `(\w+)`", text_of("dagster.yaml")) == [WRITER_POOL]
    assert yaml_of("dagster.yaml")["concurrency"]["pools"] == {"granularity": "op", "default_limit": 1}


def test_the_workspace_names_the_location_and_port_of_the_code_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CODE_SERVER_HOST", "code-server")
    assert process_workspace_config(yaml_of("workspace.yaml")).success
    [server] = [one["grpc_server"] for one in yaml_of("workspace.yaml")["load_from"]]
    [ours] = [one["python_module"] for one in yaml.safe_load(WORKSPACE_YAML)["load_from"]]
    started = services_of_the_entrypoint()["code-server"]
    assert server["location_name"] == ours["location_name"]
    assert f"--module-name {ours['module_name']} --location-name {ours['location_name']}" in started
    assert started.endswith(f"--port {server['port']}")


def test_every_variable_is_explained() -> None:
    named = {
        name
        for file in ("dagster.yaml", "workspace.yaml")
        for name in re.findall(r"\{env: (\w+)\}", text_of(file))
    }
    named |= set(re.findall(r"\$\{(\w+)", text_of("compose.yaml")))
    # What the launchers that are commented out hand on.
    named |= set(re.findall(r"^#       - (\w+)$", text_of("dagster.yaml"), re.MULTILINE))
    docs = "".join(
        (ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("operations.md", "scale.md")
    )
    assert len(named) == 8
    assert [name for name in sorted(named) if f"`{name}`" not in docs] == []


def test_the_services_get_the_variables_that_the_settings_name() -> None:
    services = yaml_of("compose.yaml")["services"]
    postgres, server = (
        set(re.findall(r"\{env: (\w+)\}", text_of(file))) for file in ("dagster.yaml", "workspace.yaml")
    )
    assert set(services["code-server"]["environment"]) == postgres
    assert set(services["daemon"]["environment"]) == postgres | server
    assert set(services["webserver"]["environment"]) == postgres | server | {"DAGSTER_UI_HOSTS"}
    assert {one["command"][0] for one in services.values() if "command" in one} == set(
        services_of_the_entrypoint()
    )


def test_no_service_starts_dagsters_web_server_without_the_guard() -> None:
    assert services_of_the_entrypoint()["webserver"].startswith("paywall-warehouse ui --workspace ")
    assert "dagster-webserver" not in text_of("entrypoint")


def test_the_containerfile_copies_what_is_there_and_all_of_the_code() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert [name for name in copied() if not (ROOT / name).exists()] == []
    assert set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) < set(copied())
    let_through = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(let_through) == sorted(copied())


def test_the_image_has_no_secret_and_no_root() -> None:
    variables = [
        word for instruction in ("ARG", "ENV") for words in instructions(instruction) for word in words
    ]
    assert instructions("USER") == [["10001:10001"]]
    assert [one for one in variables if re.search("PASSWORD|SECRET|KEY|TOKEN", one.partition("=")[0])] == []


def test_the_entrypoint_is_a_shell_script_that_may_be_started() -> None:
    assert (DEPLOY / "entrypoint").stat().st_mode & 0o111 == 0o111
    subprocess.run(["sh", "-n", str(DEPLOY / "entrypoint")], check=True)
