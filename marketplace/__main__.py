"""`python -m marketplace` is the `marketplace` command."""

import sys

from marketplace.cli import main

if __name__ == "__main__":
    sys.exit(main())
