"""Data: files to samples, samples to batches."""
