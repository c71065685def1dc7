"""jconv: convolution for JAX with the backward pass made explicit."""

from jconv import compat as compat
from jconv._algorithms import algorithms as algorithms
from jconv._chain.chain import ChainPlan as ChainPlan
from jconv._chain.chain import plan_chain as plan_chain
from jconv._chain.record import ChainRow as ChainRow
from jconv._chain.restores import Restore as Restore
from jconv._core.errors import ConvError as ConvError
from jconv._core.errors import Remedy as Remedy
from jconv._diagnosis.diagnose import Diagnosis as Diagnosis
from jconv._diagnosis.diagnose import diagnose as diagnose
from jconv._ops.conv import conv as conv
from jconv._ops.conv import conv_filter_grad as conv_filter_grad
from jconv._ops.conv import conv_input_grad as conv_input_grad
from jconv._ops.conv import conv_transpose as conv_transpose
from jconv._ops.custom import custom_conv as custom_conv
from jconv._ops.primitives import convs_saveable as convs_saveable
from jconv._ops.unfold import fold as fold
from jconv._ops.unfold import unfold as unfold
from jconv._plan.leg import Leg as Leg
from jconv._plan.plan import Plan as Plan
from jconv._plan.plan import plan as plan
from jconv._plan.plan import plan_transpose as plan_transpose
from jconv._plan.solve import Solution as Solution
from jconv._plan.solve import input_sizes as input_sizes
from jconv._plan.solve import solve as solve
from jconv._planner.policy import policy as policy
from jconv._trace.accelerate import accelerate as accelerate
from jconv._trace.everywhere import everywhere as everywhere
from jconv._trace.explain import explain as explain
from jconv._tuning.autotune import autotune as autotune
from jconv._tuning.table import TuningTable as TuningTable

__version__ = "0.1.0"

__all__ = [
    "ChainPlan",
    "ChainRow",
    "ConvError",
    "Diagnosis",
    "Leg",
    "Plan",
    "Remedy",
    "Restore",
    "Solution",
    "TuningTable",
    "accelerate",
    "algorithms",
    "autotune",
    "conv",
    "conv_filter_grad",
    "conv_input_grad",
    "conv_transpose",
    "convs_saveable",
    "custom_conv",
    "diagnose",
    "everywhere",
    "explain",
    "fold",
    "input_sizes",
    "plan",
    "plan_chain",
    "plan_transpose",
    "policy",
    "solve",
    "unfold",
]
