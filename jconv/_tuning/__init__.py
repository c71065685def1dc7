"""Tuning: what was measured on this device outranks what the cost model predicts."""
