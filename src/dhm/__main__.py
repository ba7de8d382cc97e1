"""`python -m dhm` is the command `dhm`."""

import sys

from dhm.cli import main

sys.exit(main())
