"""The SAM core: image encoder, prompt encoder, mask decoder, and the models made of them."""

from stacksam.sam.predictor import FieldPrediction, FieldPrompts, Predictor
from stacksam.sam.registry import (
    ModelEntry,
    describe_model,
    download_model,
    find_model,
    import_model,
    list_models,
    load_model,
)

__all__ = [
    "FieldPrediction",
    "FieldPrompts",
    "ModelEntry",
    "Predictor",
    "describe_model",
    "download_model",
    "find_model",
    "import_model",
    "list_models",
    "load_model",
]
