"""Where the groups of a run are trained: as the arguments of a run say it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from trimgrid.arguments import check_integer
from trimgrid.data.sources import StreamData
from trimgrid.engines.distribution import Distribution, described
from trimgrid.errors import InputError
from trimgrid.executors.work import Resources
from trimgrid.legacy.refusing import IN_KERAS_3
from trimgrid.legacy.telling import is_legacy
from trimgrid.runs.run_options import Placing
from trimgrid.runs.study_data import StudyData

EXECUTORS = ("local", "ray")


def placing_of(
    model: Any,
    executor: str = "local",
    workers: int = 1,
    *,
    ray_address: str | None = None,
    group: int | None = None,
    resources: Resources | None = None,
    distribution: Distribution | None = None,
) -> Placing | None:
    """Return where groups are trained, None for in this process: see `trimgrid.Study.run`.

    Raises `InputError` for an executor that is not known, settings of the other one, a missing
    Ray, a `tf_keras` model, and a distribution over more devices than a group gets of a cluster.

    >>> placing_of(None) is None
    True
    """
    if executor not in EXECUTORS:
        raise InputError(
            f"An executor is one of {', '.join(EXECUTORS)}. Received: executor={executor!r}."
        )
    check_integer("workers", workers, minimum=1)
    if resources is not None and not isinstance(resources, Resources):
        raise InputError(
            "What a group takes of a cluster is a trimgrid.Resources. "
            f"Received: resources={resources!r}. Give for example trimgrid.Resources(cpus=4)."
        )
    if group is not None:
        check_integer("group", group, minimum=1)
    if executor == "local":
        if ray_address is not None:
            raise _other("ray_address", ray_address, 'executor="ray"')
        if resources is not None:
            raise _other("resources (--cpus, --gpus)", resources, 'executor="ray"')
        if workers == 1:
            if group is not None:
                raise _other("group", group, "workers=2 or more")
            return None
    elif workers != 1:
        raise _other("workers", workers, 'executor="local"; a cluster has its own')
    if is_legacy(model):
        raise InputError(
            "Workers train models of Keras 3. Received: the tf_keras model "
            f"{model.name!r}. Run without workers, or {IN_KERAS_3}."
        )
    if executor == "local":
        from trimgrid.executors.processes import ProcessExecutor

        return Placing(ProcessExecutor(workers), group, share=workers)
    from trimgrid.executors.ray_cluster import RayExecutor

    resources = resources or Resources()
    if distribution is not None:
        _check_devices(distribution, resources)
    cores = str(max(1, math.floor(resources.cpus)))
    # Ray binds no process to cores: without these each would take all that there are.
    environment = {"JAX_NUM_CPU_DEVICES": cores, "TF_NUM_INTRAOP_THREADS": cores}
    return Placing(RayExecutor(ray_address, unit=resources), group, resources, environment)


def check_shared(data: StudyData, run_dir: str) -> None:
    """Check that workers can be given the data of a study and see the run directory.

    Raises `InputError` for a `tf.data.Dataset` and for a storage in the memory of this process.
    """
    if run_dir.startswith("memory://"):
        raise InputError(
            "All workers must see the run directory. "
            f"Received: {run_dir!r}, which is in the memory of this process. "
            "Give a path, or an address such as s3://BUCKET/RUN."
        )
    parts = {"training": data.train, "validation": data.validation, "test": data.test}
    for name, part in parts.items():
        if isinstance(part, StreamData) and part.is_tf_data:
            raise InputError(
                "Workers can't be given a tf.data.Dataset. "
                f"Received: one as {name} data. Give arrays, a keras.utils.PyDataset, or a "
                "function that makes it."
            )


def resources_of(cpus: float | None, gpus: float | None) -> Resources | None:
    """Return what a group takes of a cluster; None where nothing is said of it.

    >>> resources_of(None, 0.5)
    Resources(cpus=1.0, gpus=0.5, memory=None)
    """
    if cpus is None and gpus is None:
        return None
    return Resources(1.0 if cpus is None else cpus, gpus or 0.0)


def _check_devices(distribution: Distribution, resources: Resources) -> None:
    kinds, places = zip(
        *(str(each).split(":") for each in np.ravel(distribution.device_mesh.devices)), strict=True
    )
    kind, needed = kinds[0], 1 + max(map(int, places))
    received = f"Received: {described(distribution)}, the last of them {kind}:{needed - 1}"
    given = {"cpu": resources.cpus, "gpu": resources.gpus}.get(kind)
    if given is None:
        raise InputError(
            "A cluster gives a group cores or graphics cards. "
            f'{received}. Run with executor="local".'
        )
    if math.floor(given) < needed:
        raise InputError(
            "A group on a cluster must get all devices of the distribution. "
            f"{received}, and {kind}s={given:g} for a group. "
            f"Give resources=trimgrid.Resources({kind}s={needed}), or --{kind}s {needed}."
        )


def _other(name: str, value: Any, where: str) -> InputError:
    return InputError(
        f"The setting {name} belongs to a run with {where}. Received: {name}={value!r}. "
        "Leave it away, or give both."
    )
