"""Why answers are wrong: known bugs, each as the wrong arrays that it leads to.

In it: `wrong_legs`, the oracle with a part of it exchanged; `bugs`, many mistakes of that kind;
`catalogue`, the causes that a report can name; `explain`, the search for the likeliest of them;
`features`, what sets failing cases apart.
In: right and wrong arrays of an implementation. Out: a cause, or what the failing cases share.
"""
