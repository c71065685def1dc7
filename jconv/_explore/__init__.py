"""The page of `jconv explore`: one convolution, its picture, its errors and its remedies, live.

In it: `answers`, what the plan, the diagnosis and `solve` say of an address; `calls`, the call in
other frameworks' words; `server`, HTTP on this machine alone; `page.html`, which computes nothing.
In: an address, the text of a call, and what the user changed in it. Out: JSON.
"""
