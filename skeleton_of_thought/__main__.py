"""``python -m skeleton_of_thought`` is ``sot``."""

import sys

from .cli import main

sys.exit(main())
