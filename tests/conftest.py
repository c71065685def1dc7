"""What holds for every test, set before anything starts a backend.

Eight CPU devices are for the sharding tests. NumPy's BLAS takes one thread: the suite's workers use
all cores, and BLAS threads that wait for each other spin, which made the oracle's small products
six times slower.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import compiling
import jax
import pytest

jax.config.update("jax_num_cpu_devices", 8)
compiling.compile_quickly()


@pytest.fixture(autouse=True)
def jax_settings_stay():
    """A test that leaves a setting of JAX's changed decides what later tests of its worker run."""
    before = dict(jax.config.values)
    yield
    assert jax.config.values == before
