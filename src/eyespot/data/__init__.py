"""Data: what a model learns from, and how it is read."""
