"""Eight CPU devices for the sharding tests, asked for before anything starts a backend."""

import jax

jax.config.update("jax_num_cpu_devices", 8)
