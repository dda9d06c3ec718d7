"""Is a finished run, or an evidence.zip, as it was written? No model is loaded."""
