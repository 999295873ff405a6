"""Few-shot image classification with CLIP that feels like scikit-learn.

The flow of data:

    images                  -> encoders/ -> embeddings
    class names             -> _texts/: prompts, encode, words -> class texts
    labels, weights, groups -> _model/shots, near_copies

    _shot_classifier reads them, and fits
    _few_shot_classifier:    _model/fit: label_noise, texts_alone, class_means -> discriminant
                             -> logistic -> decision
    _multilabel_classifier:  _utils/tag_table -> _model/multilabel
    _semobridge_classifier:  _semobridge/bridge_fit: bridge, training, held_out,
                             hyperparameters -> bridged_classes: score

    images without labels   -> _model/pool -> typicality, unlabeled: mixture
                            -> the linear model again
                            -> labelling/: which to label or to look through, strangers, names
    embeddings              -> _model/linear or _semobridge/score -> decisions
                            -> _base: labels and probabilities

`_fitted` holds what the classifiers have learnt. `_pipeline` begins with images, `_zero_shot` has
no shots, `_search/` finds images and texts, and `_evaluation` measures how good a classifier is.
`labelling/` labels the images of a folder. `_onnx` writes fitted models, `displays` draws,
`distributed/` runs on Ray, `datasets/` loads pictures and words, and all of them use `_utils/`.
"""

import lazy_loader

from ._utils import __version__ as __version__

# `__init__.pyi` lists the module of each name. Nothing is imported before it is used, so that the
# command can be interrupted at once.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
