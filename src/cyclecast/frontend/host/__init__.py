"""Operators of the host: how they are computed, their cost, and the pixels that operators need from each other."""
