"""memaudit audits image diffusion models for memorization of their training images."""

__version__ = "0.1.0"
