"""What to try next, asked of Optuna: a batch of attempts, given what is known of those before."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from trimgrid.digests import digest
from trimgrid.errors import InputError
from trimgrid.optional import optional_modules
from trimgrid.runs.search_space import Params, SearchSpace, rounded
from trimgrid.suggestions import suggestion

SAMPLERS = ("tpe", "random")
_MOST_SEED = 2**32


@dataclass(frozen=True)
class Known:
    """What came out of an attempt of a search: its error, and its size in bytes."""

    params: Params
    error: float
    size: float


def optuna() -> Any:
    """Return the package. Raises `InputError` if it is not installed."""
    (package,) = optional_modules("A search", "search", "optuna", "optuna")
    return package


def check_sampler(name: str) -> None:
    """Check the name of a sampler. Raises `InputError` for an unknown one.

    >>> check_sampler("tpe")
    """
    if name not in SAMPLERS:
        raise InputError(
            f"A search asks a sampler that is known. Received: sampler={name!r}. "
            + suggestion(str(name), SAMPLERS)
        )


def ask(
    space: SearchSpace,
    known: Sequence[Known],
    count: int,
    *,
    limit: float,
    seed: str,
    sampler: str,
) -> list[Params]:
    """Return the numbers of so many attempts to try next.

    "tpe": a multivariate tree-structured Parzen estimator with two objectives, the logarithms of
    the error and of the size, and the constraint that the error be at most `limit`. Errors within
    the limit are all as good. "random": drawn at random, whatever is known.

    The same arguments give the same numbers in every process: the sampler is made anew for each
    batch, from a `seed` of the batch, so that a search which is resumed goes on as it would have.
    """
    package = optuna()
    own_seed = int(digest([seed])[:16], 16) % _MOST_SEED
    with _quiet(package):
        study = package.create_study(
            directions=["minimize", "minimize"], sampler=_sampler(package, sampler, own_seed)
        )
        distributions = _distributions(package, space)
        for each in known:
            study.add_trial(
                package.trial.create_trial(
                    params=each.params,
                    distributions=distributions,
                    values=[_badness(each.error, limit), math.log(each.size)],
                    constraints={"error": each.error - limit},
                )
            )
        return [rounded(study.ask(distributions).params) for _ in range(count)]


def importances(space: SearchSpace, known: Sequence[Known]) -> dict[str, dict[str, float]]:
    """Return how much each number of the attempts mattered for "error" and for "size".

    Shares that sum up to 1, the greatest first: PED-ANOVA (Watanabe et al. 2023) of what the best
    tenth of the attempts have in common. Empty for fewer than 10 attempts, and without what is the
    same for all.
    """
    if len(known) < 10:
        return {}
    package = optuna()
    distributions = _distributions(package, space)
    found = {}
    with _quiet(package):
        for name in ("error", "size"):
            values = [_rising(getattr(each, name)) for each in known]
            if len(set(values)) == 1:
                continue  # nothing mattered
            study = package.create_study()
            for each, value in zip(known, values, strict=True):
                study.add_trial(
                    package.trial.create_trial(
                        params=each.params, distributions=distributions, value=value
                    )
                )
            evaluator = package.importance.PedAnovaImportanceEvaluator()
            shares = package.importance.get_param_importances(study, evaluator=evaluator)
            found[name] = {key: float(share) for key, share in shares.items()}
    return found


def _sampler(package: Any, name: str, seed: int) -> Any:
    if name == "random":
        return package.samplers.RandomSampler(seed=seed)
    return package.samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=8)


def _distributions(package: Any, space: SearchSpace) -> dict[str, Any]:
    kinds = package.distributions
    return {
        "density": kinds.FloatDistribution(*space.ranges["density"], log=True),
        "allocation": kinds.CategoricalDistribution(space.allocations),
        "peak": kinds.FloatDistribution(*space.ranges["peak"], log=True),
        "ramp": kinds.FloatDistribution(*space.ranges["ramp"]),
    }


def _badness(error: float, limit: float) -> float:
    """How bad an error is: up to the limit all are alike."""
    return math.log(max(error, limit) / limit) if limit > 0 else max(error - limit, 0.0)


def _rising(number: float) -> float:
    """A number that rises with the given one, by its logarithm where that is above 0."""
    return math.log(number) if number > 1e-300 else number - 1e3


@contextmanager
def _quiet(package: Any) -> Iterator[None]:
    """Keep Optuna from telling of each trial; what the caller has set is put back."""
    before = package.logging.get_verbosity()
    package.logging.set_verbosity(package.logging.WARNING)
    try:
        yield
    finally:
        package.logging.set_verbosity(before)
