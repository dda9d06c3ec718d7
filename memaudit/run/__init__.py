"""The run directory: what was asked, what is done, what was found; and reading it back."""
