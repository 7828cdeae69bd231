"""The demo: one spiking network on handwritten digits, trained in PyTorch and in JAX from the same numbers.

`experiment` holds what both sides share, `torch_network` and `jax_network` the network in each framework, `training`
the loop around either, `comparison` what differs, `table` and `figure` what is shown, `run` the whole.
"""
