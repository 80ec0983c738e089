"""How the attempts of a grid are trained."""
