"""Scenario files: which requests are asked, in which mix. YAML or, by the name's end, TOML."""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Rpc = Literal[
    "synthesize", "synthesize_stream", "paint", "encode_styles", "morph", "edit", "list_models", "get_model"
]
Condition = Literal["label_map", "sketch", "scribble", "proxy_mask", "exemplar"]

_WITH_SEED = {"synthesize", "synthesize_stream", "paint", "morph", "edit"}
_ENCODINGS: dict[str, tuple[str, ...]] = {
    "label_map": ("png", "raw", "run_length"),
    "sketch": ("png", "raw"),
    "scribble": ("png", "raw", "run_length", "strokes"),
    "proxy_mask": ("png", "raw", "run_length"),
    "exemplar": ("png", "jpeg", "raw"),
}


class ScenarioError(ValueError):
    """A scenario cannot be read or does not hold what it must."""


class Ask(BaseModel):
    """One request of the mix.

    Attributes:
        name: For the report; unset, it is put together from the rest.
        rpc: The method.
        weight: How often, in relation to the others.
        model: In place of the scenario's.
        condition: Kind of condition, for Synthesize and SynthesizeStream.
        encoding: How the condition is encoded; unset, `png`.
        width: Of the condition (or Paint's canvas) in pixels; unset, the model's.
        height: The same.
        inputs: Files that are sent as they are, in turn, in place of generated conditions.
        variants: How many different conditions are generated.
        detail: How ragged they are, 0 to 1: ragged ones are larger files, and take longer to decode.
        images: Images in one request.
        seeds: `new`: never asked before, so that nothing of a seed is cached; `repeated`: out of
            `distinct_seeds`. What is read of a condition may be cached as well: choose `variants` large where
            that is not to be.
        distinct_seeds: Of repeated seeds.
        image_format: Of the images that come back.
        image_quality: Of lossy formats; unset, the service's.
        style_strength: Unset, the model's.
        priority: Whether somebody waits.
        timeout_seconds: Deadline of each call; of Paint, beyond the session's own duration.
        frames: Of Morph.
        source: Of Edit: what is edited.
        session_seconds: How long a session of Paint draws.
        updates_per_second: Of a session of Paint, while a stroke is drawn.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = ""
    rpc: Rpc = "synthesize"
    weight: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] = 1.0
    model: str = ""
    condition: Condition = "label_map"
    encoding: Literal["png", "jpeg", "raw", "run_length", "strokes"] = "png"
    width: Annotated[int, Field(ge=1, le=8192)] | None = None
    height: Annotated[int, Field(ge=1, le=8192)] | None = None
    inputs: tuple[Path, ...] = ()
    variants: Annotated[int, Field(ge=1, le=256)] = 8
    detail: Annotated[float, Field(ge=0, le=1)] = 0.2
    images: Annotated[int, Field(ge=1, le=1024)] = 1
    seeds: Literal["new", "repeated"] = "new"
    distinct_seeds: Annotated[int, Field(ge=1, le=2**31)] = 16
    image_format: Literal["png", "jpeg", "webp", "raw"] = "png"
    image_quality: Annotated[int, Field(ge=1, le=100)] | None = None
    style_strength: Annotated[float, Field(allow_inf_nan=False)] | None = None
    priority: Literal["interactive", "batch"] = "interactive"
    timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = 10.0
    frames: Annotated[int, Field(ge=1, le=10_000)] = 8
    source: Literal["seed", "image"] = "seed"
    session_seconds: Annotated[float, Field(gt=0, le=3600)] = 10.0
    updates_per_second: Annotated[float, Field(gt=0, le=240)] = 30.0

    @model_validator(mode="after")
    def _fits(self) -> Ask:
        allowed = _ENCODINGS[self.condition]
        if self.encoding not in allowed:
            raise ValueError(
                f"encoding of a {self.condition}: got {self.encoding}; allowed: {', '.join(allowed)}"
            )
        if self.image_quality is not None and self.image_format in {"png", "raw"}:
            raise ValueError(
                f"image_quality: got {self.image_quality} for {self.image_format}; allowed: for jpeg, webp"
            )
        if self.inputs and (
            self.rpc not in {"synthesize", "synthesize_stream"} or self.encoding not in {"png", "jpeg"}
        ):
            raise ValueError(
                "inputs: got files; allowed: for synthesize and synthesize_stream, as png or jpeg"
            )
        return self

    @property
    def title(self) -> str:
        """For the report."""
        if self.name:
            return self.name
        words: list[str] = [self.rpc]
        if self.rpc in {"synthesize", "synthesize_stream"}:
            words.append(self.condition)
        if self.images > 1:
            words.append(f"{self.images} images")
        if self.rpc in _WITH_SEED and self.seeds == "repeated":
            words.append("repeated seeds")
        return " ".join(words)


class Scenario(BaseModel):
    """What is asked.

    Attributes:
        name: For the report.
        description: For people.
        model: The model asked for; unset, the first that the service lists and that takes the requests.
        requests: The mix.
        seed: Decides conditions, strokes and the order of the mix.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = "unnamed"
    description: str = ""
    model: str = ""
    requests: Annotated[tuple[Ask, ...], Field(min_length=1, max_length=100)]
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1

    @model_validator(mode="after")
    def _told_apart(self) -> Scenario:
        titles = [ask.title for ask in self.requests]
        twice = sorted({title for title in titles if titles.count(title) > 1})
        if twice:
            raise ValueError(f"requests: got two that are called {twice[0]!r}; give each a name of its own")
        return self


def builtin_scenarios() -> dict[str, str]:
    """The scenarios that come with the package: name and text of the file."""
    folder = resources.files("maskweave_bench") / "scenarios"
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".yaml")), key=lambda file: file.name
    )
    return {file.name.removesuffix(".yaml"): file.read_text() for file in files}


def load_scenario(name: str) -> Scenario:
    """A scenario from a file, or by the name of one that comes with the package.

    Raises:
        ScenarioError: There is none, or it does not hold what it must; the message names the field.
    """
    path = Path(name)
    builtin = builtin_scenarios()
    if name in builtin:
        return parse_scenario(builtin[name], f"scenario {name}")
    if path.suffix not in {".yaml", ".yml", ".toml", ".json"}:
        raise ScenarioError(
            f"scenario: got {name!r}; allowed: a .yaml, .yml, .json or .toml file, or one of "
            f"{', '.join(builtin)}"
        )
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"scenario {name}: cannot be read: {error}") from error
    found = parse_scenario(text, name, toml=path.suffix == ".toml")
    # Files are beside the scenario that names them, wherever the command runs.
    asks = tuple(
        ask.model_copy(update={"inputs": tuple(path.parent / each for each in ask.inputs)})
        for ask in found.requests
    )
    return found.model_copy(update={"requests": asks})


def parse_scenario(text: str, origin: str, *, toml: bool = False) -> Scenario:
    """A scenario from its text.

    Args:
        text: The file's text.
        origin: What to call it in messages.
        toml: Whether it is TOML; or else it is YAML, which JSON is too.

    Raises:
        ScenarioError: It does not hold what it must.
    """
    try:
        value = _toml(text) if toml else yaml.safe_load(text)
        return Scenario.model_validate(value)
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, each['loc'])) or 'scenario'}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors(include_url=False)
        ]
        raise ScenarioError(f"{origin}: {'; '.join(problems)}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ScenarioError(
            f"{origin}: is neither {'TOML' if toml else 'YAML'} nor a scenario: {error}"
        ) from error


def _toml(text: str) -> dict[str, Any]:
    if sys.version_info < (3, 11):
        raise ValueError("TOML is read by Python 3.11 and newer; write it as YAML")
    import tomllib  # noqa: PLC0415 - older Pythons have none

    return tomllib.loads(text)
