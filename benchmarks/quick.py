"""What must cost next to nothing: importing jconv, and planning one convolution.

    python benchmarks/quick.py

Time on the processor is counted, since the machine may be busy with something else, and the
least of a few tries. The limits are 100 ms over `import jax`, and 1 ms.
"""

import os
import subprocess
import sys
import tempfile
import time

import jconv

IMPORT = """
import time, jax
start = time.process_time()
import jconv
print(time.process_time() - start)
"""


def importing() -> float:
    """Seconds that importing jconv adds; the first run writes the bytecode, as installing does."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.pathsep.join(p for p in sys.path if p)
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONPYCACHEPREFIX": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        runs = [
            float(subprocess.check_output([sys.executable, "-c", IMPORT], env=environment))
            for _ in range(4)
        ]
    return min(runs[1:])


def planning() -> float:
    """Seconds to plan one convolution of a new shape."""

    def once(batch: int) -> float:
        start = time.process_time()
        for kernel in range(1, 51):
            jconv.plan((batch, 224, 224, 3), (kernel, 7, 3, 64), stride=2)
        return (time.process_time() - start) / 50

    return min(once(batch) for batch in range(1, 6))


if __name__ == "__main__":
    print(f"importing jconv after jax: {importing() * 1e3:.0f} ms")
    print(f"planning one convolution:  {planning() * 1e3:.2f} ms")
