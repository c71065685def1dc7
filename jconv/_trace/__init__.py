"""Functions read and rewritten as jaxprs: explain and accelerate."""
