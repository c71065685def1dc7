"""Benchmarks: suites of shapes, contestants, and what a race between contestants gave.

In it: the suites, whole models, one module for each peer, verification against a float64
reference before anything is timed, and reports.
In: names of suites and contestants. Out: tables, pictures and stored results.
"""
