"""How an attempt learns from the original: the settings of knowledge distillation."""

from __future__ import annotations

import math
from dataclasses import dataclass

from trimgrid.arguments import real
from trimgrid.errors import InputError


@dataclass(frozen=True)
class Distillation:
    """An attempt learns from the outputs of the trained original too, not only from the targets.

    The loss of a training step is (1 - `weight`) * own loss + `weight` * distilled loss; losses of
    regularization are added once. What is measured and validated is the own loss as ever.

    The distilled loss of an output whose loss is one of Keras' crossentropies is temperature² *
    KL(teacher || student), both softened: softmax(logits / temperature), for binary crossentropy
    sigmoid(logits / temperature). Outputs that are probabilities become logits by their logarithm.
    For any other loss, as of regression, it is that loss between the two outputs, in which the
    `temperature` plays no part; a loss function of one's own counts as such a one, also where it
    calls a crossentropy. Several outputs add up with the training's `loss_weights`, and weights of
    examples and classes count as in the own loss. The original computes as in inference, without
    dropout.

    `temperature`: a number above 0; higher ones show more of how the original ranks the wrong
    classes. `weight`: above 0, at most 1; with 1 only the original teaches.

    Raises `InputError` for numbers out of these ranges.

    Source of the method: Hinton, Vinyals & Dean 2015, "Distilling the Knowledge in a Neural
    Network".

    >>> Distillation(temperature=4, weight=0.7)
    Distillation(temperature=4.0, weight=0.7)
    >>> print(Distillation())
    T2 w0.5
    """

    temperature: float = 2.0
    weight: float = 0.5

    def __post_init__(self) -> None:
        temperature, weight = real(self.temperature), real(self.weight)
        if not 0 < temperature < math.inf:
            raise InputError(
                "The temperature of a distillation must be a finite number above 0. "
                f"Received: temperature={self.temperature!r}. Give for example 2.0."
            )
        if not 0 < weight <= 1:
            raise InputError(
                "The weight of a distillation must be above 0 and at most 1. "
                f"Received: weight={self.weight!r}. Give for example 0.5, or leave the "
                "distillation away."
            )
        object.__setattr__(self, "temperature", temperature)
        object.__setattr__(self, "weight", weight)

    def __str__(self) -> str:
        """Both numbers, as an attempt's name has them."""
        return f"T{self.temperature:g} w{self.weight:g}"


def check_distillation(value: object) -> None:
    """Check that a setting is a `Distillation` or None.

    Raises `InputError` if not.

    >>> check_distillation(Distillation(weight=1))
    """
    if value is not None and not isinstance(value, Distillation):
        raise InputError(
            f"distillation must be a Distillation or None. Received: distillation={value!r}. "
            "Give for example Distillation(temperature=2.0, weight=0.5)."
        )
