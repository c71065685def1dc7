"""What must cost next to nothing: importing jconv, and planning one convolution.

Time on the processor is counted, since the machine may be busy with something else, and the
least of a few tries.
"""

import os
import subprocess
import sys
import time

import jconv

IMPORT = """
import time, jax
start = time.process_time()
import jconv
print(time.process_time() - start)
"""


def test_importing_adds_under_100_ms_to_importing_jax(tmp_path):
    path = os.pathsep.join(p for p in sys.path if p)
    # The first run writes the bytecode, as an installation does.
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONPYCACHEPREFIX": str(tmp_path)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    seconds = [
        float(subprocess.check_output([sys.executable, "-c", IMPORT], env=environment))
        for _ in range(4)
    ]
    assert 0 < min(seconds[1:]) < 0.1, seconds


def test_planning_one_convolution_takes_under_1_ms():
    def seconds(batch):
        start = time.process_time()
        for kernel in range(1, 51):
            jconv.plan((batch, 224, 224, 3), (kernel, 7, 3, 64), stride=2)
        return (time.process_time() - start) / 50

    tries = [seconds(batch) for batch in range(1, 6)]
    assert min(tries) < 1e-3, tries
