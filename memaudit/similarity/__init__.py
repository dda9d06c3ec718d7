"""How close two images are: embedders, the exact index, duplicates, quality of generated images."""
