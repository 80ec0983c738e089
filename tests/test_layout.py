"""The house: imports point down, public names are complete, the command line is quick."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import trimgrid

PACKAGE = Path(trimgrid.__file__).parent
# The floor of each module or folder of the package; a file imports from lower floors and, without
# going round in a circle, from its own. Floor 0 knows only the standard library, NumPy and
# cloudpickle.
FLOORS = {
    "allocation": 0,
    "arguments": 0,
    "atomic": 0,
    "cache": 0,
    "cells": 0,
    "choosing": 0,
    "configured": 0,
    "cores": 0,
    "csv_text": 0,
    "digests": 0,
    "distillation": 0,
    "errors": 0,
    "executors": 0,
    "forms": 0,
    "function_facts": 0,
    "grids": 0,
    "halving": 0,
    "html_table": 0,
    "interruption": 0,
    "iterative": 0,
    "json_values": 0,
    "latency": 0,
    "learning_rates": 0,
    "masks": 0,
    "measured_values": 0,
    "memory_size": 0,
    "one_shot": 0,
    "optional": 0,
    "randomness": 0,
    "repeats": 0,
    "results": 0,
    "run_directory": 0,
    "schedule_kinds": 0,
    "schedules": 0,
    "sensitivity": 0,
    "scratch": 0,
    "shrunk_info": 0,
    "sizes": 0,
    "storage": 0,
    "structures": 0,
    "suggestions": 0,
    "terminal_text": 0,
    "tfmot_schedules": 0,
    "timed": 0,
    "begin_pruning": 1,
    "compiled_settings": 1,
    "data": 1,
    "distilling": 1,
    "engines": 1,
    "export": 1,
    "jax_startup": 1,
    "mask_choice": 1,
    "measures": 1,
    "models": 1,
    "keras_names": 1,
    "layouts": 1,
    "legacy": 1,
    "objectives": 1,
    "optimizers": 1,
    "output_losses": 1,
    "prunable": 1,
    "weight_rewinding": 1,
    "pruning": 1,
    "rate_rewinding": 1,
    "saved_config": 1,
    "selection": 1,
    "shared_selection": 1,
    "shrinking": 1,
    "soft_losses": 1,
    "startup": 1,
    "structure_reasons": 1,
    "structured_selection": 1,
    "tensor_groups": 1,
    "training": 1,
    "updates": 1,
    "without_tensorflow": 1,
    "stored": 2,
    "loggers": 3,
    "report": 3,
    "runs": 4,
    "examples": 5,
    "trim_insignificant_weights": 5,
    "__main__": 6,
    "cli": 6,
}
FRAMEWORKS = {"keras", "jax", "tensorflow", "torch", "ai_edge_litert", "onnx", "onnxruntime"}
FILES = sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_modules(path: Path) -> list[str]:
    """All modules that a file imports, anywhere in it."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
            if node.module == "trimgrid":
                names = [alias.name for alias in node.names if alias.name != "__version__"]
                found += [f"trimgrid.{name}" for name in names]
    return found


def own_imports(path: Path) -> set[str]:
    """The modules and folders of the package that a file imports."""
    parts = [name.split(".") for name in imported_modules(path)]
    return {each[1] for each in parts if each[0] == "trimgrid" and len(each) > 1}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    module = module_of(path)
    for name in own_imports(path):
        assert FLOORS[name] <= FLOORS[module], f"{module} imports {name} from a floor above"
    for name in imported_modules(path):
        root = name.split(".")[0]
        if FLOORS.get(module) == 0:
            known = root in {*sys.stdlib_module_names, "cloudpickle", "numpy", "trimgrid"}
            assert known, f"{module} is on floor 0 and imports {name}"
        if module == "report":
            assert root not in FRAMEWORKS, f"report imports {name}"


def test_imports_go_in_no_circle() -> None:
    graph: dict[str, set[str]] = {}
    for path in FILES:
        module = module_of(path)
        graph.setdefault(module, set()).update(own_imports(path) - {module})
    TopologicalSorter(graph).prepare()  # raises CycleError


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_public_names_of_the_frameworks(path: Path) -> None:
    for name in imported_modules(path):
        assert not name.startswith(("keras.src", "tensorflow.python", "jax._src")), name


def test_every_module_has_a_floor() -> None:
    assert {module_of(path) for path in FILES} == {*FLOORS, "__init__"}


def test_public_names() -> None:
    for name in trimgrid.__all__:
        assert getattr(trimgrid, name) is not None
    assert set(dir(trimgrid)) == set(trimgrid.__all__)
    with pytest.raises(AttributeError, match="no attribute 'prune'"):
        trimgrid.prune  # noqa: B018


def test_no_public_name_is_that_of_a_module() -> None:
    """Importing the module would put it in the place of the name."""
    modules = {path.stem for path in PACKAGE.glob("*.py")}
    modules |= {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert not modules & set(trimgrid.__all__)


@pytest.mark.parametrize(
    "code",
    [
        "import trimgrid.cli",
        "import trimgrid; trimgrid.ConstantSparsity(0.5); trimgrid.article_grid()",
        "import trimgrid.report.table, trimgrid.report.plots, trimgrid.report.inspection",
        "import trimgrid.export.tflite",
    ],
)
def test_what_loads_no_framework(code: str) -> None:
    check = f"{code}\nimport sys\nprint(sorted({FRAMEWORKS!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", check], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_the_help_loads_no_numpy() -> None:
    check = (
        "import sys\nfrom trimgrid.cli import main\ntry:\n    main(['--help'])\n"
        "except SystemExit:\n    print(sorted({'numpy', 'h5py', 'psutil'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", check], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"
