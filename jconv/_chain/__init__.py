"""Whole networks, planned layer by layer.

In it: layers in Python or in a TOML file, shapes and receptive fields along them, and the
output padding that restores an encoder's sizes.
In: an input shape and layers. Out: a `ChainPlan`, which prints as a table and as a picture.
"""
