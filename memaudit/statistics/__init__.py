"""From scores to findings: members calibrated against held-out controls."""
