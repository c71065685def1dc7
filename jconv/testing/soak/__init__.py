"""Random configurations of jconv's own, run in bulk in child processes and compared exactly.

In it: `draw`, trial number n of a seed; `trial`, one configuration run and judged; `by_taps`, the
oracle's sums made fast; `child`, a process that runs many trials; `soak`, its parent, which counts.
In: a seed and a number of configurations or minutes. Out: `Figures`, with what failed and how to
repeat it.
"""
