from ._bursts import proba_by_group
from ._command.label_folder import LabelledFolder, label_folder
from ._label_next import label_next
from ._photos.folder_table import predict_folder
from ._review_next import review_next
from ._strangers import stranger_proba
from ._suggest_names import suggest_names

__all__ = [
    "LabelledFolder",
    "label_folder",
    "label_next",
    "predict_folder",
    "proba_by_group",
    "review_next",
    "stranger_proba",
    "suggest_names",
]
