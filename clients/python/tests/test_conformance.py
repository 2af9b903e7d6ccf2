"""The protocol's own checks of a worker, against one in Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from services import ROOT, binary, environment

WORKER = Path(__file__).with_name("conformance.py")


@pytest.mark.skipif(
    not (ROOT / "tests" / "worker-conformance").is_dir(),
    reason="this checkout does not have the checks of the protocol",
)
def test_a_worker_passes_the_checks_of_the_protocol() -> None:
    command = [str(binary("worker-conformance")), sys.executable, str(WORKER)]
    # Each of its scenarios has a bound of its own.
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pass  it records a result before code sees it" in done.stdout
