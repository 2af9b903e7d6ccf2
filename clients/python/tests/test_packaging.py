"""What is built from the checkout, and what a program finds that installs it."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1]

#: A program of someone who checks types. Lines that end with `# error` are wrong.
TYPED = """
import weft
from weft.client import AsyncClient, Client, Run, RunState
from weft.errors import NotFound
from weft.func import Command, RetryPolicy, TaskFuture, entrypoint, task
from weft.memory.v1.memory_pb2 import Item
from weft.store import WeftStore

@task
def double(number: int) -> int:
    return 2 * number

@task(retry_policy=RetryPolicy(max_attempts=2))
async def name(number: int, *, prefix: str = "") -> str:
    return f"{prefix}{number}"

@entrypoint(store=WeftStore())
def workflow(number: int, *, previous: int | None = None) -> entrypoint.final[int, int]:
    future: TaskFuture[int] = double(number)
    wrong: str = future.result()  # error
    double("two")  # error
    name(1, suffix="")  # error
    return entrypoint.final(value=future.result(), save=number)

async def watch(client: AsyncClient) -> str:
    run: Run = await client.runs.get("id")
    text: str = await name(1, prefix="a")
    async for event in client.runs.stream("workflow", 1, modes=["values"]):
        event.nothing  # error
    return text if run.state is RunState.SUCCEEDED else ""

def look(client: Client) -> RunState:
    client.runs.get(1)  # error
    for event in client.runs.stream("workflow", 1):
        event.sequence + 1
    try:
        return client.runs.get("id").state
    except NotFound as missing:
        return missing.reason  # error

Command(resume=True)
Item(key=1)  # error
workflow.invoke(1)
weft.nothing  # error
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip(sys.executable, "wheel", "--no-deps", "--wheel-dir", str(folder), str(PACKAGE))
    (wheel,) = folder.glob("weft-*.whl")
    return wheel


def pip(python: str, *arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    subprocess.run([*command, "--quiet", *arguments], check=True)


@pytest.fixture(scope="module")
def fresh(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python in which the wheel is installed, and what it depends on."""
    folder = tmp_path_factory.mktemp("fresh")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    pip(str(python), "install", "--no-deps", str(wheel))
    paths = {"base": str(folder), "platbase": str(folder)}
    site = Path(sysconfig.get_path("purelib", vars=paths))
    # Only what is installed there as packages: this checkout is not.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def test_a_wheel_holds_the_code_of_the_contract_and_its_types(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "weft/py.typed" in names
    for proto in (PACKAGE.parents[1] / "proto").glob("weft/**/*.proto"):
        module = str(proto.relative_to(PACKAGE.parents[1] / "proto")).removesuffix(".proto")
        for suffix in ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi"):
            assert module + suffix in names
    strangers = {name for name in names if not name.startswith(("weft/", "weft-"))}
    assert not strangers, "nothing else lands among the packages of others"


def test_an_installed_package_works_without_the_checkout_and_without_langgraph(
    fresh: Path, tmp_path: Path
) -> None:
    program = (
        "import sys; sys.modules['langgraph'] = None\n"
        "import weft.client, weft.func, weft.workflow.v1.worker_pb2_grpc\n"
        "print(weft.__file__)\n"
        "try:\n    import weft.store\n"
        "except ImportError as error:\n    print(error)\n"
    )
    command = [str(fresh), "-c", program]
    said = subprocess.run(command, check=True, cwd=tmp_path, capture_output=True, text=True)
    place, why = said.stdout.splitlines()
    assert place.startswith(str(fresh.parents[1]))
    assert "weft[langgraph]" in why


def test_types_of_an_installed_package_are_seen_by_those_who_check_them(
    fresh: Path, tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(TYPED)
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(fresh)]
    command += ["--cache-dir", str(tmp_path / "cache"), "--config-file", "", str(program)]
    said = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True)
    found = {line.split(":")[1] for line in said.stdout.splitlines() if ": error:" in line}
    lines = enumerate(TYPED.splitlines(), start=1)
    assert found == {str(at) for at, line in lines if line.endswith("# error")}, said.stdout
