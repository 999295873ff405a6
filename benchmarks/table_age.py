"""Find the tables of README and docs that are older than what they measure.

    python benchmarks/table_age.py

`MEASURED` of `docs_tables.py` names the code that each file of results measures. A file is old if
that code differs from the code at the commit of some of its rows. Comments, docstrings and layout
do not count. The exit status is 1 if one is old. It needs the history (`git fetch --unshallow`).
"""

import ast
import subprocess

from docs_tables import MEASURED, ROOT, TABLES, rows_of

SHOWN = 3  # modules that a line names


def git(*arguments):
    run = subprocess.run(
        ["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=True
    )
    return run.stdout


def code_of(text):
    """What a module says to Python, without docstrings; None is no module."""
    if text is None:
        return None
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(body := getattr(node, "body", None), list):
            node.body = [line for line in body if not _is_text(line)]
    return ast.dump(tree)


def _is_text(line):
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)


def text_at(commit, name):
    """The text of a file at a commit, None where there is none."""
    try:
        return git("show", f"{commit}:{name}")
    except subprocess.CalledProcessError:
        return None


def text_now(name):
    path = ROOT / name
    return path.read_text(encoding="utf-8") if path.exists() else None


def changed_since(commit, paths):
    """The modules among some paths whose code is another one than at a commit."""
    names = git("diff", "--name-only", "--no-renames", commit, "--", *paths).split()
    return [
        name
        for name in names
        if name.endswith(".py") and code_of(text_at(commit, name)) != code_of(text_now(name))
    ]


def why_old(results, commit):
    """What a file of results is older than, in words, where it has rows of a commit; "" if it is
    not old.
    """
    try:
        changed = changed_since(commit, MEASURED[results])
    except subprocess.CalledProcessError as error:
        return f"cannot be compared: {error.stderr.strip()}"
    more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
    return f"is older than {', '.join(changed[:SHOWN])}{more}" if changed else ""


def main():
    is_old = False
    for results in sorted(MEASURED):
        tables = ", ".join(f"{of.page} ({of.mark})" for of in TABLES if of.results == results)
        for commit in sorted(rows_of(results).commit.unique()):
            if reason := why_old(results, commit):
                is_old = True
                print(f"{results}.csv of {commit} {reason}. Tables: {tables}.")
    raise SystemExit(int(is_old))


if __name__ == "__main__":
    main()
