"""Why a call fails, and the smallest change that mends it.

A call is read once for each number of spatial axes it may mean (`reading`), every known confusion
proposes changes with a cost (`confusions`), those that mend the call are kept (`diagnose`).
"""
