"""Architectures as plain numbers: named, counted, scaled and costed without torch."""
