"""Files that the live page and the page of `--report` share."""
