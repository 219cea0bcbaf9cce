"""What every part of a job file has in common, and the words that stand for many fields."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from orchestrator.spec.document import WrittenFloat, WrittenInt
from orchestrator.spec.nearest import did_you_mean, quoted

_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_ONE_OF_MANY = "[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
_RESERVED = "GPULEASE_"
_SECRET_ENDINGS = ("_API_KEY", "_TOKEN", "_SECRET", "_ACCESS_KEY", "_SECRET_KEY", "PASSWORD")


class Section(BaseModel):
    """A mapping of the job file: known keys only, each of its own type, never changed."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        validate_by_alias=True,
        protected_namespaces=(),
    )

    @model_validator(mode="before")
    @classmethod
    def _leave_out_empty_keys(cls, raw: object) -> object:
        """A key with nothing after it counts as not written."""
        if not isinstance(raw, dict):
            return raw
        known = keys_of(cls)
        return {k: v for k, v in raw.items() if v is not None or k not in known}


def keys_of(section: type[BaseModel]) -> dict[str, str]:
    """YAML key → attribute name, of one section."""
    return {info.alias or name: name for name, info in section.model_fields.items()}


def wrong(text: str) -> PydanticCustomError:
    """A mistake of the user in words that follow the key's name."""
    return PydanticCustomError("wrong", "{text}", {"text": text})


def not_yet(what: str, supported: str) -> PydanticCustomError:
    """Something of the design that this version does not do: refused, never ignored."""
    return wrong(f"{what} is not yet supported in this version; supported: {supported}")


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words; `later` are refused as not yet supported.

    Words of `several` may say which one of many is meant: `word:name`.
    """

    words: tuple[str, ...]
    later: tuple[str, ...] = ()
    several: tuple[str, ...] = ()

    def check(self, word: str) -> str:
        """The word itself. Raises PydanticCustomError."""
        supported = ", ".join(self.words)
        if word in self.words or (self.several and re.fullmatch(self._named(), word)):
            return word
        if word in self.later:
            raise not_yet(quoted(word), supported)
        guess = did_you_mean(word, (*self.words, *self.later))
        raise wrong(f"cannot be {quoted(word)}: one of {supported}{guess}")

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema_of_words: JsonSchemaValue = {"type": "string", "enum": list(self.words)}
        if not self.several:
            return schema_of_words
        return {"anyOf": [schema_of_words, {"type": "string", "pattern": f"^{self._named()}$"}]}

    def _named(self) -> str:
        return f"(?:{'|'.join(self.several)}):{_ONE_OF_MANY}"


def _to_tuple(raw: object) -> object:
    return tuple(raw) if isinstance(raw, list) else raw


def _one_or_more(raw: object) -> object:
    return (raw,) if isinstance(raw, str) else _to_tuple(raw)


def _check_filled(text: str) -> str:
    if not text.strip():
        raise wrong("is empty")
    return text


def _check_environment_name(name: str) -> str:
    if not _ENVIRONMENT_NAME.fullmatch(name):
        raise wrong(f"{quoted(name)} is not a name for an environment variable")
    if name.upper().startswith(_RESERVED):
        raise wrong(f"{quoted(name)}: names that start with {_RESERVED} are gpulease's own")
    return name


def _check_public_name(name: str) -> str:
    if name.upper().endswith(_SECRET_ENDINGS):
        raise wrong(f"{quoted(name)} looks like a secret: list its name under `secrets` instead")
    return name


def _read_environment_text(raw: object) -> str:
    if isinstance(raw, WrittenInt | WrittenFloat):
        return raw.text
    if not isinstance(raw, str):
        raise wrong("must be text; put it in quotes")
    return raw


T = TypeVar("T")
Listed = Annotated[tuple[T, ...], BeforeValidator(_to_tuple)]
OneOrMore = Annotated[
    tuple[T, ...], BeforeValidator(_one_or_more, json_schema_input_type=str | list[str])
]
Text = Annotated[str, AfterValidator(_check_filled)]
EnvironmentName = Annotated[str, AfterValidator(_check_environment_name)]
PublicName = Annotated[EnvironmentName, AfterValidator(_check_public_name)]
EnvironmentText = Annotated[
    str, BeforeValidator(_read_environment_text, json_schema_input_type=str | int | float)
]
