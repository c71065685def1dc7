"""Benchmarks: suites of shapes, contestants, and what a race between them gave."""
