"""Optimizers, learning rates, parameter groups and weight averages."""
