"""Integer quantisation: ranges, scales and zero points, and the integer products that a device computes."""
