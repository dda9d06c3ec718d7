"""What a scan leaves behind: the run directory, its tables, pictures and words."""
