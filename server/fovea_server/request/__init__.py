"""What happens to an image, from its bytes to its answer."""
