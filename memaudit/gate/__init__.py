"""The gate of a pipeline: a policy, and whether a finished scan keeps to it. No model is loaded."""
