"""Images from bytes to batches: decoding, augmentation, datasets, shards, order and loading."""
