"""Which algorithm runs a leg: pure and deterministic, every rejection with its reason."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Container

import jax
from jax import lax

from jconv._algorithms import BY_NAME, REGISTRY, Algorithm, _cost
from jconv._algorithms._arrange import groups_to_vmapped, one_by_one, vmapped_to_groups
from jconv._core.problem import ONE_WINDOW, Problem

AHEAD = 5e-5  # seconds by which the others must beat direct: small problems are hardly predicted
UNMEASURED = "was not measured on this platform: jconv.autotune measures it"
ABOUT_AS_FAST = 1.25  # times the least predicted cost; predictions are not more certain than that
LARGEST_ERROR = 8.0  # of direct's root-mean-square error, that "auto" may accept


@dataclasses.dataclass(frozen=True)
class Choice:
    """The chosen algorithm, its predicted seconds, and why each of the others was not chosen."""

    algorithm: Algorithm
    cost: float
    rejected: dict[str, str]


def choose(problem: Problem, platform: str) -> Choice:
    """The algorithm for one leg on one platform under the problem's policy."""
    problem = at_once(problem, platform)
    # Symbols of two scopes refuse to be compared, as a cache would have to.
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
    measured = _measured(problem, platform, costs)
    if problem.policy in costs:
        chosen = problem.policy
    else:
        compared = measured or {
            name: handicapped(BY_NAME[name], problem, cost) for name, cost in costs.items()
        }
        chosen = min(compared, key=compared.__getitem__)
        if problem.frugal and not measured:
            most = min(ABOUT_AS_FAST * costs[chosen], costs["direct"])
            near = [name for name, cost in costs.items() if cost <= most] or [chosen]
            chosen = min(near, key=lambda name: BY_NAME[name].workspace(problem, platform))
    for name, cost in costs.items():
        if name == chosen:
            continue
        if platform != "cpu" and chosen == "direct" and not measured:
            rejected[name] = UNMEASURED  # costs are those of a CPU
        elif problem.frugal and not measured and cost < costs[chosen] and chosen != problem.policy:
            rejected[name] = f"takes more memory than {chosen}, which is about as fast"
        else:
            told = _tuned(name, chosen, measured)
            asked = problem.policy == chosen
            rejected[name] = told or _comparison(cost, costs[chosen], chosen, asked)
    return Choice(BY_NAME[chosen], costs[chosen], rejected)


def at_once(problem: Problem, platform: str) -> Problem:
    """What Planner.run makes one computation of, and so all that a choice may depend on.

    One pair of a vmap's operands, or all pairs as groups. Under the policy "local" one example
    of the batch, since the bits that a matrix product or a convolution gives a row depend on how
    many rows there are.
    """
    if platform != "cpu":
        return problem
    problem = without_vmap(problem, platform)
    if problem.policy != "local":
        return problem
    summed = problem.leg == "filter_grad"  # over the batch, which is a part of its windows
    return problem.replace(policy=ONE_WINDOW, n=problem.n if summed else 1)


def promise(problem: Problem, platform: str) -> str:
    """Returns what the problem's policy promises of each number in a result, as half a sentence."""
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
    """A predicted cost for the choice: no algorithm should turn out slower than direct."""
    margin = 1.0 if algorithm.name == "direct" else algorithm.margin(problem)
    return cost if margin == 1.0 else cost * margin + AHEAD


def without_vmap(problem: Problem, platform: str) -> Problem:
    """The problem that a vmap over both operands runs on CPU: one turn of a loop, or groups.

    As groups all turns are one convolution, which no loop keeps from using every thread; but
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
    moved = 4 * _cost.moved(groups, _cost.operands(groups))  # turns moved beside channels, and back
    seconds = handicapped(choice.algorithm, groups, choice.cost) + moved
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
        return f"its error is up to {algorithm.error:g} times direct's"
    if problem.workspace is None:
        return None
    needed = algorithm.workspace(problem, platform)
    if needed > problem.workspace:
        return f"needs {needed} bytes of workspace, over the limit of {problem.workspace}"
    return None


def _measured(problem: Problem, platform: str, allowed: Container[str]) -> dict[str, float]:
    """Seconds of the allowed algorithms by the tuning table in force.

    Nothing where the table names what no longer exists or supports the problem: it was made by
    another version then, and what it says of the others says nothing of what came since.
    """
    if problem.tuning is None or not problem.static or problem.policy in allowed:
        return {}
    times = problem.tuning.times(problem, platform)
    for name in times:
        if name not in BY_NAME or BY_NAME[name].supports(problem, platform) is not None:
            return {}
    return {name: seconds for name, seconds in times.items() if name in allowed}


def _tuned(name: str, chosen: str, measured: dict[str, float]) -> str | None:
    if not measured:
        return None
    if name not in measured:
        return f"tuning table: {chosen} was measured, this was not"
    return f"tuning table: {chosen} measured {measured[name] / measured[chosen]:.2g}x faster"


def _comparison(cost: float, best: float, chosen: str, asked: bool) -> str:
    if cost < best and asked:
        return f"{chosen} was asked for"
    if cost < best:
        return f"predicted to be no faster than {chosen} by a margin that would be sure"
    return f"predicted to take {cost / best:.2g} times as long as {chosen}" if best else "no better"


@dataclasses.dataclass(frozen=True)
class Planner:
    """The planner as algorithms see it."""

    platform: str

    def cost(self, problem: Problem) -> float:
        named = BY_NAME.get(problem.policy)
        if named is not None and excluded(named, problem, self.platform) is None:
            return named.cost(problem, self)  # nobody asks why the others were not chosen
        return choose(problem, self.platform).cost

    def run(self, problem: Problem, a: jax.Array, b: jax.Array) -> jax.Array:
        if problem.vmapped and self.platform == "cpu":
            planned = without_vmap(problem, self.platform)
            if planned.groups != problem.groups:
                result = self.run(planned, vmapped_to_groups(a), vmapped_to_groups(b))
                return groups_to_vmapped(result, problem.vmapped)
            return lax.map(lambda operands: self.run(planned, *operands), (a, b))
        one = at_once(problem, self.platform)
        if one.policy != problem.policy and problem.leg != "filter_grad":
            return one_by_one(lambda example: self.run(one, example, b), a)
        algorithm = choose(one, self.platform).algorithm
        with jax.named_scope(f"jconv.{problem.leg}.{algorithm.name}"):
            return algorithm.run(one, self, a, b)
