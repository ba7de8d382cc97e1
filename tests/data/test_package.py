"""The package as a whole."""

import os
import subprocess
import sys


def test_import_needs_only_numpy() -> None:
    heavy = "torch h5py pandas pyarrow PIL pooch scipy sklearn requests"
    code = f"import sys, dhm.data; print(*(m for m in {heavy.split()} if m in sys.modules))"
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == []
