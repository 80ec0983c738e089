"""The article's example 3, image classes: the same as `trimgrid example cnn`."""

import sys

from trimgrid.cli import main

if __name__ == "__main__":
    main(["example", "cnn", *sys.argv[1:]])
