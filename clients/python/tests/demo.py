"""`make demo-python`: the example of the README, with both services on free ports."""

import os
import runpy
import sys
import tempfile
from pathlib import Path

from services import Cluster

EXAMPLE = Path(__file__).parents[1] / "examples" / "memory.py"

if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="weft-") as folder:
        cluster = Cluster(Path(folder)).start()
        os.environ.update(cluster.variables)
        try:
            sys.argv = [str(EXAMPLE)]
            runpy.run_path(str(EXAMPLE), run_name="__main__")
        finally:
            from weft.func._hosting import leave_background

            leave_background()
            cluster.stop()
