"""ONNX graphs: what is rewritten, folded and fixed in them before TVM imports them."""
