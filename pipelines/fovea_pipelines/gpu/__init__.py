"""What is known of an NVIDIA GPU without a library of its own: the driver, and tensors in its memory."""
