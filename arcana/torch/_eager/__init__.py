"""The quick way of plain eager tensors: a formula as a straight program of torch's functions, or as one kernel each way.

- program: the steps of a formula, written from its expression and believed once they give the plain evaluation's bits
- writer: an expression as a torch.fx graph that uses its tensors again; operations: torch's function for each operation
- masks: comparisons and choices without branches; chunks: long arrays in chunks that stay in the cache
- kernels: the switch, and kernels by torch.compile's compiler; cuda: kernels on a GPU; triton: their text
"""
