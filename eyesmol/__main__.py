"""`python -m eyesmol`: the same as the `eyesmol` command."""

import sys

from eyesmol.cli.main import main

sys.exit(main())
