"""The share of IsoCLIP's cut that is taken from the top of the spectrum, for `benchmarks/retrieval.py`.

    python studies/isoclip.py NODE_MODULES

Prints mean average precision on the style openmoji, images and texts, by that share.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from retrieval import PROMPT, RANKS, isoclip, read_openmoji

from sksemobridge import CLIPImageEncoder, CLIPTextEncoder, mean_average_precision

TOP_SHARES = (0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("node_modules", type=Path, help="packages of tools/emoji_pictures.py")
    images, names, subgroups = read_openmoji(parser.parse_args().node_modules)
    encoder = CLIPTextEncoder("mini", "bundled")
    rows = {
        "image_to_text": CLIPImageEncoder("mini", "bundled", precision="fp32").transform(images),
        "text_to_image": encoder.transform([PROMPT.replace("{}", name) for name in names]),
    }
    for direction, X in rows.items():
        print(f"\n{direction}: mAP by share of the cut from the top, mean over ranks {RANKS[1:]}")
        for share in TOP_SHARES:
            cuts = [X @ isoclip(encoder, direction, rank, share) for rank in RANKS[1:]]
            found = [
                mean_average_precision(cut, cut, subgroups, subgroups, exclude_self=True) for cut in cuts
            ]
            print(f"{share:>5.2f}  {100 * np.mean(found):.1f} %")


if __name__ == "__main__":
    main()
