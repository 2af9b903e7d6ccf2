"""Weft: durable entrypoints made of tasks, and a memory that outlives threads.

- `weft.func`: the functional API, with the shapes of LangGraph's: ``entrypoint``, ``task``, …
- `weft.store`: `WeftStore`, LangGraph's ``BaseStore`` over memory-service
- `weft.client`: plain clients of both services, asynchronous and synchronous
- `weft.errors`: what they raise
"""

__version__ = "0.1.0"
