"""Modules: blocks, whole networks and their heads."""
