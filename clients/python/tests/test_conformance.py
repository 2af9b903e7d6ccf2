"""The protocol's own checks of a worker, against those in Python: with this package and without."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from services import ROOT, binary, environment

HERE = Path(__file__).parent
PLAIN = ROOT / "examples" / "worker-python" / "worker.py"

pytestmark = pytest.mark.skipif(
    not PLAIN.exists(), reason="this checkout does not have the checks of the protocol"
)


@pytest.mark.parametrize("worker", ["conformance.py", "plain_conformance.py"])
def test_a_worker_passes_the_checks_of_the_protocol(worker: str) -> None:
    command = [str(binary("worker-conformance")), sys.executable, str(HERE / worker)]
    # Each of its scenarios has a bound of its own.
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pass  it records a result before code sees it" in done.stdout
    # One without a library offers no tasks.
    spared = 4 if worker == "plain_conformance.py" else 0
    assert f"{24 - spared} passed, 0 failed, {spared} about" in done.stdout


def test_a_worker_without_a_library_is_150_lines_of_code() -> None:
    text = PLAIN.read_text()
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    no_code: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            no_code.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    lines = [line.strip() for line in text.splitlines()]
    code = [
        line
        for number, line in enumerate(lines, 1)
        if line and not line.startswith("#") and number not in no_code
    ]
    assert len(code) <= 150
