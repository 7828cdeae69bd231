"""The benchmark: what a spike function costs here and in the other libraries, in turn in one run.

`libraries` knows how each library is called, `agreement` that it computes the same numbers, `candidates` what is measured
beside what. `torch_side` and `jax_side` make calls of candidates; `timing` and `memory_use` measure any call. The parts of the
command are `elementwise`, `memory`, `layer` and `imports`; `run` puts them together, `ratios`, `targets` and `summary` judge
them, and `grids`, `report` and `figure` show them.
"""
