"""What a page calls good enough before anybody says it: what the search of its runs asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from trimgrid.choosing import default_size, error_limit
from trimgrid.stored.goal import DIFFERENT, Goal
from trimgrid.stored.results import StoredResults


def first_goal(runs: Sequence[StoredResults]) -> Goal:
    """Return the goal with which a page begins: that of its runs where they have the same.

    Else it is the default for all attempts. A page has one limit: where a search asked for two it
    is the stricter one, which is known of a single run.
    """
    goals = {run.goal for run in runs}
    if len(goals) == 1:
        goal = goals.pop()
        if goal.max_error is None or goal.max_increase is None:
            return goal
        original = runs[0].find_original()
        if len(runs) == 1 and original is not None and math.isfinite(original.error):
            limit = error_limit(original.error, goal.max_error, goal.max_increase)
            return replace(goal, max_error=limit, max_increase=None)
    why = DIFFERENT if any(run.goal.why for run in runs) else None
    return Goal(None, None, default_size([each for run in runs for each in run]), why)
