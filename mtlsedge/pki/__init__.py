"""Mint and sign certificates."""
