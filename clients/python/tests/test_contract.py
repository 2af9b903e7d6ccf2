"""The package tells what the contract tells: fields, options and addresses."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from services import Cluster

import weft
from weft.client import AsyncClient, Client, _decode, events, values
from weft.client.starting import StartOptions, start_request
from weft.func import ask_model, entrypoint, task
from weft.memory.v1 import memory_pb2
from weft.workflow.v1 import workflow_pb2 as pb

#: How the package calls what the contract calls otherwise.
RENAMED = {"create_time": "created_at", "update_time": "updated_at", "expire_time": "expires_at"}


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (pb.Run, values.Run),
        (pb.Usage, values.Usage),
        (pb.RunError, values.ErrorDetail),
        (pb.Interrupt, values.Interrupt),
        (pb.Thread, values.Thread),
        (pb.Checkpoint, values.Checkpoint),
        (pb.Entrypoint, values.Entrypoint),
        (pb.Task, values.OfferedTask),
        (pb.UpdateEvent, events.Update),
        (pb.MessageEvent, events.MessagePiece),
        (pb.ToolCallPiece, events.ToolCallPiece),
        (pb.CustomEvent, events.Custom),
        (pb.TaskEvent, events.TaskChanged),
        (pb.WarningEvent, events.Warned),
        (pb.GapEvent, events.Gap),
        (pb.InterruptedEvent, events.Interrupted),
        (memory_pb2.Namespace, values.Namespace),
        (memory_pb2.Item, values.Item),
    ],
)
def test_a_type_has_every_field_of_its_message(message: Any, kind: Any) -> None:
    renamed = RENAMED if kind is values.Item else {}
    told = {renamed.get(name, name) for name in message.DESCRIPTOR.fields_by_name}
    assert {field.name for field in dataclasses.fields(kind)} == told


def test_every_option_of_a_start_can_be_given() -> None:
    told = set(pb.StartRunRequest.DESCRIPTOR.fields_by_name) - {"entrypoint", "input"}
    assert set(StartOptions.__annotations__) == told


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"thread": "1"}, "`thread`.* there are `thread_id`, "),
        ({"thread_id": 1}, "`thread_id` must be a string, not `int`"),
        ({"config": "user"}, "`config` must be a mapping"),
        ({"labels": ["a"]}, "`labels` must be a mapping"),
        ({"timeout": 5}, "`timeout` must be a timedelta, not `int`"),
    ],
)
async def test_an_option_that_is_none_is_refused(
    cluster: Cluster, options: dict[str, Any], told: str
) -> None:
    async with AsyncClient(**cluster.addresses) as client:
        with pytest.raises(TypeError, match=told):
            await client.runs.start("chat", "hi", **options)
        with pytest.raises(TypeError, match=told):
            await client.runs.invoke("chat", "hi", **options)
        with pytest.raises(TypeError, match=told):
            async for _ in client.runs.stream("chat", "hi", **options):
                pass
    with Client(**cluster.addresses) as blocking, pytest.raises(TypeError, match=told):
        blocking.runs.start("chat", "hi", **options)


def test_options_that_are_left_out_may_be_none() -> None:
    assert not start_request("chat", "hi", {"config": None, "timeout": None}).HasField("config")


def test_a_run_tells_what_its_models_took(cluster: Cluster, client: Client, unique: str) -> None:
    @task
    def ask(text: str) -> Any:
        return ask_model(text).result()

    @entrypoint(name=unique, workflow=cluster.workflow.address)
    def workflow(text: str) -> Any:
        return ask(text).result()

    workflow.invoke("hello there", {"configurable": {"thread_id": unique}})
    (listed,) = client.runs.list(thread_id=unique)
    usage = client.runs.get(listed.id).usage
    assert usage.model_calls == 1
    ends = [
        event.data.usage.model_calls
        for event in client.runs.join(listed.id, modes=["tasks"])
        if isinstance(event.data, events.TaskChanged)
        and event.data.step is events.TaskStep.SUCCEEDED
    ]
    assert sum(ends) == 1
    # The offline model counts no tokens.
    names = [field.name for field in dataclasses.fields(values.Usage)]
    counts = {name: number for number, name in enumerate(names, 1)}
    told = pb.Run(state=pb.Run.STATE_SUCCEEDED, usage=pb.Usage(**counts))
    assert dataclasses.asdict(_decode.run(told).usage) == counts


@pytest.mark.parametrize("form", ["{}", "http://{}", "http://{}/"])
def test_a_variable_names_an_address_in_any_form(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setenv("WEFT_WORKFLOW_URL", form.format(cluster.workflow.address))
    monkeypatch.setenv("WEFT_MEMORY_URL", form.format(cluster.memory.address))
    with Client() as client:
        assert "chat" in {one.name for one in client.entrypoints()}
        assert client.memory.get(("nobody",), "nothing") is None


@pytest.mark.parametrize(
    "wrong",
    ["ftp://host:21", "host", "host:port", "http://", "host:80/path", ":80", "http://h:99999"],
)
def test_what_is_no_address_is_refused(wrong: str) -> None:
    with Client(workflow=wrong) as client, pytest.raises(ValueError, match="use `host:port`"):
        client.entrypoints()


def test_every_variable_that_is_read_is_documented() -> None:
    source = Path(weft.__file__).parent
    read = {
        name
        for path in source.rglob("*.py")
        if "_pb2" not in path.name
        for name in re.findall(r'"(WEFT_[A-Z_]+)"', path.read_text())
    }
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    assert read == {"WEFT_WORKFLOW_URL", "WEFT_MEMORY_URL", "WEFT_IMPLICIT_HOSTING"}
    assert all(f"`{name}`" in readme for name in read), read
