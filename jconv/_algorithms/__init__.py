"""The formulations of a leg in plain XLA, one module each; REGISTRY lists them.

In it: a module or package for each algorithm, which ends in its record (`record.Algorithm`); the
building blocks that they share (`legs`, `batches`, `windows`, `im2col`, `col2im`, `lax_conv`); and
what predictions are made of (`cost`, `cost_constants`, `compiling`). There is no autodiff in here.
In: a `Problem` and two arrays. Out: the third array of the trilinear form.
"""

from __future__ import annotations

from jconv._algorithms.direct import DIRECT
from jconv._algorithms.fft import FFT
from jconv._algorithms.gemm import GEMM
from jconv._algorithms.grouped import GROUPED
from jconv._algorithms.phase import PHASE
from jconv._algorithms.real import REAL
from jconv._algorithms.record import Algorithm as Algorithm
from jconv._algorithms.space_to_batch import SPACE_TO_BATCH
from jconv._algorithms.taps import TAPS
from jconv._algorithms.wide import WIDE
from jconv._algorithms.winograd import WINOGRAD

REGISTRY: tuple[Algorithm, ...] = (
    DIRECT,
    GEMM,
    TAPS,
    GROUPED,
    PHASE,
    SPACE_TO_BATCH,
    WIDE,
    WINOGRAD,
    FFT,
    REAL,
)
BY_NAME: dict[str, Algorithm] = {algorithm.name: algorithm for algorithm in REGISTRY}


def algorithms() -> tuple[str, ...]:
    """The names that a policy can ask for.

    Examples:
        >>> import jconv
        >>> "direct" in jconv.algorithms()
        True
    """
    return tuple(BY_NAME)
