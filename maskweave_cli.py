"""The ``maskweave`` command: one verb per job, each loaded only when it is the one that is run.

Verbs are entry points of the group ``maskweave.commands``, so a machine that only serves never imports what
trains, and a missing extra is reported as such instead of as an import error.
"""

from __future__ import annotations

import sys

if sys.argv[1:2] == ["serve"]:
    # Before anything else is imported: until then, a gateway that is PID 1 loses the signal to stop.
    from service.app import signals

    signals.remember()

from importlib.metadata import EntryPoint, entry_points, version

import click

ENTRY_POINT_GROUP = "maskweave.commands"

# One line per verb for `maskweave --help`, kept here so that listing the verbs imports none of them.
SUMMARIES = {
    "serve": "Start the gateway.",
    "health": "Ask a running gateway whether it is ready.",
    "status": "Show what a running gateway is doing.",
    "models": "List the models of a running service.",
    "draw": "Make images that follow drawings.",
    "edit": "Give images the shape of other label maps.",
    "morph": "Make a GIF or images from some looks to others.",
    "read-map": "Read label maps off images.",
    "bench": "Measure the latency of running services.",
    "key": "Make an API key for a caller.",
    "import": "Read somebody else's pretrained generator.",
    "data": "Make the training data of a pack.",
    "few-shot": "Label samples after a handful by hand.",
    "train": "Train the networks of a pack.",
    "ablate": "Measure packs with and without a part.",
    "evaluate": "Measure a pack on held-out masks.",
    "invert": "Find the features of images, offline.",
    "export": "Compile a pack into the model repository.",
}

_VERB = f"{ENTRY_POINT_GROUP}.verb"

# What to install for a package of ours; two are the client's, so that they run where no service is.
_REQUIREMENTS = {
    "service": "maskweave[serve]",
    "training": "maskweave[train]",
    "export": "maskweave[export]",
    "maskweave_bench": "maskweave-client[bench]",
    "maskweave_client": "maskweave-client[cli]",
}


class _LazyGroup(click.Group):
    """A click group whose commands are entry points, imported on use."""

    def _entry_points(self) -> dict[str, EntryPoint]:
        return {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP)}

    def list_commands(self, ctx: click.Context) -> list[str]:
        known = {name: position for position, name in enumerate(SUMMARIES)}
        return sorted(self._entry_points(), key=lambda name: (known.get(name, len(known)), name))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self._entry_points().get(cmd_name)
        if entry is None:
            return None
        ctx.meta[_VERB] = entry
        command = entry.load()
        if not isinstance(command, click.Command):
            raise TypeError(f"entry point {entry.value!r} of {ENTRY_POINT_GROUP!r} is not a click command")
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            entry: EntryPoint = ctx.meta[_VERB]
            requirement = _REQUIREMENTS.get(entry.module.partition(".")[0])
            missing = (error.name or "").partition(".")[0]
            if requirement is None or missing in _REQUIREMENTS:
                raise  # a module of ours is missing: a defect, not a missing extra
            raise click.ClickException(
                f"`maskweave {entry.name}` needs the package {missing!r}, which is not installed: "
                f"pip install '{requirement}'"
            ) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, SUMMARIES.get(name, "")) for name in self.list_commands(ctx)])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("maskweave"), prog_name="maskweave")
def main() -> None:
    """Faces from masks: train, export, evaluate and serve semantic image synthesis."""


if __name__ == "__main__":
    main()
