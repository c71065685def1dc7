"""Everything that callers are known to confuse: one function each, from a reading to changes.

A confusion proposes; whether a change mends the call is tried afterwards. A new one is a
function and a line of the table. Where two changes cost alike, the earlier line's comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from jconv._diagnosis import keywords, shapes, values
from jconv._diagnosis.changes import Change
from jconv._diagnosis.reading import Reading

Confusion = Callable[[Reading], Iterator[Change]]

CONFUSIONS: tuple[Confusion, ...] = (
    # an array's shape, or the told one
    shapes.dimensions_in_another_order,
    shapes.another_size,
    shapes.depthwise_filter,
    shapes.missing_axes,
    shapes.extra_axis,
    shapes.told_sizes,
    shapes.told_sizes_in_another_order,
    # a keyword
    keywords.misspelt_keyword,
    keywords.default_for_a_huge_value,
    values.factor_of_the_sizes,
    values.padding_of_the_sizes,
    values.less_padding,
    keywords.another_padding_mode,
    keywords.another_layout,
    keywords.another_output_padding,
    keywords.another_groups,
    keywords.another_dtype,
)
