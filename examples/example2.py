"""The article's example 2, a forecast: the same as `trimgrid example lstm`."""

import sys

from trimgrid.cli import main

if __name__ == "__main__":
    main(["example", "lstm", *sys.argv[1:]])
