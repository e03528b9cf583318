"""Populations of runs: points on disk, workers that share a folder, and what the results say."""
