"""What the verbs do, one module each: tune, place, build, capture, verify."""
