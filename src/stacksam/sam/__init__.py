"""The SAM core: image encoder, prompt encoder, mask decoder, and the models made of them."""

from stacksam.sam.predictor import FieldPrediction, FieldPrompts, Predictor
from stacksam.sam.registry import list_models, load_model

__all__ = ["FieldPrediction", "FieldPrompts", "Predictor", "list_models", "load_model"]
