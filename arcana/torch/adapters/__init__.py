"""Ways into libraries of PyTorch that cannot take a surrogate as it is: one file a library, which imports that library.

snnTorch and most of SpikingJelly need none: an instance goes in as `spike_grad=` and as `surrogate_function=`. Nothing here is
imported by `arcana.torch`; `from arcana.torch.adapters import sinabs` asks for one.

- lava_dl: `spikes_with`, for the neurons of `lava.lib.dl.slayer`
- norse: `methods`, names for `LIFParameters(method=...)`
- rockpool: `SpikeGeneration`, for `spike_generation_fn=`
- sinabs: `SingleSpike` and `MultiSpike` for `spike_fn=`, `SurrogateGradient` for `surrogate_grad_fn=`
- spikingjelly: `SurrogateFunction`, where a node asks for `spiking` or for a `SurrogateFunctionBase`
"""
