"""Folds ONNX files: run as a script, in a process of its own that may run out of memory, time or luck.

Reads lines of `bytes of memory TAB input file TAB output file`, and answers each with one line: `done` where the output
was written, else the reason. What else comes out of onnxruntime goes nowhere. Nothing of the package is imported, so
that it starts fast.
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

import onnxruntime

LARGEST, GROWTH = 64 << 20, 4
"""Bytes of what comes out for a small file, and more for each byte of a large one."""


def fold(memory: int, source: str, target: str) -> str:
    """Write the checked and folded model; why not, if not."""
    _limit(resource.RLIMIT_AS, memory)
    most = LARGEST + GROWTH * Path(source).stat().st_size
    _limit(resource.RLIMIT_FSIZE, most)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 4
    options.optimized_model_filepath = target
    try:
        content = Path(source).read_bytes()  # a path would let it look for other files
        onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except MemoryError:
        return "it takes more memory than networks of its size do"
    except Exception as error:  # onnxruntime's errors have no common class
        if Path(target).exists() and Path(target).stat().st_size >= most:
            return f"its folded constants take more than {most:,} bytes"
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return " ".join((lines[0] if lines else type(error).__name__).split())[:1000]
    return "done"


def _limit(kind: int, most: int) -> None:
    """Allow so much, or what the user's own limit leaves."""
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


if __name__ == "__main__":
    answers = os.dup(sys.stdout.fileno())
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    for line in sys.stdin:
        limit, given, wanted = line.rstrip("\n").split("\t")
        os.write(answers, fold(int(limit), given, wanted).encode(errors="replace") + b"\n")
