"""What a search found: the smallest attempt that is good enough, the front, what mattered."""

from __future__ import annotations

from collections.abc import Mapping

from trimgrid.choosing import front, smallest
from trimgrid.runs.results import Results
from trimgrid.runs.search_space import Params
from trimgrid.sensitivity import Sensitivity
from trimgrid.storage.copies import shown
from trimgrid.stored.attempt import StoredAttempt
from trimgrid.stored.goal import limit_text


class Search:
    """The attempts of a search, in the order in which they were asked for.

    `results`: all of the run directory. `params`: what stands for each attempt, by its name: the
    share of the prunable weights that stay ("density"), "allocation", the "peak" of the learning
    rate in times the original's, and the share of the training that chooses masks ("ramp").
    `size`: what counts as size. `max_error`, `max_increase`: what is good enough. `importances`:
    how much each number of the attempts mattered for "error" and for "size", as shares; empty after
    few attempts. `sensitivity`: of the original, with which the search began.
    """

    def __init__(
        self,
        results: Results,
        params: Mapping[str, Params],
        size: str,
        max_error: float | None,
        max_increase: float | None,
        importances: Mapping[str, Mapping[str, float]],
        sensitivity: Sensitivity,
    ) -> None:
        self.results = results
        self.size = size
        self.max_error = max_error
        self.max_increase = max_increase
        self.importances = importances
        self.sensitivity = sensitivity
        self.params = dict(params)

    def __repr__(self) -> str:
        """How many attempts, and where they are."""
        return f"<Search of {len(self.params)} attempts in {shown(self.results.folder)!r}>"

    @property
    def attempts(self) -> list[StoredAttempt]:
        """The attempts that are finished."""
        finished = {each.name for each in self.results}
        return [self.results[name] for name in self.params if name in finished]

    @property
    def stopped(self) -> list[StoredAttempt]:
        """Those that were stopped early."""
        return [each for each in self.attempts if each.stopped_early]

    @property
    def best(self) -> StoredAttempt:
        """The smallest attempt that is good enough.

        Raises `RunError` where none is; it names the one with the least error.
        """
        return smallest(
            self.attempts,
            self.results.find_original(),
            max_error=self.max_error,
            max_increase=self.max_increase,
            size=self.size,
        )

    @property
    def limit_text(self) -> str:
        """What is good enough, in words: "with an error of at most 0.2 and at most 5 % more"."""
        return limit_text(self.max_error, self.max_increase)

    @property
    def front(self) -> list[StoredAttempt]:
        """The attempts that no other beats in both size and error, the smallest first.

        Nor does the original, which is left out.
        """
        original = self.results.find_original()
        others = self.attempts if original is None else [original, *self.attempts]
        return [each for each in front(others, self.size) if each is not original]
