"""Trains a classifier and adds it to a model repository of Fovea.

    python -m fovea_training [train] [--config FILE] [section.key=value…]
        trains, or continues the training with the same settings and images, and exports the best checkpoint
    python -m fovea_training export [--config FILE] [section.key=value…]
        exports the best checkpoint of that training again
    python -m fovea_training alive
        exit status 0 if a training made progress within the last five minutes

configs/default.yaml has every key. Exit status: 0 also after SIGTERM; 1 for an error; 2 for a wrong configuration.
"""

import errno
import os
import sys

from . import TrainingError, alive, stop


def main(arguments):
    command = arguments.pop(0) if arguments and arguments[0] in ("train", "export", "alive") else "train"
    if command == "alive":
        return alive.check()
    if "-h" in arguments or "--help" in arguments:
        print(__doc__.strip())
        return 0
    alive.beat()
    from . import config as configuration

    file = None
    if "--config" in arguments[:-1]:
        at = arguments.index("--config")
        file = arguments[at + 1]
        del arguments[at:at + 2]
    try:
        config = configuration.load(file, arguments)
    except TrainingError as error:
        print(f"configuration: {error}", file=sys.stderr)
        return 2
    # Before torch starts: deterministic sums on CUDA; and threads that wait for each other sleep, so that a busy machine computes.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        return run(command, config, stop.Stop())
    except stop.Stopped as stopped:
        print(f"\n{stopped}" if sys.stdout.isatty() else stopped, flush=True)
        return 0
    except TrainingError as error:
        print(f"training: {error}", file=sys.stderr)
    except OSError as error:
        print(f"training: {error}", file=sys.stderr)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            print(f"training: no space left: the last checkpoint in {config.out.dir} is as it was; free some space and start again",
                  file=sys.stderr)
    return 1


def run(command, config, stopping):
    from . import train

    training = train.Training(config, stopping)
    if command == "train":
        training.run()
    if config.export.repository:
        from . import export

        export.export(training, again=command == "export")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
