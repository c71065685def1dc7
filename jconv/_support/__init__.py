"""Tools that know nothing of convolutions.

In it: a clock, progress lines, files written whole or not at all, and SVG elements.
In: plain values and paths. Out: seconds, text on a terminal, files, strings of SVG.
"""
