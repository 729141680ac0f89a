"""Run ``qa train reader`` without the command line: ``python -m deformer_qa.lab.train``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from deformer_qa.lab.recipes import recipe_file
from deformer_qa.reader.errors import ReaderError
from deformer_qa.reader.kernel_defaults import set_kernel_defaults


def main() -> int:
    """Parse the arguments and train; return 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m deformer_qa.lab.train")
    parser.add_argument("recipe", help="a TOML file, or the name of a recipe that ships")
    parser.add_argument("--data", type=Path, required=True, help="the folder of the recipe's data files")
    parser.add_argument("--out", type=Path, required=True, help="where the reader and its steps go")
    parser.add_argument("--teacher", type=Path, help="a whole reader to distil from")
    parser.add_argument("--start-from", type=Path, help="a reader whose joint layers are the start")
    parser.add_argument("--device", help="cpu, or the accelerator there is (the default)")
    given = parser.parse_args()
    set_kernel_defaults()  # before torch is imported
    from deformer_qa.lab.train.recipe import read_recipe
    from deformer_qa.lab.train.run import train_reader

    try:
        recipe = read_recipe(recipe_file(given.recipe))
        train_reader(
            recipe,
            given.data,
            given.out,
            teacher=given.teacher,
            start_from=given.start_from,
            device=given.device,
            on_log=lambda line: print(json.dumps(line), file=sys.stderr),
            on_event=lambda line: print(line, file=sys.stderr),
        )
    except ReaderError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
