"""`python -m orchestrator` is `gpulease`."""

import sys

from orchestrator.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
