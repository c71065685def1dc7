"""Whole networks, planned layer by layer."""
