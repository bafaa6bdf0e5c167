"""A reader for each format: from a file, or an object in memory, to a Relax program that TVM takes."""
