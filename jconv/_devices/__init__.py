"""How a leg runs on many devices: which dimension a mesh axis splits, and what devices exchange.

In it: `roles` (which mesh axis splits what), `bring` (arrays sharded otherwise than a leg needs
them), `halo` and `exchange` (neighbours' rows), `borders` (padding modes), `local` (one device's
program), `partition` and `explicit` (how JAX gets to it), `mesh_read` and `mesh_plan` (plans).
In: a problem and the shardings of its arrays. Out: the leg as a function of sharded arrays, or a
record of what devices send for it.
"""
