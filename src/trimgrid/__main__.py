"""`python -m trimgrid`."""

from trimgrid.cli import main

if __name__ == "__main__":
    main()
