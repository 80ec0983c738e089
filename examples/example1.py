"""The article's example 1, a regression: the same as `trimgrid example mlp`."""

import sys

from trimgrid.cli import main

if __name__ == "__main__":
    main(["example", "mlp", *sys.argv[1:]])
