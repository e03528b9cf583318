<<<<<<< HEAD
"""Images from bytes to batches: decoding, augmentation, datasets, shards, order and loading."""
=======
"""Data: what a model learns from, and how it is read."""
>>>>>>> scenes
