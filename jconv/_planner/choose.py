"""Which algorithm runs a leg: pure and deterministic, every rejection with its reason."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Container

import jax
from jax import lax

from jconv._algorithms import BY_NAME, REGISTRY, Algorithm
from jconv._algorithms.batches import one_by_one
from jconv._algorithms.cost import moved, operands
from jconv._algorithms.legs import groups_to_vmapped, vmapped_to_groups
from jconv._core.geometry import Size
from jconv._core.problem import ONE_WINDOW, Problem
from jconv._planner.compile_time import LIMIT, compile_seconds, most_calls
from jconv._planner.workspace import workspace

AHEAD = 5e-5  # seconds; a prediction must beat direct by this, as small ones are inaccurate
UNMEASURED = "was not measured on this platform: jconv.autotune measures it"
ABOUT_AS_FAST = 1.25  # factor on the least predicted cost; predictions are no more certain
WORTH_COMPILING = 2.0  # an algorithm this many times faster may compile for longer than LIMIT
LARGEST_ERROR = 8.0  # factor on direct's root-mean-square error that "auto" accepts


@dataclasses.dataclass(frozen=True)
class Choice:
    """The chosen algorithm, its predicted seconds, and why each of the others was not chosen.

    `compiling` is the predicted seconds to compile it, where the policy says over how many runs.
    """

    algorithm: Algorithm
    cost: float
    rejected: dict[str, str]
    compiling: float | None = None


def choose(problem: Problem, platform: str) -> Choice:
    """The algorithm for one leg on one platform under the problem's policy."""
    problem = at_once(problem, platform)
    # A cache compares its keys, and symbols of two scopes refuse to be compared.
    return (_choose_once if problem.static else _choose)(problem, platform)


def _choose(problem: Problem, platform: str) -> Choice:
    costs: dict[str, float] = {}
    rejected: dict[str, str] = {}
    planner = Planner(platform)
    for algorithm in REGISTRY:
        reason = excluded(algorithm, problem, platform)
        if reason is None:
            costs[algorithm.name] = algorithm.cost(problem, planner)
        else:
            rejected[algorithm.name] = reason
    comparison = Comparison(problem, platform, costs, _measured(problem, platform, costs))
    rejected |= comparison.slow_to_compile()
    left = {name: cost for name, cost in costs.items() if name not in rejected}
    comparison = dataclasses.replace(comparison, costs=left)
    chosen = comparison.pick()
    rejected |= {name: comparison.why_not(name, chosen) for name in left if name != chosen}
    compiling = None if comparison.runs is None else comparison.compiling(chosen)
    return Choice(BY_NAME[chosen], costs[chosen], rejected, compiling)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The algorithms that may run a problem, and what they are compared by.

    Attributes:
        costs: the predicted seconds of each.
        measured: the seconds of those that the tuning table in force has measured.
    """

    problem: Problem
    platform: str
    costs: dict[str, float]
    measured: dict[str, float]

    @property
    def runs(self) -> int | None:
        """Over how many runs compiling is to pay, where that counts: its time is known for CPUs."""
        return self.problem.runs if self.platform == "cpu" else None

    @property
    def named(self) -> bool:
        """Whether the policy names one of the algorithms."""
        return self.problem.policy in self.costs

    def compiling(self, name: str) -> float:
        return compile_seconds(BY_NAME[name], self.problem, Planner(self.platform).algorithm_of)

    def over_runs(self, seconds: dict[str, float]) -> dict[str, float]:
        """These seconds of a run, or of all runs and of compiling once."""
        if self.runs is None:
            return seconds
        return {name: self.runs * each + self.compiling(name) for name, each in seconds.items()}

    @functools.cached_property
    def totals(self) -> dict[str, float]:
        """Predicted seconds by algorithm, without margins."""
        return self.over_runs(self.costs)

    def compared(self) -> dict[str, float]:
        """Seconds to choose the least of: measured ones, or predicted ones with margins."""
        if self.measured:
            return self.over_runs(self.measured)
        costs = self.costs.items()
        return self.over_runs({n: handicapped(BY_NAME[n], self.problem, cost) for n, cost in costs})

    def slow_to_compile(self) -> dict[str, str]:
        """The fastest algorithms that give way to a slower one, since they compile for too long."""
        if self.named or self.runs is not None or self.platform != "cpu" or self.measured:
            return {}
        compared, rejected = self.compared(), {}
        order = sorted(compared, key=compared.__getitem__)
        for name in order:
            seconds = self.compiling(name)
            if name == "direct" or seconds <= LIMIT:
                near = compared[name] <= WORTH_COMPILING * compared[order[0]]
                return rejected if near else {}
            rejected[name] = f"is predicted to take {seconds:.2g} s to compile"
        return {}

    def pick(self) -> str:
        """The algorithm to run."""
        if self.named:
            return self.problem.policy
        compared = self.compared()
        fastest = min(compared, key=compared.__getitem__)
        if not self.problem.frugal or self.measured:
            return fastest
        most = min(ABOUT_AS_FAST * self.costs[fastest], self.costs["direct"])
        near = [name for name, cost in self.costs.items() if cost <= most] or [fastest]
        return min(near, key=lambda name: needs(BY_NAME[name], self.problem, self.platform))

    def why_not(self, name: str, chosen: str) -> str:
        """Why an algorithm that may run was not chosen, as the end of a sentence about it."""
        if self.platform != "cpu" and chosen == "direct" and not self.measured:
            return UNMEASURED  # predictions are for CPUs alone
        asked = self.problem.policy == chosen
        frugal = self.problem.frugal and not self.measured and not asked
        if frugal and self.costs[name] < self.costs[chosen]:
            return f"takes more memory than {chosen}, which is about as fast"
        if self.runs is None and self.measured:
            return _tuned(name, chosen, self.measured)
        told = _comparison(self.totals[name], self.totals[chosen], chosen, asked)
        return told if self.runs is None else f"{told}, compiling included"


def at_once(problem: Problem, platform: str) -> Problem:
    """The part of a problem that Planner.run computes at once; a choice depends on it alone.

    Of a vmap over both operands it is one pair of operands, or all pairs as groups. Under the
    policy "local" it is one example of the batch, since the last bits of a matrix product's rows
    depend on how many rows there are.
    """
    if platform != "cpu":
        return problem
    problem = without_vmap(problem, platform)
    if problem.policy != "local":
        return problem
    summed = problem.leg == "filter_grad"  # its windows extend over the batch
    return problem.replace(policy=ONE_WINDOW, n=problem.n if summed else 1)


def promise(problem: Problem, platform: str) -> str:
    """What the problem's policy promises of each number in a result, as the end of a sentence."""
    if problem.policy == "local":
        if platform != "cpu":
            return "what the platform's own convolution keeps: direct runs, on the whole batch"
        return "an output depends on its own window alone, an example not on its batch, bit by bit"
    if problem.policy in ("exact", "direct") or "HIGHEST" in problem.precision:
        return "the products of the definition and no others, summed in any order"
    most = max(LARGEST_ERROR, BY_NAME[problem.policy].error if problem.policy in BY_NAME else 0.0)
    return (
        f"a root-mean-square error over the whole result of at most {most:g} times direct's; "
        "single outputs may feel their neighbours (policy 'local' keeps them apart)"
    )


def handicapped(algorithm: Algorithm, problem: Problem, cost: float) -> float:
    """The cost that the choice compares, so high that no algorithm turns out slower than direct."""
    margin = 1.0 if algorithm.name == "direct" else algorithm.margin(problem)
    return cost if margin == 1.0 else cost * margin + AHEAD


def without_vmap(problem: Problem, platform: str) -> Problem:
    """The problem that a vmap over both operands runs on CPU: one turn of a loop, or groups.

    As groups all turns are one convolution, which can use every thread where a loop cannot. But
    XLA's own grouped convolution is a scalar loop nest, and a symbolic number of groups cannot
    be lowered at all.
    """
    if not problem.vmapped or platform != "cpu":
        return problem
    turn = problem.replace(vmapped=())
    if not problem.static or problem.empty or problem.policy == "local":
        return turn
    (turns,) = problem.vmapped
    groups = turn.replace(groups=turns * turn.groups)
    choice = choose(groups, platform)
    # The mapped dimension is moved beside the channels, and back.
    moving = 4 * moved(groups, operands(groups))
    seconds = handicapped(choice.algorithm, groups, choice.cost) + moving
    loop = turns * choose(turn, platform).cost
    return groups if choice.algorithm.name != "direct" and seconds < loop else turn


_choose_once = functools.lru_cache(maxsize=4096)(_choose)


def excluded(algorithm: Algorithm, problem: Problem, platform: str) -> str | None:
    """Why an algorithm may not run a problem, or None; `direct` always may."""
    reason = algorithm.supports(problem, platform)
    if reason is not None or algorithm.name == "direct":
        return reason
    if not algorithm.exact and (problem.policy == "exact" or "HIGHEST" in problem.precision):
        return "forms other products than the definition, which this policy or precision excludes"
    if problem.policy in ("local", ONE_WINDOW) and (reason := algorithm.local(problem)):
        return reason
    if algorithm.error > LARGEST_ERROR and problem.policy != algorithm.name:
        return f"has an error of up to {algorithm.error:g} times direct's"
    if problem.workspace is None:
        return None
    needed = needs(algorithm, problem, platform)
    if needed > problem.workspace:
        return f"needs {needed} bytes of workspace, over the limit of {problem.workspace}"
    return None


def needs(algorithm: Algorithm, problem: Problem, platform: str) -> Size:
    """Bytes of temporaries, including those of parts that an algorithm hands on to the planner."""
    return workspace(algorithm, problem, platform, Planner(platform).algorithm_of)


def _measured(problem: Problem, platform: str, allowed: Container[str]) -> dict[str, float]:
    """Seconds of the allowed algorithms by the tuning table in force.

    Nothing where the table names an algorithm that does not exist or does not support the problem:
    another version of jconv made that table, which knows nothing of the algorithms of this one.
    """
    if problem.tuning is None or not problem.static or problem.policy in allowed:
        return {}
    times = problem.tuning.times(problem, platform)
    for name in times:
        if name not in BY_NAME or BY_NAME[name].supports(problem, platform) is not None:
            return {}
    return {name: seconds for name, seconds in times.items() if name in allowed}


def _tuned(name: str, chosen: str, measured: dict[str, float]) -> str:
    if name not in measured:
        return f"was not measured for the tuning table, {chosen} was"
    faster = f"{measured[name] / measured[chosen]:.2g}x faster"
    return f"was measured for the tuning table: {chosen} is {faster}"


def _comparison(cost: float, best: float, chosen: str, asked: bool) -> str:
    if cost < best and asked:
        return f"gives way to {chosen}, which the policy names"
    if cost < best:
        return f"is not predicted to beat {chosen} by a safe margin"
    if not best:
        return f"is predicted to be no faster than {chosen}"
    return f"is predicted to take {cost / best:.2g} times as long as {chosen}"


@dataclasses.dataclass(frozen=True)
class Planner:
    """The planner as algorithms see it: it predicts and runs the problems that they hand on."""

    platform: str

    def cost(self, problem: Problem) -> float:
        named = BY_NAME.get(problem.policy)
        if named is not None and excluded(named, problem, self.platform) is None:
            return named.cost(problem, self)  # the reasons against the others are not needed
        return choose(problem, self.platform).cost

    def run(self, problem: Problem, a: jax.Array, b: jax.Array) -> jax.Array:
        if problem.vmapped and self.platform == "cpu":
            planned = without_vmap(problem, self.platform)
            if planned.groups != problem.groups:
                result = self.run(planned, vmapped_to_groups(a), vmapped_to_groups(b))
                return groups_to_vmapped(result, problem.vmapped)
            return lax.map(lambda operands: self.run(planned, *operands), (a, b))
        one = at_once(problem, self.platform)
        algorithm = choose(one, self.platform).algorithm
        if one.policy != problem.policy and problem.leg != "filter_grad":
            most = most_calls(algorithm, one, self.algorithm_of)
            return one_by_one(lambda example: self.run(one, example, b), a, most)
        with jax.named_scope(f"jconv.{problem.leg}.{algorithm.name}"):
            return algorithm.run(one, self, a, b)

    def algorithm_of(self, part: Problem) -> Algorithm:
        return choose(part, self.platform).algorithm
