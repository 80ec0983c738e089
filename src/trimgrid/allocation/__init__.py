"""How the weights that stay are shared out among the tensors of a model."""
