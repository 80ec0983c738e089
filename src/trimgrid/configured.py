"""Dataclasses of plain values that can be written down as JSON and read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar, Self

from trimgrid.errors import InputError


class Configured:
    """What the schedules have in common: their arguments as a config, the way Keras asks for it."""

    # The class is no dataclass itself, or its fields would come before those of the subclasses.
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain values, ready for JSON.

        >>> from trimgrid.schedules import ConstantSparsity
        >>> ConstantSparsity(0.5).get_config()
        {'target_sparsity': 0.5, 'begin_step': 0, 'end_step': None, 'frequency': 100}
        """
        return asdict(self)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Return the schedule that `get_config` described.

        Raises `InputError` where an argument is missing, unknown or out of range.

        >>> from trimgrid.schedules import PolynomialDecay
        >>> schedule = PolynomialDecay(0.1, 0.5)
        >>> PolynomialDecay.from_config(schedule.get_config()) == schedule
        True
        """
        try:
            return cls(**config)
        except TypeError as error:
            raise InputError(
                f"A config must hold the arguments of {cls.__name__}. Received: config={config!r}. "
                f"Take it from get_config(): {error}."
            ) from error
