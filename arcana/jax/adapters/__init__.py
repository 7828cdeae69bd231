"""`Spike`, the layer with a threshold and learnable parameters inside, for the module systems of JAX, and Pallas kernels.

Libraries of neurons need no adapter: spyx, snnax, slax, jaxsnn, brainpy.state and Haiku take an instance as it is. Nothing here
is imported by `arcana.jax`; `from arcana.jax.adapters import nnx` asks for one.

- nnx: `Spike` of Flax NNX
- linen: `Spike` of Flax linen
- equinox: `Spike` of Equinox
- pallas: `fire` and `pseudo_derivative`, for the inside of a kernel

The names, bounds and initial values are those of `arcana.torch.Spike`, so that what was learned moves by name: the
`named_parameters()` of one are the `nnx.Param`s, the "params" of linen or the `learned` of Equinox.

- layer: what the three have in common
"""
