"""The page of `jconv explore`: one convolution, its picture, its errors and its remedies, live.

In goes an address, which is the text of a call, and what the user changed; out come the plan, the
diagnosis, the picture and the call in other frameworks' words, as JSON. `server` carries them
over HTTP on this machine alone, `page.html` shows them and computes nothing itself.
"""
