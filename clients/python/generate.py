"""Makes the Python code of the contract in `proto/` when the package is built or installed."""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class GenerateHook(BuildHookInterface[Any]):
    """Writes `weft/*/v1/*_pb2*` beside the code, where wheels and editable installs find it."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name == "wheel":
            root = Path(self.root)
            # In a checkout the contract is shared with the services; a source archive has a copy.
            candidates = (root / "proto", root.parent.parent / "proto")
            proto = next(folder for folder in candidates if (folder / "weft").is_dir())
            generate(proto, root / "src")


def generate(proto: Path, out: Path) -> None:
    """Generates from all `.proto` files under `proto`."""
    import grpc_tools

    # Build environments that are not activated do not have their programs on the path.
    scripts = sysconfig.get_path("scripts")
    plugins = [
        f"--plugin={name}={found}"
        for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
        if (found := shutil.which(name) or shutil.which(name, path=scripts))
    ]
    files = sorted(str(path.relative_to(proto)) for path in proto.glob("weft/**/*.proto"))
    outputs = [f"--{kind}_out={out}" for kind in ("python", "grpc_python")]
    typed = [f"--{kind}_out=quiet:{out}" for kind in ("mypy", "mypy_grpc")]
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{proto}", f"-I{well_known}"]
    subprocess.run([*command, *plugins, *outputs, *typed, *files], check=True)
