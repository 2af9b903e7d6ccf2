"""Plain clients of both services.

```python
from weft.client import Client

with Client() as weft:
    run = weft.runs.invoke("chat", "Hi! Remember: my name is Bob", config={"user_id": "1"})
    print(run.result()["content"])
    for event in weft.runs.stream("chat", "what is my name?", config={"user_id": "1"}):
        print(event.data)
```
"""

from weft.client.connection import AsyncClient, Client, Memory, Runs, Threads
from weft.client.events import (
    CheckpointWritten,
    Custom,
    Event,
    Gap,
    Interrupted,
    MessagePiece,
    StateChanged,
    StreamMode,
    TaskChanged,
    TaskStep,
    ToolCallPiece,
    Update,
    Value,
    Warned,
)
from weft.client.memory import AsyncMemory, Ranking
from weft.client.runs import AsyncRuns
from weft.client.threads import AsyncThreads
from weft.client.values import (
    Checkpoint,
    Concurrency,
    Durability,
    Entrypoint,
    ErrorDetail,
    Interrupt,
    Item,
    Namespace,
    OfferedTask,
    Run,
    RunState,
    SearchItem,
    Thread,
    ThreadState,
    Usage,
)

__all__ = [
    "AsyncClient",
    "AsyncMemory",
    "AsyncRuns",
    "AsyncThreads",
    "Checkpoint",
    "CheckpointWritten",
    "Client",
    "Concurrency",
    "Custom",
    "Durability",
    "Entrypoint",
    "ErrorDetail",
    "Event",
    "Gap",
    "Interrupt",
    "Interrupted",
    "Item",
    "Memory",
    "MessagePiece",
    "Namespace",
    "OfferedTask",
    "Ranking",
    "Run",
    "RunState",
    "Runs",
    "SearchItem",
    "StateChanged",
    "StreamMode",
    "TaskChanged",
    "TaskStep",
    "Thread",
    "ThreadState",
    "Threads",
    "ToolCallPiece",
    "Update",
    "Usage",
    "Value",
    "Warned",
]
