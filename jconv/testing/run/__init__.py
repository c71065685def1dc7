"""The check itself: an implementation is asked, its answers are judged, and a report says why.

In it: `conformance` and `checks`, the public functions; `ask`, many questions as few programs;
`judge`, answers against the oracle; `shrink`, smaller failing cases; `findings` and `report`, the
text.
In: an implementation, cases and properties. Out: a `Report`, or an AssertionError.
"""
