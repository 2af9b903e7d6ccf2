"""The README's programs, run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from services import PATIENCE, Cluster, environment

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


def test_each_program_prints_what_the_readme_shows(own_cluster: Cluster) -> None:
    compared = 0
    for (language, program), (_, shown) in zip(blocks(), blocks()[1:], strict=False):
        if language != "python" or "print(" not in program:
            continue
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
            env=environment(**own_cluster.variables),
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == shown
        compared += 1
    assert compared > 0
