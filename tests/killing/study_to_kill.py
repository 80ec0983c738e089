"""A study that is run, killed and run again: `python study_to_kill.py RUN_DIR ENGINE ATTEMPTS`.

RUN_DIR may be a URL; then the lease of another machine may be taken over after a second already.
What each process trains is noted in the file $TRAINED, by default beside the run directory.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np

from trimgrid.startup import start_keras

EPOCHS = 40


def main(run_dir: str, engine: str, attempts: int) -> None:
    start_keras()
    import keras

    from trimgrid import Study, expand_grid, load_results
    from trimgrid.runs import run_options
    from trimgrid.storage import lease

    lease.EVERY, lease.LASTS = 0.2, 1.0
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((6,), name="in"),
            keras.layers.Dense(24, activation="relu", name="a"),
            keras.layers.BatchNormalization(name="b"),
            keras.layers.Dropout(0.2, name="c"),
            keras.layers.Dense(2, name="d"),
        ],
        name="to_kill",
    )
    random = np.random.default_rng(0)
    x = random.random((500, 6), dtype="float32")
    y = np.stack([x.sum(1) ** 2, x[:, 0] * x[:, 1]], axis=1)
    study = Study(
        model,
        (x[:400], y[:400]),
        test=(x[400:], y[400:]),
        loss="mse",
        epochs=EPOCHS,
        pretrain_epochs=EPOCHS,
        seed=5,
    )
    grid = expand_grid({"target_sparsity": [0.04 * i for i in range(1, attempts + 1)]})
    opened: Any = vars(run_options)["open_engine"]

    def recorded(*arguments: Any, **options: Any) -> Any:
        engine = opened(*arguments, **options)
        train = engine.train

        def noted(tasks: Any, *rest: Any) -> Any:
            """Note what is finished and what is about to be trained, beside the run directory."""
            done = [each.name for each in load_results(run_dir)]
            with Path(os.environ.get("TRAINED", f"{run_dir}.trained")).open("a") as log:
                names = [task.name for task in tasks]
                log.write(json.dumps({"finished": done, "trained": names}) + "\n")
            return train(tasks, *rest)

        engine.train = noted
        return engine

    vars(run_options)["open_engine"] = recorded
    # Many checkpoints, so that a kill is likely to come in the middle of one.
    results = study.run(grid, run_dir, engine=engine, checkpoint_seconds=0.2, progress=False)
    print(json.dumps([info.to_dict() for info in results]))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
