"""``python -m maevid``."""

import sys

from maevid.cli import main

sys.exit(main())
