"""The benchmark: what a spike function costs here and in the other libraries, in turn in one run.

A `Candidate` is a function from a potential to spikes, a `Record` one measured number of it (`records`). `libraries` calls the
other libraries' functions, and `candidates` says what is measured beside what. `torch_side` and `jax_side` make calls of
candidates, `timing` and `memory` measure any call, and `run` makes records of that, which `table` shows.
"""
