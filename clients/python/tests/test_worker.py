"""Worker processes that are killed and ended, and services that are restarted under them."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from services import PATIENCE, Cluster, environment, first_line, until

from weft.client import Client, Custom, RunState, Value

PROGRAM = Path(__file__).with_name("steps.py")


class Steps:
    """Processes that host the program, and the folder that its tasks use."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.folder = folder
        self._cluster = cluster
        self.processes: list[subprocess.Popen[str]] = []

    def start(self) -> subprocess.Popen[str]:
        """Starts a worker and waits until it hosts."""
        process = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(self.folder)],
            stdout=subprocess.PIPE,
            text=True,
            env=environment(**self._cluster.variables),
        )
        self.processes.append(process)
        assert first_line(process).startswith("hosting asking@1, asynchronous@1, blocking@1")
        return process

    def notes(self) -> Counter[str]:
        """How often each task ran."""
        path = self.folder / "notes"
        return Counter(path.read_text().split() if path.exists() else [])

    def open_gate(self) -> None:
        """Lets tasks that wait at the gate, or will, go on."""
        (self.folder / "gate").touch()

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait(PATIENCE)
            assert process.stdout is not None
            process.stdout.close()


@pytest.fixture
def steps(tmp_path: Path, own_cluster: Cluster) -> Iterator[Steps]:
    folder = tmp_path / "steps"
    folder.mkdir()
    steps = Steps(folder, own_cluster)
    yield steps
    steps.end()


@pytest.fixture
def client(own_cluster: Cluster) -> Iterator[Client]:
    with Client(**own_cluster.addresses) as client:
        yield client


@pytest.mark.parametrize("program", ["blocking", "asynchronous"])
def test_a_killed_worker_loses_nothing_that_was_recorded(
    steps: Steps, client: Client, program: str
) -> None:
    worker = steps.start()
    run = client.runs.start(program)
    until(lambda: steps.notes()["gated"], "the gate")
    worker.kill()
    worker.wait(PATIENCE)
    steps.start()
    until(lambda: steps.notes()["gated"] == 2, "the gate, again")
    steps.open_gate()
    assert client.runs.wait(run.id, timeout=PATIENCE).result() == ["first", "opened", "last"]
    assert steps.notes() == {"first": 1, "gated": 2, "last": 1}


@pytest.mark.parametrize("program", ["blocking", "asynchronous"])
def test_a_killed_service_loses_nothing_and_its_worker_goes_on(
    steps: Steps, client: Client, own_cluster: Cluster, program: str
) -> None:
    steps.start()
    run = client.runs.start(program)
    until(lambda: steps.notes()["gated"], "the gate")
    own_cluster.workflow.kill()
    own_cluster.workflow.start()
    # The worker of before may be at the gate with an execution that no longer counts.
    until(lambda: steps.notes()["gated"] == 2, "the gate, again")
    steps.open_gate()
    assert client.runs.wait(run.id, timeout=PATIENCE).result() == ["first", "opened", "last"]
    assert steps.notes() == {"first": 1, "gated": 2, "last": 1}


def test_a_stream_goes_on_after_a_restart_without_a_gap_or_a_repeat(
    steps: Steps, client: Client, own_cluster: Cluster
) -> None:
    steps.start()
    seen = []
    for event in client.runs.stream("asynchronous", modes=["custom", "values", "updates"]):
        seen.append(event)
        if isinstance(event.data, Custom) and event.data.value == "first is done":
            until(lambda: steps.notes()["gated"], "the gate")
            own_cluster.workflow.kill()
            own_cluster.workflow.start()
            until(lambda: steps.notes()["gated"] == 2, "the gate, again")
            steps.open_gate()
    numbers = [event.sequence for event in seen]
    assert numbers == sorted(set(numbers))
    tasks = [getattr(event.data, "task", "") for event in seen if event.mode == "updates"]
    assert tasks == ["first", "async_gated", "last", "asynchronous"]
    assert isinstance(seen[-1].data, Value) or isinstance(seen[-2].data, Value)


def test_an_answer_is_taken_up_by_another_worker(steps: Steps, client: Client) -> None:
    worker = steps.start()
    run = client.runs.invoke("asking", wait_timeout=PATIENCE)
    assert [interrupt.value for interrupt in run.interrupts] == ["go on?"]
    worker.kill()
    worker.wait(PATIENCE)
    client.runs.resume(run.id, "yes")
    steps.start()
    assert client.runs.wait(run.id, timeout=PATIENCE).result() == ["first", "yes", "last"]
    assert steps.notes() == {"first": 1, "last": 1}


def test_a_worker_that_is_asked_to_end_finishes_what_it_has(steps: Steps, client: Client) -> None:
    worker = steps.start()
    run = client.runs.start("blocking")
    until(lambda: steps.notes()["gated"], "the gate")
    worker.send_signal(signal.SIGTERM)
    assert first_line(worker) == "ending: 1 run(s) to finish\n"
    steps.open_gate()
    assert worker.wait(PATIENCE) == 0
    assert client.runs.wait(run.id, timeout=PATIENCE).result() == ["first", "opened", "last"]
    assert steps.notes() == {"first": 1, "gated": 1, "last": 1}


def test_a_run_that_nobody_hosts_says_so(steps: Steps, client: Client) -> None:
    worker = steps.start()
    worker.kill()
    worker.wait(PATIENCE)
    run = client.runs.start("blocking")
    reason = until(lambda: client.runs.get(run.id).state_reason, "a reason")
    assert "blocking@1" in reason
    steps.start()
    steps.open_gate()
    assert client.runs.wait(run.id, timeout=PATIENCE).state is RunState.SUCCEEDED
