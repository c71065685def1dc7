"""Plans as pictures.

In it: the strip of one axis, the plane of two, and how a whole picture is put together.
In: the axes of a plan. Out: SVG, as text.
"""
