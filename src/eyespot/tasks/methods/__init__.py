"""Self-supervised methods: each a module with its numbers, its head, its state and its step."""
