"""Adaptive mixing: tables too small for a model, coded without shipped weights."""

from ae_core.mixing.block import decode_block, encode_block, encode_columns
from ae_core.mixing.contexts import choose
from ae_core.mixing.plan import MixingPlan

__all__ = ["MixingPlan", "choose", "decode_block", "encode_block", "encode_columns"]
