"""Losses: one function per term."""
