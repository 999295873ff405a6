"""Let links and pictures of the README lead to a release on GitHub, as the README is shown alone on
PyPI.

python tools/readme_for_pypi.py v0.2.0
"""

import re
import sys
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"
REPOSITORY = "https://github.com/sksemobridge/sksemobridge"
# An optional "!" of a picture, the text in brackets, and the target.
LINK = re.compile(r"(!?)(\[[^\]]*\])\(([^)\s]+)\)")


def with_absolute_links(text, tag):
    """The text, whose relative links lead to the files of the release `tag`."""

    def absolute(link):
        picture, label, target = link.groups()
        if re.match("[a-z]+:", target):
            return link.group()
        if target.startswith("#"):
            target = "README.md" + target
        return f"{picture}{label}({REPOSITORY}/{'raw' if picture else 'blob'}/{tag}/{target})"

    return LINK.sub(absolute, text)


if __name__ == "__main__":
    text = README.read_text(encoding="utf-8")
    README.write_text(with_absolute_links(text, sys.argv[1]), encoding="utf-8")
