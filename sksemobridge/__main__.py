"""The program `sksemobridge`, and `python -m sksemobridge`. The program can be interrupted from its
first moment on.
"""

import sys


def main():
    """Run the command, and return its exit status."""
    try:
        from .labelling._command.cli import main as run

        return run()
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
