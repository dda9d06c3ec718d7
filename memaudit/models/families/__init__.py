"""One file a family: how a model of it is told from others, and how it is opened."""
