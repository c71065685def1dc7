"""The `jconv` command, which is `python -m jconv` too.

In it: one module for each group of subcommands, and how arguments are read and results are
printed.
In: the arguments of a command line. Out: text or JSON, and an exit status.
"""
