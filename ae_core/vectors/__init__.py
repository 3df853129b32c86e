"""Columns of vectors and images: an autoencoder of their own, the elements mixed against its prediction."""

from ae_core.vectors.cells import Cells, cells_of
from ae_core.vectors.coding import VectorCoder, decode_latents, decode_vectors, encode_vectors, predicted_codes
from ae_core.vectors.network import FrozenVectors, encode_cells, predict_cells

__all__ = [
    "Cells",
    "FrozenVectors",
    "VectorCoder",
    "cells_of",
    "decode_latents",
    "decode_vectors",
    "encode_cells",
    "encode_vectors",
    "predict_cells",
    "predicted_codes",
]
