"""The command line `simulacra`. The commands arrive one by one; see docs/."""

import sys


def main() -> int:
    sys.stderr.write("simulacra: no command is finished yet\n")
    return 2
