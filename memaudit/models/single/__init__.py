"""Whole models in one file: what it holds, how its parts become those of diffusers, what fits."""
