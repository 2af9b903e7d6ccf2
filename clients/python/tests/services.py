"""The real binaries, over a folder of their own."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

T = TypeVar("T")

#: Seconds that anything may take on a loaded machine.
PATIENCE = 60.0

ROOT = Path(__file__).parents[3]


def binary(name: str) -> Path:
    """A binary of the workspace. Without it tests are left out, aloud; in CI they fail."""
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    path = target / "debug" / name
    if not path.exists():
        message = f"there is no {path}: build it with `cargo build --workspace --bins`"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment(**variables: str) -> dict[str, str]:
    """The environment without the configuration of services."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WEFT_")}
    return {**kept, **variables}


class Service:
    """One service, which can be ended and started again on its port."""

    def __init__(self, name: str, folder: Path, *flags: str) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.log = folder / f"{name}.log"
        self._command = [
            str(binary(name)),
            *("--listen", self.address),
            *("--admin-listen", "127.0.0.1:0"),
            *("--data-dir", str(folder)),
            *flags,
        ]
        self.process: subprocess.Popen[str] | None = None

    def use(self, settings: Path) -> None:
        """Starts it with this file of settings from now on."""
        self._command += ["--config", str(settings)]

    def start(self) -> None:
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                self._command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment()
            )
        announcement = first_line(self.process)
        assert json.loads(announcement or "{}").get("grpc") == self.address, self.log.read_text()

    def kill(self) -> None:
        """Ends it on the spot, as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ends it in good order."""
        if self.process is not None:
            assert self._end(signal.SIGTERM) == 0, self.log.read_text()

    def _end(self, asked: signal.Signals) -> int:
        assert self.process is not None
        process, self.process = self.process, None
        process.send_signal(asked)
        status = process.wait(PATIENCE)
        assert process.stdout is not None
        process.stdout.close()
        return status


class Cluster:
    """Both services wired together."""

    def __init__(self, folder: Path) -> None:
        self.memory = Service("memory-service", folder)
        memory_url = f"http://{self.memory.address}"
        self.workflow = Service("workflow-service", folder, "--memory-url", memory_url)

    def start(self) -> Cluster:
        self.memory.start()
        self.workflow.start()
        return self

    def stop(self) -> None:
        self.workflow.stop()
        self.memory.stop()

    @property
    def addresses(self) -> dict[str, str]:
        return {"workflow": self.workflow.address, "memory": self.memory.address}

    @property
    def variables(self) -> dict[str, str]:
        return {
            "WEFT_WORKFLOW_URL": self.workflow.address,
            "WEFT_MEMORY_URL": self.memory.address,
        }


def first_line(process: subprocess.Popen[str]) -> str:
    """The first line that a process prints; empty if it ends or stays silent."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], PATIENCE)
    return process.stdout.readline() if ready else ""


def until(holds: Callable[[], T | None], what: str) -> T:
    """Asks until there is an answer that is not false."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        answer = holds()
        if answer:
            return answer
        time.sleep(0.01)
    raise AssertionError(f"waited for {what} in vain")


def echo(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}
