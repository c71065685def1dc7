"""How the suite compiles: quickly, and as a user's program is where a test reads what came of it.

Most of the suite's time goes into compiling, and most of that, on jaxlib 0.10, into LLVM's
optimisation and into XLA's newer emitters of fusions. Neither changes which convolutions,
products and collectives XLA has made of a program by then. On a newer jaxlib, where XLA has no
such choice, every program is compiled as a user's is; so it is wherever XLA_FLAGS is set, empty
or not.
"""

from __future__ import annotations

import os
from typing import Any

import jax
import jaxlib

HAS_OLDER_EMITTERS = tuple(int(part) for part in jaxlib.__version__.split(".")[:2]) < (0, 11)

QUICKLY = (
    {
        "XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false "
        "--xla_cpu_parallel_codegen_split_count=1"
    }
    if HAS_OLDER_EMITTERS and "XLA_FLAGS" not in os.environ
    else {}
)
"""Environment variables of a process that compiles quickly."""

AS_USERS: dict[str, Any] = (
    {
        "xla_backend_optimization_level": 3,
        "xla_cpu_use_fusion_emitters": True,
        "xla_cpu_parallel_codegen_split_count": 32,
    }
    if QUICKLY
    else {}
)
"""Options for `lowered.compile` where a test reads a program or its temporaries."""


def compile_quickly() -> None:
    """Compile this process's programs so, and not those of the processes that it starts.

    XLA reads the variable once, when the first program is compiled; then it is taken away again.
    """
    os.environ.update(QUICKLY)
    jax.jit(lambda x: x).lower(0.0).compile()
    for name in QUICKLY:
        del os.environ[name]
