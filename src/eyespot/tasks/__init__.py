"""One file a job: its recipe, its step, its evaluation."""
