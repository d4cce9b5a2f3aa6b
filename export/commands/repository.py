"""`maskweave export repository`."""

from __future__ import annotations

from pathlib import Path

import click

from export.methods import load_pack
from export.repository import write_repository
from export.targets import CPU, LAYOUTS, PRECISIONS, TARGETS, checked_precision
from training.config.pack_argument import PackName

BOTH = "both"
COMMITTED = Path("model_repository")
"""Of the default target; other targets never land there by themselves."""
BUILD = Path("build")


@click.command(name="repository")
@click.argument("pack", type=PackName())
@click.option(
    "--target",
    "target_name",
    type=click.Choice(list(TARGETS)),
    default=CPU.name,
    show_default=True,
    help="cpu: ONNX Runtime. gpu-onnx: ONNX Runtime with TensorRT inside. gpu-plan: TensorRT plans.",
)
@click.option(
    "--layout",
    type=click.Choice([*LAYOUTS, BOTH]),
    default=LAYOUTS[0],
    show_default=True,
    help="Stages that an ensemble wires together, or one graph that does it all.",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    help="What graphs compute in.  [default: fp32 for cpu, else fp16]",
)
@click.option(
    "--repository",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write.  [default: model_repository for cpu, else build/TARGET]",
)
def command(pack: str, target_name: str, layout: str, precision: str | None, repository: Path | None) -> None:
    """Compile a trained PACK to ONNX and write it into a model repository.

    Every graph is first compared with PyTorch; an error above 1e-4 of a tensor's range fails the command and
    leaves the repository as it was.
    """
    target = TARGETS[target_name]
    layouts = LAYOUTS if layout == BOTH else (layout,)
    folder = repository or (COMMITTED if target == CPU else BUILD / target.name)
    try:
        precision = checked_precision(target, precision)
        written = write_repository(
            load_pack(pack), folder, click.echo, target=target, layouts=layouts, precision=precision
        )
    except (FileNotFoundError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{folder}: {', '.join(written)} for {target.name} in {precision}")
