"""Columns to symbols and back."""
