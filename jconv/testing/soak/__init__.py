"""Random configurations of jconv's own, run in bulk in child processes and compared exactly.

A seed and a number go in, and a trial comes out (`draw`); a trial is run and judged (`trial`, with
the oracle's sums taken tap by tap in `by_taps`), many at a time in a child process (`child`),
which a parent starts, watches and counts (`soak`).
"""
