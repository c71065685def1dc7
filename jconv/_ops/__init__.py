"""The public operations on arrays, and the primitives below them."""
