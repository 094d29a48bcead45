"""A module whose import ends the program."""

import sys

print("on its way out")
sys.exit(3)
