"""Without JAX's interpreter hooks jconv imports, warns once, and runs on jax.custom_vjp."""

import os
import subprocess
import sys
import textwrap

import pytest
from compiling import QUICKLY

# What is hidden, and how many configurations are then tried.
HIDE = {
    "attribute": ("import jax.interpreters.ad as ad; del ad.defbilinear", 3),
    "module": ("import sys, jax.extend; sys.modules['jax.extend.core'] = None", 1),
}

CHILD = """
import warnings
import jax, jax.numpy as jnp, numpy as np
{hide}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import jconv
assert [w for w in caught if "custom_vjp" in str(w.message)].__len__() == 1, caught
from jconv._ops import primitives
assert primitives.PRIMITIVES == ()
from plain import CONFIGURATIONS, operations
warnings.simplefilter("error")
for row in list(CONFIGURATIONS.values())[:{rows}]:
    for op, (ours, plain, (a, b)) in operations(*row).items():
        loss = lambda f: lambda a, b: jnp.sum(f(a, b) ** 2)
        second = lambda f: jax.grad(lambda a, b: jnp.vdot(jax.grad(loss(f))(a, b), a), (0, 1))
        for t in (lambda f: f, lambda f: jax.jit(jax.grad(loss(f), (0, 1))), second,
                  lambda f: lambda a, b: jax.vmap(f)(jnp.stack([a, a]), jnp.stack([b, b]))):
            for have, want in zip(jax.tree.leaves(t(ours)(a, b)), jax.tree.leaves(t(plain)(a, b))):
                np.testing.assert_array_equal(have, want)
try:
    jax.jvp(lambda a: ours(a, b), (a,), (a,))
except TypeError as error:
    print("forward mode is off")
print("all equal")
"""


@pytest.mark.parametrize("hidden", HIDE)
def test_the_custom_vjp_host_equals_lax(hidden, pytestconfig):
    hide, rows = HIDE[hidden]
    code = textwrap.dedent(CHILD).format(hide=hide, rows=rows)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=pytestconfig.rootpath / "tests",
        timeout=500,
        env={**os.environ, **QUICKLY, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    assert done.returncode == 0, done.stderr
    assert "forward mode is off" in done.stdout
    assert "all equal" in done.stdout
