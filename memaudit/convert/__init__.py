"""The conversion of a pickled checkpoint into safetensors, in a process of its own."""
