"""One file for each way of asking: bytes to named tensors, and named tensors to bytes."""
