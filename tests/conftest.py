"""What holds for every test, set before anything starts a backend.

Eight CPU devices are for the sharding tests. NumPy's BLAS takes one thread: the suite's workers use
all cores, and BLAS threads that wait for each other spin, which made the oracle's small products
six times slower.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax

jax.config.update("jax_num_cpu_devices", 8)
