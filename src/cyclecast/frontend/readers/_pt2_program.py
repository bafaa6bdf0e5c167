"""The JSON of a `torch.export` program as data: known fields only, and strings of known forms only.

The fields are those of PyTorch's schema (torch/_export/serde/schema.py, major version 8). Fields that only document a
program (stack traces, guards, named tuples) are emptied; any other unknown field is refused.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

MOST_LETTERS = 4096
"""Longest string, in characters; enough for the specification of a thousand outputs."""
FIELDS = """
    graph_module graph inputs outputs nodes arg kind hint signature input_specs output_specs user_input parameter buffer
    tensor_constant constant_input user_output buffer_mutation user_input_mutation loss_output token sizes strides dtype
    layout device index requires_grad storage_offset persistent is_single_tensor_return is_hop_single_tensor_return
    module_call_graph min_val max_val schema_version major minor value real imag tensor_meta is_param use_pickle
    as_tensor as_tensors as_int as_ints as_bool as_bools as_floats as_none as_sym_int as_sym_ints as_sym_bool
    as_sym_bools as_sym_float as_sym_floats as_scalar_type as_memory_format as_layout as_device as_optional_tensor
    as_optional_tensors as_graph as_complex as_nested_tensors as_int_lists as_expr
"""
PLAIN = frozenset(FIELDS.split())
"""Fields that hold numbers or other fields."""
TABLES = (
    "tensor_values",
    "sym_int_values",
    "sym_bool_values",
    "sym_float_values",
    "range_constraints",
    "opset_version",
)
"""Fields whose keys are names that the program chooses."""
EXPLAIN: dict[str, Any] = {
    "metadata": {}, "guards_code": [], "treespec_namedtuple_fields": {}, "custom_obj_values": {},
    "example_inputs": None,
}  # fmt: skip
"""Fields that only document a program, and the empty value of each."""
NAME = re.compile(r"[A-Za-z_]\w{0,254}|", re.ASCII)
PATH = re.compile(r"[\w@]+(\.[\w@]+)*|", re.ASCII)
WORDS_OF_VALUES = re.compile(r"[\w ,.+\-=>:]*", re.ASCII)
PACKED = re.compile(r"(weight|tensor)_\d+", re.ASCII)
TARGET = re.compile(
    r"torch\.ops\.(aten|prims|quantized_decomposed)\.(_?[A-Za-z]\w*|__i?(and|or|xor|lshift|rshift)__)\._?[A-Za-z]\w*"
    r"|torch\.ops\.higher_order\.(cond|while_loop|scan|map_impl|wrap_with_set_grad_enabled|wrap_with_autocast)"
    r"|_operator\.(add|sub|mul|floordiv|truediv|mod|pow|neg|pos|abs|eq|ne|lt|le|gt|ge|and_|or_|not_|getitem)"
    r"|math\.(ceil|floor|trunc|sqrt)|torch\.sym_(max|min|not|float|int|ite|sum)|torch\._sym_sqrt",
    re.ASCII,
)
REACH_OUT = re.compile(r"torch\.ops\.aten\.(from_file|_?print|.*file.*|.*save.*|.*load.*|.*device.*init.*)\..*")
"""Operators that access files or devices. Attributes of Python (`__call__`) are no operators."""
FUNCTIONS = """
    Symbol Integer Rational Float Add Mul Max Min Mod PythonMod FloorDiv CeilDiv CleanDiv IntTrueDiv floor ceiling And
    Or Not Equality Unequality Eq Ne Ge Gt Le Lt StrictGreaterThan StrictLessThan GreaterThan LessThan Abs
"""
CALLED = frozenset(FUNCTIONS.split())
CONSTANTS = frozenset(("true", "false", "True", "False", "BooleanTrue", "BooleanFalse"))
EXTENT = re.compile(r"[a-z]+\d{1,6}", re.ASCII)
"""Name of a symbolic extent; PyTorch loops up to its number."""
LARGEST, SMALLEST = 2**63, 2**-63
CONTAINERS = ("builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict")
FIELDS_OF_SPEC = ("type", "context", "children_spec")


class FieldError(Exception):
    """An unknown field, or a field with a value of the wrong form."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(field, reason)
        self.field, self.reason = field, reason


def program_as_data(program: Any) -> Any:
    """Rebuild a program from known fields. Raises `FieldError` for any other field."""
    return _field("program", _mapping("program", program))


def config_of(config: Any) -> Any:
    """Rebuild the table of tensors of an archive. Raises `FieldError` for a pickled tensor."""
    entries = _mapping("config", _mapping("config", config).get("config"))
    for name, entry in entries.items():
        _matches(PATH, "config", name)
        if _mapping("config", entry).get("use_pickle"):
            raise FieldError(_shown(name), "pickled tensors or objects")
        if not PACKED.fullmatch(str(entry.get("path_name"))):
            raise FieldError(_shown(name), "pickled tensors or objects")
        for key, value in entry.items():
            if key != "path_name":
                _member("config", key, value)
    return {"config": entries}


def _field(key: str, value: Any) -> Any:
    """Rebuild the value of a field; each string must have the form that its field requires."""
    if isinstance(value, dict):
        return {name: _member(key, name, inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_field(key, inner) for inner in value]
    if isinstance(value, str):
        return _string(key, value)
    return value


def _member(parent: str, name: str, value: Any) -> Any:
    if parent in TABLES:
        _matches(EXTENT if parent == "range_constraints" else NAME, parent, name)
        return _field("" if isinstance(value, dict) else parent, value)
    if name in EXPLAIN:
        return EXPLAIN[name]
    if name not in PLAIN and name not in TABLES and name not in STRINGS:
        raise FieldError(_shown(name), "an unknown field")
    return _field(name, value)


def _string(key: str, text: str) -> str:
    if len(text) > MOST_LETTERS:
        raise FieldError(_shown(key), f"{len(text):,} letters")
    form = STRINGS.get(key)
    if form is None:
        raise FieldError(_shown(key), "a string where there is none")
    return form(key, text)


def _matches(form: re.Pattern[str], key: str, text: Any) -> str:
    if not isinstance(text, str) or not form.fullmatch(text):
        raise FieldError(_shown(key), f"{_shown(text)} is no name of a program")
    return text


def _of(form: re.Pattern[str]) -> Callable[[str, str], str]:
    return lambda key, text: _matches(form, key, text)


def _target(key: str, text: str) -> str:
    if not TARGET.fullmatch(text) or REACH_OUT.fullmatch(text):
        raise FieldError(_shown(key), f"{_shown(text)} is no operator of networks")
    return text


def _expression(key: str, text: str) -> str:
    """An expression of extents, parsed, checked and written again, so that sympy reads what was checked."""
    try:
        parsed = ast.parse(text, mode="eval")
        if all(_is_allowed(part) for part in ast.walk(parsed)):
            return ast.unparse(parsed)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        pass
    raise FieldError(_shown(key), "an expression of unknown words")


def _is_allowed(part: ast.AST) -> bool:
    match part:
        case ast.Call(func=ast.Name(id=name)):
            return name in CALLED
        case ast.Call():
            return False
        case ast.Name(id=name):
            return name in CALLED or name in CONSTANTS or bool(EXTENT.fullmatch(name))
        case ast.Constant(value=str(text)):
            return bool(EXTENT.fullmatch(text))
        case ast.Constant(value=bool() | int() | float() as number):
            return number == 0 or SMALLEST < abs(number) < LARGEST
        case ast.keyword(arg=name, value=ast.Constant(value=bool())):
            return name in ("positive", "integer", "nonnegative", "negative", "real", "zero", "precision")
        case ast.UnaryOp(op=op):
            return isinstance(op, ast.USub)
        case ast.BinOp(op=op):
            return isinstance(op, ast.Add | ast.Sub | ast.Mult | ast.FloorDiv)
    return isinstance(part, ast.Expression | ast.Compare | ast.operator | ast.unaryop | ast.cmpop | ast.expr_context)


def _specification(key: str, text: str) -> str:
    """Check the nesting of arguments or results, JSON in a string."""
    found = json.loads(text)
    if not isinstance(found, list) or len(found) != 2 or found[0] not in (0, 1):
        raise FieldError(_shown(key), "no specification of arguments")
    return json.dumps([found[0], None if found[1] is None else _nested(key, found[1])])


def _nested(key: str, spec: Any) -> dict[str, Any]:
    """Check one node of a specification; an unknown class with named parts becomes a dictionary."""
    if not isinstance(spec, dict) or set(spec) != set(FIELDS_OF_SPEC) or not isinstance(spec["children_spec"], list):
        raise FieldError(_shown(key), "no specification of arguments")
    kind, context = spec["type"], spec["context"]
    children = [_nested(key, child) for child in spec["children_spec"]]
    if kind is None:
        return {"type": None, "context": None, "children_spec": children}
    names = json.loads(context) if isinstance(context, str) else None
    plain = names is None or (
        isinstance(names, list) and all(isinstance(name, int) or NAME.fullmatch(str(name)) for name in names)
    )
    if not plain or (kind not in CONTAINERS and names is None):
        raise FieldError(_shown(key), f"arguments or results in a {_shown(kind)}")
    return {
        "type": kind if kind in CONTAINERS else "builtins.dict",
        "context": json.dumps(names),
        "children_spec": children,
    }


STRINGS: Mapping[str, Callable[[str, str], str]] = {
    "target": _target,
    "as_operator": _target,
    "expr_str": _expression,
    "in_spec": _specification,
    "out_spec": _specification,
    **dict.fromkeys(("fqn", "parameter_name", "buffer_name", "tensor_constant_name"), _of(PATH)),
    **dict.fromkeys(("name", "as_name", "forward_arg_names", "user_input_name"), _of(NAME)),
    **dict.fromkeys(
        ("as_string", "as_strings", "type", "verifiers", "torch_version", "as_float"), _of(WORDS_OF_VALUES)
    ),
}
"""Fields that hold strings, and the check of each."""


def _mapping(key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise FieldError(_shown(key), "no table of fields")
    return value


def _shown(text: Any) -> str:
    return ascii(text)[1:-1][:80] if isinstance(text, str) else type(text).__name__
