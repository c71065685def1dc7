"""What implementations are tried on: a table of small convolutions, and strategies that draw more.

In it: `rows`, the table as text; `table`, the cases read from it; `valid` and `invalid`, hypothesis
strategies for calls that must work and calls that must be refused; `strategies`, both together.
In: nothing, or what hypothesis draws. Out: a `Case`, or an `Invalid` call.
"""
