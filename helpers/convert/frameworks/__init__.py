"""One file for each framework: how it is recognised, written, and asked itself."""
