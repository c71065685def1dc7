"""The page of `jconv explore`: one convolution, its picture, its errors and its remedies, live.

In it: `question` (a call, and the address that holds it as text), `edit` (a change of a field),
`whole` and `mending` (jconv on a call), `answers`, `network` and `plane` (JSON for the page),
`calls` (other frameworks' words), `limits`, `server`, `notebook`; `page.html` computes nothing.
In: an address, and what the user changed on the page. Out: JSON.
"""
