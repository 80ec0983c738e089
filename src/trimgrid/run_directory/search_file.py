"""What a search asked for and decided so far, in a file of the run directory."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trimgrid.errors import InputError
from trimgrid.halving import Decision, Decisions
from trimgrid.run_directory.json_files import DamagedFileError, read_json, write_json
from trimgrid.sensitivity import Sensitivity

_PREFIX = "search-"


@dataclass
class SearchRecord:
    """A search: its settings, the attempts that it asked for, and which it stopped.

    `sensitivity`: of the original, from which the attempts follow with what was asked for.
    `batches`: lists of attempts that were asked for together, each with its "name" and "params".
    `decisions`: see `trimgrid.halving.Halving`. `budget`: how many attempts it is to have in all,
    None where that was not told.
    """

    settings: dict[str, Any]
    sensitivity: Sensitivity
    batches: list[list[dict[str, Any]]] = field(default_factory=list)
    decisions: Decisions = field(default_factory=dict)
    budget: int | None = None

    @property
    def asked(self) -> list[dict[str, Any]]:
        """What was asked for in all batches; an attempt that was asked for again stands twice."""
        return [each for batch in self.batches for each in batch]

    @property
    def names(self) -> list[str]:
        """The names of the attempts in the order in which they were asked for, each once."""
        return list(dict.fromkeys(each["name"] for each in self.asked))

    def missing(self, budget: int, finished: Set[str]) -> int:
        """Return how many attempts are still to be trained, given the names of those that are not.

        Batches that were asked for are trained whole, and no more than the budget is asked for.

        >>> asked = [[{"name": "a"}, {"name": "b"}], [{"name": "c"}]]
        >>> record = SearchRecord({}, Sensitivity([], 0.1, "mse"), asked)
        >>> [record.missing(budget, {"a"}) for budget in (1, 3, 9)]
        [1, 2, 8]
        """
        names: set[str] = set()
        for batch in self.batches:
            if len(names) < budget:
                names |= {each["name"] for each in batch}
        return len(names - finished) + max(0, budget - len(names))


def search_path(folder: Path, id: str) -> Path:
    """Return the file of a search.

    >>> search_path(Path("runs/m"), "5f0c").as_posix()
    'runs/m/search-5f0c.json'
    """
    return folder / f"{_PREFIX}{id}.json"


def find_searches(folder: Path) -> list[Path]:
    """Return the files of the searches in a run directory."""
    return sorted(folder.glob(f"{_PREFIX}*.json"))


def write_search(path: Path, record: SearchRecord) -> None:
    """Write the file of a search; it appears whole or not at all. Raises `OSError`.

    >>> import tempfile
    >>> from trimgrid.sensitivity import SensitivityPoint
    >>> points = [SensitivityPoint("dense/kernel", 8, 0.5, 0.2)]
    >>> found = Sensitivity(points, 0.1, "loss: mse")
    >>> record = SearchRecord({"seed": 0}, found, [[{"name": "a", "params": {}}]])
    >>> record.decisions[2] = {"a": Decision(0.5, False)}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_search(Path(folder, "search.json"), record)
    ...     read = read_search(Path(folder, "search.json"))
    >>> read.batches == record.batches, read.decisions == record.decisions
    (True, True)
    """
    decisions = {
        str(epoch): {name: [each.loss, each.stops] for name, each in decided.items()}
        for epoch, decided in record.decisions.items()
    }
    content = {
        "settings": record.settings,
        "sensitivity": record.sensitivity.to_dict(),
        "batches": record.batches,
        "decisions": decisions,
        "budget": record.budget,
    }
    write_json(path, content)


def read_search(path: Path) -> SearchRecord:
    """Read the file of a search.

    Raises `DamagedFileError` for one that is damaged, and `OSError` for one that is missing.
    """
    values = read_json(path)
    try:
        return SearchRecord(
            dict(values["settings"]),
            Sensitivity.from_dict(values["sensitivity"]),
            [[_asked(each) for each in batch] for batch in values["batches"]],
            {
                int(epoch): {
                    str(name): Decision(float(loss), bool(stops))
                    for name, (loss, stops) in decided.items()
                }
                for epoch, decided in values["decisions"].items()
            },
            None if (budget := values.get("budget")) is None else int(budget),
        )
    except (KeyError, TypeError, ValueError, AttributeError, InputError) as error:
        raise DamagedFileError(path, f"It is no search: {type(error).__name__}.") from error


def _asked(each: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": str(each["name"]), "params": dict(each["params"])}
