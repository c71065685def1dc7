"""How a leg runs on many devices: which dimension a mesh axis splits, and what devices exchange.

In goes a problem with the shardings of its arrays, from the compiler or from explicit axes; out
comes the program of one device: rows received from neighbours (`halo`, `exchange`), the local
problem for the planner (`roles`, `local`), sums over devices (`partition`).
"""
