"""The README's programs, run as they stand."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from services import PATIENCE, ROOT, Cluster, environment, first_line

from weft.client import Client, RunState

README = (Path(__file__).parents[1] / "README.md").read_text()


def blocks() -> list[tuple[str, str]]:
    """Fenced blocks as (language, text)."""
    return re.findall(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_reference_program_is_whole_and_is_what_the_demo_runs() -> None:
    language, program = blocks()[1]
    assert language == "python"
    assert program == (Path(__file__).parents[1] / "examples" / "memory.py").read_text()


def test_the_demo_prints_the_conversation() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(Path(__file__).with_name("demo.py"))],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        env=environment(),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == blocks()[2][1]


def programs() -> Iterator[tuple[str, str]]:
    """Programs that print something, with what the README shows that they print."""
    for (language, program), (_, shown) in itertools.pairwise(blocks()):
        if language == "python" and "print(" in program:
            yield program, shown


def run(program: str, cluster: Cluster) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        env=environment(**cluster.variables),
    )


def threads(text: str) -> set[str]:
    """Threads that a program names."""
    named = re.findall(r'"?thread_id"?(?:: |=)"([^"]+)"', text)
    return {*named, *re.findall(r'^ +\("([^"]+)", "[^"]+", "[^"]+"\),$', text, re.MULTILINE)}


def test_each_program_has_threads_of_its_own() -> None:
    named = [*(program for program, _ in programs()), (ROOT / "README.md").read_text()]
    of_each = [threads(text) for text in named]
    assert len(of_each) == 4
    assert all(of_each), "each names some"
    assert sum(map(len, of_each)) == len(set().union(*of_each))


def test_each_program_prints_what_the_readme_shows_whatever_ran_before(
    own_cluster: Cluster,
) -> None:
    with Client(**own_cluster.addresses) as client:
        for thread, user in (("1", "1"), ("2", "1"), ("3", "2")):
            said = f"Hi! Remember: my name is Mallory {thread}"
            client.runs.invoke("chat", said, thread_id=thread, config={"user_id": user})
    compared = 0
    for program, shown in programs():
        done = run(program, own_cluster)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == shown
        compared += 1
    assert compared == 3


#: What the pieces of the README that are no programs need around them.
AROUND = {
    "Worker(review).serve()": "from weft.func import Worker, entrypoint\n"
    "@entrypoint()\ndef review(_): return 1\n",
    "tasks=[lookup]": "",
    "client.runs.invoke": "from weft.client import Client\nclient = Client()\n",
    "builder.compile": "from langgraph.checkpoint.memory import InMemorySaver\n"
    "from langgraph.graph import START, StateGraph\n"
    "builder = StateGraph(dict)\n"
    "builder.add_node('keep', lambda state, *, store: store.put(('readme',), 'k', state))\n"
    "builder.add_edge(START, 'keep')\n"
    "checkpointer = InMemorySaver()\n",
}
AFTER = {"builder.compile": "graph.invoke({'a': 1}, {'configurable': {'thread_id': 's'}})"}


def test_each_piece_of_a_program_works(own_cluster: Cluster) -> None:
    printing = {program for program, _ in programs()}
    pieces = [text for language, text in blocks() if language == "python" if text not in printing]
    serving = []
    tried = set()
    try:
        for text in pieces:
            (mark,) = [mark for mark in AROUND if mark in text]
            tried.add(mark)
            program = AROUND[mark] + text + AFTER.get(mark, "")
            if ".serve()" not in text:
                done = run(program, own_cluster)
                assert (done.returncode, done.stderr) == (0, ""), text
                continue
            process = subprocess.Popen(
                [sys.executable, "-W", "error", "-c", program],
                stdout=subprocess.PIPE,
                text=True,
                env=environment(**own_cluster.variables),
            )
            serving.append(process)
            assert first_line(process).startswith(("hosting review@1", "offering lookup"))
    finally:
        for process in serving:
            process.terminate()
            process.communicate(timeout=PATIENCE)
    assert tried == set(AROUND)
    assert [process.returncode for process in serving] == [0, 0]
    with Client(**own_cluster.addresses) as client:
        (asked,) = client.runs.list(entrypoint="agent")
        assert asked.state is RunState.SUCCEEDED
        kept = client.memory.get(("readme",), "k")
        assert kept is not None
        assert kept.value == {"a": 1}
