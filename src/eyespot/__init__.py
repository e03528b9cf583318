"""Eyespot: design, train, pretrain, measure and ground vision backbones."""

__version__ = "0.1.0"
