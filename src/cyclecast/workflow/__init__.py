"""The verbs of the command line as functions, one module each: tune, place, build, capture, verify."""
