"""Entropy coding of blocks and of weights."""
