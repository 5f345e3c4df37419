"""Run the command line as `python -m cqrs_fast`."""

import sys

from cqrs_fast.cli import main

if __name__ == "__main__":
    sys.exit(main())
