"""What the header of each image format says, read without decoding a pixel."""
