"""Published weights, read safely under whatever names they carry, and written under others."""
