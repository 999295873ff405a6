"""The paper's comparison by one command: eleven data sets, two backbones, three draws of the shots.

    python benchmarks/paper.py --data DATA --cupl TEXTS --dry-run
    python benchmarks/paper.py --data DATA --cupl TEXTS

`DATA` and `TEXTS` have the layout that `benchmarks/README.md` lists. With `--dry-run` it says what
is missing there, and stops. Otherwise it embeds each data set by each backbone (`make_task.py`),
and compares the methods of `few_shot.py` on it: SeMoBridge in closed form and trained, with the
hyperparameters of the validation images and without them, our classifier, and the peers. It writes
`results.csv` and `paper.md`, in which the accuracies that the paper reports stand beside ours, into
`--out`. The page is written anew after each data set. A run that was stopped goes on where it was.
"""

import sys
import time
from pathlib import Path

import few_shot
import make_task
import pandas as pd
import tasks
from results import Results

BACKBONES = ("ViT-B-16", "RN50")
DRAWS = 3  # the paper's seeds


def missing(name, data, cupl):
    """Why a data set cannot be read, or None."""
    try:
        _, _, _, texts = make_task.read_data_set(name, data)
        texts = [text.replace("_", " ") for text in texts]
        file = cupl and cupl / make_task.DATA_SETS[name][0] / "cupl_full.json"
        make_task.prompts_of(texts, (), file)
    except SystemExit as error:
        return str(error)


def task_file(args, name, backbone):
    """The file of a data set and a backbone, made if it is not there."""
    path = args.out / f"{name}_{backbone}.npz"
    if not path.exists():
        model = ["--model", backbone, "--pretrained", args.pretrained]
        cupl = [] if args.cupl is None else ["--cupl", str(args.cupl)]
        cache = ["--cache", str(args.out / "embeddings")]
        # A run that is stopped leaves no half of a file.
        part = path.with_suffix(".part.npz")
        make_task.main(
            [str(args.data), "--data-set", name, *model, *cupl, *cache, "--output", str(part)]
        )
        part.rename(path)
    return path


def write_page(args):
    """The page of all results so far."""
    frame = pd.read_csv(args.out / "results.csv")
    if len(frame):
        page = few_shot.report(frame.assign(accuracy=100 * frame.accuracy))
        (args.out / "paper.md").write_text(f"# The paper's comparison\n\n{page}", encoding="utf-8")


def main(arguments=None):
    parser = tasks.parser(__doc__, draws=DRAWS)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--cupl", type=Path, metavar="TEXTS", help="folder of CuPL's sentences")
    parser.add_argument("--out", type=Path, default=Path("paper"), help="folder of the results")
    parser.add_argument("--dry-run", action="store_true", help="say what is missing, and stop")
    parser.add_argument(
        "--data-sets", nargs="+", default=list(make_task.DATA_SETS), choices=make_task.DATA_SETS
    )
    parser.add_argument("--backbones", nargs="+", default=BACKBONES, metavar="MODEL")
    parser.add_argument("--pretrained", default="openai")
    args = parser.parse_args(arguments)
    lacks = {name: missing(name, args.data, args.cupl) for name in args.data_sets}
    for name, reason in lacks.items():
        print(f"{name}: {reason or 'ready'}")
    if args.dry_run:
        return
    if any(lacks.values()):
        raise SystemExit("Some data sets are not ready. --data-sets takes those that are.")
    args.out.mkdir(parents=True, exist_ok=True)
    args.methods = few_shot.NAMES
    results = Results(args.out / "results.csv", few_shot.KEY, few_shot.VALUES)
    pairs = [(name, backbone) for name in args.data_sets for backbone in args.backbones]
    start = time.monotonic()
    for done, (name, backbone) in enumerate(pairs, start=1):
        print(f"{name}, {backbone}: {done} of {len(pairs)}", file=sys.stderr)
        few_shot.run([tasks.from_npz(task_file(args, name, backbone))], results, args)
        write_page(args)
        left = (time.monotonic() - start) / done * (len(pairs) - done) / 3600
        print(f"\nabout {left:.1f} hours left, if the others take as long", file=sys.stderr)
    print(args.out / "paper.md")


if __name__ == "__main__":
    main()
