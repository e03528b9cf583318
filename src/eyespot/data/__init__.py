"""Images from bytes to batches: decoding, augmentation, data sets, shards, order and loading."""
