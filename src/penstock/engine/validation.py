"""Values against a pydantic model: each failure at its own place in the file, in plain words.

No message repeats a value that may be secret: one from the environment, one for a field that holds a ``SecretStr``
or is marked write-only, or the value of an unknown key.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from penstock.engine.document import Document, Path
from penstock.engine.report import Report
from penstock.errors import PenstockError

__all__ = ["is_secret", "validate"]

M = TypeVar("M", bound=BaseModel)

_EXPECTED = {
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_parsing_size": "an integer of fewer digits",
    "int_from_float": "an integer",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a string",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dataclass_type": "a mapping",
    "none_required": "null",
    "byte_size": "a size in bytes, such as 5242880 or 5MiB",
    "byte_size_unit": "a size in bytes, such as 5242880 or 5MiB",
    "greater_than_equal": "at least {ge}",
    "greater_than": "more than {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "less than {lt}",
    "multiple_of": "a multiple of {multiple_of}",
    "literal_error": "{expected}",
    "enum": "{expected}",
    "string_pattern_mismatch": "text that matches {pattern}",
    "url_parsing": "a URL",
    "url_type": "a URL",
    "url_scheme": "a URL that begins with {expected_schemes}",
}
_MESSAGES = {
    "missing": "is required",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} items",
    "too_long": "must have at most {max_length} items",
    "union_tag_invalid": "must have {discriminator} set to one of {expected_tags}",
    "extra_forbidden": "has a part that is not known here",
    "value_error": "{error}",
    "assertion_error": "{error}",
}


def validate(
    model: type[M],
    values: Mapping[str, Any],
    path: Path,
    document: Document,
    report: Report,
    *,
    lenient: bool = False,
    noun: str = "parameter",
    siblings: Collection[str] = (),
) -> M | None:
    """Return ``values`` as a ``model``, or None after telling ``report`` every reason why not.

    Args:
        model: a model that forbids unknown keys.
        values: the mapping that stands at ``path``.
        path: where ``values`` stands in the document.
        document: where places are looked up.
        report: takes the findings.
        lenient: unknown keys are dropped with a warning, but for those that were set from outside the file.
        noun: what a key is called in messages.
        siblings: keys at ``path`` beside those of the model, to offer when an unknown one is like them.
    """
    try:
        return model.model_validate(values)
    except PenstockError as error:
        report.error(path, str(error))
        return None
    except ValidationError as failure:
        errors = failure.errors(include_url=False)
    located = [(error, _real_path(error, values)) for error in errors]
    unknown = [where for error, where in located if _is_unknown_key(error, where)]
    for where in unknown:
        known = [*_known_keys(model, where), *(siblings if len(where) == 1 else ())]
        hint = report.nearest(str(where[-1]), known)
        place = (*path, *where)
        if lenient and not document.sets(place):
            report.warning(place, f"unknown {noun}, ignored{hint}")
        else:
            report.error(place, f"unknown {noun}{hint}")
    if lenient and unknown:
        return validate(model, _without(values, unknown), path, document, report, lenient=True, noun=noun)
    _report_rest(model, located, path, document, report)
    return None


def _report_rest(
    model: type[BaseModel],
    located: list[tuple[ErrorDetails, Path]],
    path: Path,
    document: Document,
    report: Report,
) -> None:
    """Report all but unknown keys, one finding a place: the branches of a union are joined by "or"."""
    by_place: dict[Path, list[ErrorDetails]] = {}
    for error, where in located:
        if not _is_unknown_key(error, where):
            by_place.setdefault(where, []).append(error)
    deeper = {where[:length] for _, where in located for length in range(len(where))}
    for where, errors in by_place.items():
        if where in deeper and all(len(error["loc"]) > len(where) for error in errors):
            continue  # the branch of a union that was not meant: another one matched further
        place = (*path, *where)
        message = " or ".join(dict.fromkeys(_in_words(error) for error in errors))
        given = errors[0]["input"]
        if errors[0]["type"] in _EXPECTED and not is_secret(model, where):
            message += f", not {document.show(place, given)}"
        report.error(place, message)


def _is_unknown_key(error: ErrorDetails, where: Path) -> bool:
    """Whether an unknown key stands in the file, rather than in what a validator has made of it."""
    return error["type"] == "extra_forbidden" and where[-1:] == error["loc"][-1:]


def _in_words(error: ErrorDetails) -> str:
    kind = error["type"]
    context = {name: _shorten(value) for name, value in error.get("ctx", {}).items()}
    if kind == "string_too_short":
        least = error["ctx"]["min_length"]
        return "must not be empty" if least == 1 else f"must have at least {least} characters"
    if kind in _EXPECTED:
        return f"must be {_EXPECTED[kind].format(**context)}"
    if kind in _MESSAGES:
        return " ".join(_MESSAGES[kind].format(**context).split())
    message = error["msg"]
    return message[:1].lower() + message[1:]


def _shorten(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _real_path(error: ErrorDetails, values: Any) -> Path:
    """Drop from pydantic's location what is not in the data: the names of union branches and validators."""
    real: list[str | int] = []
    inside = False
    for part in error["loc"]:
        inside = (isinstance(values, Mapping) and part in values) or (
            isinstance(values, list) and isinstance(part, int) and 0 <= part < len(values)
        )
        if inside:
            real.append(part)
            values = values[part]
    if error["type"] == "missing" and not inside:
        real.append(error["loc"][-1])
    return tuple(real)


def _without(values: Mapping[str, Any], unknown: list[Path]) -> dict[str, Any]:
    here = {where[0] for where in unknown if len(where) == 1}
    kept = {key: value for key, value in values.items() if key not in here}
    for key, value in kept.items():
        below = [where[1:] for where in unknown if len(where) > 1 and where[0] == key]
        if below:
            kept[key] = _without_item(value, below)
    return kept


def _without_item(value: Any, unknown: list[Path]) -> Any:
    if isinstance(value, Mapping):
        return _without(value, unknown)
    return [
        _without_item(item, below) if (below := [where[1:] for where in unknown if where[0] == index]) else item
        for index, item in enumerate(value)
    ]


def _known_keys(model: type[BaseModel], where: Path) -> list[str]:
    """The keys that could have been meant at ``where``: the model's own, or those of the models inside a field."""
    models: list[type[BaseModel]] = [model]
    for part in where[:-1]:
        if isinstance(part, str):
            models = [inner for outer in models for inner in _models_in(outer.model_fields.get(part))]
    return [field.alias or name for known in models for name, field in known.model_fields.items()]


def _models_in(field: FieldInfo | None) -> list[type[BaseModel]]:
    return [part for part in _parts(field.annotation) if _is_model(part)] if field else []


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _parts(annotation: Any) -> list[Any]:
    """An annotation and everything it is made of."""
    return [annotation, *(inner for part in get_args(annotation) for inner in _parts(part))]


def is_secret(model: type[BaseModel], where: Path) -> bool:
    """Whether the field at ``where``, or anything in it, is secret."""
    field = next((f for name, f in model.model_fields.items() if where and where[0] in (name, f.alias)), None)
    if field is None:
        return True  # a whole mapping: it is named by its type only where it stands in one field
    extra = field.json_schema_extra
    if isinstance(extra, Mapping) and extra.get("writeOnly"):
        return True
    parts = _parts(field.annotation)
    return any(part in (SecretStr, SecretBytes) for part in parts) or any(
        is_secret(part, (name,)) for part in parts if _is_model(part) for name in part.model_fields
    )
