"""ONNX graphs: rewrite operators, fold constants and fix shapes before TVM imports them."""
