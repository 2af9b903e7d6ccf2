"""`welcome.py [ADDRESS]`: hosts the entrypoint `welcome`, which calls two tasks."""

import asyncio
import sys

from worker import serve


async def look_up(name, _key, attempt):
    # As unreliable as the rest of the world: the service has it tried again.
    if attempt < 2:
        raise OSError("the directory is busy")
    return f"{name}@example.org"


async def write_letter(letter, key, _attempt):
    # `key` is the same whenever this call is executed: pass it on to whoever must not act twice.
    return f"To {letter['to']}: welcome, {letter['name']}! (letter {key.split('/')[-1]})"


async def welcome(run):
    name = run.input["name"]
    to = await run.call(look_up, name, attempts=3)
    return await run.call(write_letter, {"name": name, "to": to})


asyncio.run(serve(sys.argv[1] if sys.argv[1:] else "127.0.0.1:50052", {"welcome": welcome}))
