"""How good a run is, in the order of the work.

`protocol` splits a session's views before anything is computed; `reconstruction` gathers what is compared when all else
is done; `views`, `joints` and `truth` compare one thing each; `scores` makes means and intervals of them; `scoring`
writes metrics.json; `metrics` says what each number means; `again` scores a finished run once more.
"""
