"""Readers, one per format: from a file or an object in memory to a Relax program."""
