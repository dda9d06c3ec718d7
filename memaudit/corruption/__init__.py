"""What is done to an image before a model sees it: frozen Gaussian noise, masks."""
