"""The equation b*i + p0 = s*o + d*k, and what is needed to speak of it."""
