"""What the host computes, at which cost, and what each pixel of an operator needs of the operators before it."""
