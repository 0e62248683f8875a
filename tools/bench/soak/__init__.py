"""Commands disturbed at random, for as long as one likes, and what must hold afterwards.

`reference` makes in peace what every command gives; `plan` draws an event out of a seed; `events` lets it happen, with
`damage` to files and with the faults of `faults` inside of a `child` process that runs one command; `judge` compares
what is left with the reference; `command` does that on several cores and prints a table.
"""
