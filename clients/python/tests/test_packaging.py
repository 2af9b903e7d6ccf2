"""What is built from the checkout."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def test_a_wheel_holds_the_code_of_the_contract_and_its_types(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    command += ["--disable-pip-version-check", "--wheel-dir", str(tmp_path), str(PACKAGE)]
    subprocess.run(command, check=True)
    (wheel,) = tmp_path.glob("weft-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "weft/py.typed" in names
    for proto in (PACKAGE.parents[1] / "proto").glob("weft/**/*.proto"):
        module = str(proto.relative_to(PACKAGE.parents[1] / "proto")).removesuffix(".proto")
        for suffix in ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi"):
            assert module + suffix in names
