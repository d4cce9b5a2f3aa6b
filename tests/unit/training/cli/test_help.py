"""Help texts of the commands that train and evaluate: an example each, which the command would take."""

import shlex
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

import maskweave_cli

VERBS = ("data", "few-shot", "train", "evaluate", "invert", "import")
MANY = 8
"""Options that a reader finds his way through without groups."""


def leaves(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name, inner in command.commands.items():
        yield from leaves(inner, (*path, name))


def found() -> dict[str, tuple[tuple[str, ...], click.Command]]:
    context = click.Context(maskweave_cli.main)
    result: dict[str, tuple[tuple[str, ...], click.Command]] = {}
    for verb in VERBS:
        command = maskweave_cli.main.get_command(context, verb)
        assert command is not None, verb
        result |= {" ".join(path): (path, leaf) for path, leaf in leaves(command, (verb,))}
    return result


COMMANDS = found()


@pytest.mark.parametrize("name", COMMANDS)
def test_help_ends_with_examples_that_the_command_takes(name: str) -> None:
    path, command = COMMANDS[name]
    result = CliRunner().invoke(maskweave_cli.main, [*path, "--help"])
    assert result.exit_code == 0
    _, _, shown = result.output.partition("Examples:\n")
    examples = [shlex.split(line) for line in shown.splitlines() if line.strip().startswith("maskweave ")]
    own = [words[1 + len(path) :] for words in examples if tuple(words[1 : 1 + len(path)]) == path]
    assert own, result.output
    for words in own:
        context = click.Context(command, info_name=name)
        _, rest, _ = command.make_parser(context).parse_args(list(words))
        assert rest == [], words


@pytest.mark.parametrize("name", COMMANDS)
def test_many_options_stand_in_groups(name: str) -> None:
    _, command = COMMANDS[name]
    options = [one for one in command.params if isinstance(one, click.Option)]
    grouped = [one for one in options if type(one).__module__.startswith("click_option_group")]
    assert len(options) <= MANY or grouped, [one.name for one in options]
