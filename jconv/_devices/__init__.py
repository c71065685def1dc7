"""How a leg runs on many devices: which dimension a mesh axis splits, and what devices exchange.

In it: `roles` (which axis splits what), `halo` and `exchange` (neighbours' rows), `local` (one
device's program), `partition` (how JAX gets to it), `mesh_plan` (its bytes), `borders`.
In: a problem and the shardings of its arrays. Out: the leg as a function of whole arrays that
devices hold parts of, or as a record of what they send.
"""
