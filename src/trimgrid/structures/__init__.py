"""Masks that follow a structure: what it is, which tensors it fits, what its groups are worth."""
