"""Benchmarks: suites of shapes, contestants, and the times that a race between them gave.

In it: the suites, whole models, one module for each peer, verification against a float64
reference before anything is timed, and reports.
In: names of suites and contestants. Out: tables, pictures and stored results.
"""
