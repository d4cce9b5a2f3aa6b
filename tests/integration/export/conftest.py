from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import export.groupdnet
import export.sis_ug
import maskweave_cli
from export.exported import ExportedPack
from export.groupdnet import groupdnet_pack
from export.repository import write_repository
from export.sis_ug import sis_ug_pack
from export.stages import Stage
from export.targets import CPU, TARGETS
from tests.support.graphs_once import each_graph_once
from tests.support.made_once import made_once
from tests.support.onnxruntime_threads import one_thread_for_each_session
from tests.support.tiny_pack import tiny_config, tiny_styles_config
from training.config.weights import save_weights
from training.groupdnet.codes.expectation import CodeExpectation, RelativeGroupDNet
from training.groupdnet.codes.prior import StylePrior
from training.groupdnet.config import StylesConfig
from training.groupdnet.networks.groupdnet import GroupDNet
from training.groupdnet.trained import TrainedStyles
from training.sis_ug.config import PackConfig
from training.sis_ug.networks.build import (
    inverter,
    label_map_mapper,
    label_segmenter,
    pretrained_generator,
    proxy_segmenter,
    rearranger,
    scribble_completer,
    sketch_reader,
)
from training.sis_ug.pipeline import SynthesisPipeline, load_pipeline


@pytest.fixture(scope="session")
def config() -> PackConfig:
    return tiny_config()


@pytest.fixture(scope="session")
def weights(config: PackConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack's folder: untrained, but nothing is left at its initial zero, so no part of a graph is idle."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("pack")
    segmenter, mapper = proxy_segmenter(config), label_map_mapper(config)
    arranger = rearranger(config, pretrained_generator(config))
    reader, completer = sketch_reader(config), scribble_completer(config)
    labels = label_segmenter(config)
    networks = {
        "proxy_segmenter": segmenter,
        "rearranger_tuned": arranger,
        "mapper_label_map": mapper,
        "sketch_reader": reader,
        "scribble_completer": completer,
        "inverter": inverter(config, pretrained_generator(config)),
        "label_segmenter": labels,
    }
    with torch.no_grad():
        for network in networks.values():
            for parameter in network.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
        for network in (
            segmenter,
            mapper.network,
            reader.network,
            completer.network,
            labels,
        ):  # all clusters shall occur in their answers
            network.get_parameter("stem.0.weight").mul_(10)
            weight = network.get_parameter("classify.weight")
            weight.sub_(weight.mean(1, keepdim=True))
            network.get_parameter("classify.bias").zero_()
    for name, network in networks.items():
        save_weights(network, folder, name)
    return folder


@pytest.fixture(scope="session")
def pipeline(config: PackConfig, weights: Path) -> SynthesisPipeline:
    return load_pipeline(config, weights)


@pytest.fixture(scope="session")
def pack(config: PackConfig, pipeline: SynthesisPipeline) -> ExportedPack:
    return sis_ug_pack(config, pipeline)


@pytest.fixture(scope="session")
def stages(pack: ExportedPack) -> dict[str, Stage]:
    """By name without the pack's, the fused ones last."""
    fused = [condition.fused for condition in pack.conditions]
    return {stage.name.removeprefix("faces64_"): stage for stage in (*pack.graphs, *fused)}


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Graphs this small gain nothing from a second thread, and other tests want the processor."""
    with one_thread_for_each_session():
        yield


@pytest.fixture(scope="session", autouse=True)
def graphs_exported_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with each_graph_once(tmp_path_factory):
        yield


@contextmanager
def commands_for(config: PackConfig, weights: Path) -> Iterator[None]:
    """Every command takes this pack for faces64."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export.sis_ug, "load_config", lambda pack: config)
        patch.setattr(export.sis_ug, "pack_folder", lambda pack: weights)
        yield


@pytest.fixture
def tiny_pack(config: PackConfig, weights: Path) -> Iterator[None]:
    """Every command takes the tiny pack for faces64."""
    with commands_for(config, weights):
        yield


@pytest.fixture(scope="session")
def export_for(
    config: PackConfig, weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Gives the tiny pack for a target, in both layouts and the default precision, made by the command."""

    def made_for(target: str) -> Path:
        def make(folder: Path) -> None:
            place = str(folder / "model_repository")
            arguments = ["--target", target, "--layout", "both", "--repository", place]
            with commands_for(config, weights):
                result = CliRunner().invoke(
                    maskweave_cli.main, ["export", "repository", "faces64", *arguments]
                )
            assert result.exit_code == 0, result.output

        return made_once(tmp_path_factory, f"for-{target}", make) / "model_repository"

    return made_for


@pytest.fixture(scope="session")
def repository(export_for: Callable[[str], Path]) -> Path:
    """The default target's."""
    return export_for(CPU.name)


@pytest.fixture(scope="session")
def of_target(export_for: Callable[[str], Path]) -> dict[str, Path]:
    """Each target's."""
    return {target: export_for(target) for target in TARGETS}


@pytest.fixture(scope="session")
def styles_config() -> StylesConfig:
    return tiny_styles_config()


@pytest.fixture(scope="session")
def make_trained() -> Callable[[StylesConfig], TrainedStyles]:
    """Untrained networks with nothing left at its initial zero or one, batch norms' statistics included."""

    def make(config: StylesConfig) -> TrainedStyles:
        torch.manual_seed(0)
        network = GroupDNet(config.network)
        prior = StylePrior(config.network.styles, config.network.style_size)
        with torch.no_grad():
            for name, tensor in (
                *network.named_parameters(),
                *network.named_buffers(),
                *prior.named_buffers(),
            ):
                if name.endswith("running_var"):
                    tensor.uniform_(0.2, 2)
                elif name.endswith("running_mean") or name in ("joint_mean", "style_mean"):
                    tensor.normal_(0, 0.3)
                elif name in ("joint_factor", "style_factor") or name.endswith("bias"):
                    tensor.add_(0.1 * torch.randn_like(tensor))
        expectation = CodeExpectation(config.network)
        expectation.get_buffer("weight").normal_(0, 0.1)
        relative = RelativeGroupDNet(network, expectation)
        return TrainedStyles(config, relative.eval().requires_grad_(False), prior)

    return make


@pytest.fixture(scope="session")
def trained(
    styles_config: StylesConfig, make_trained: Callable[[StylesConfig], TrainedStyles]
) -> TrainedStyles:
    return make_trained(styles_config)


@pytest.fixture(scope="session")
def styles_pack(trained: TrainedStyles) -> ExportedPack:
    return groupdnet_pack(trained)


@pytest.fixture(scope="session")
def styles_repository(styles_pack: ExportedPack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default target's, in both layouts."""

    def export_pack(folder: Path) -> None:
        write_repository(styles_pack, folder / "model_repository", layouts=("ensemble", "fused"))

    return made_once(tmp_path_factory, "exported-styles", export_pack) / "model_repository"


@pytest.fixture
def tiny_styles(styles_config: StylesConfig, trained: TrainedStyles) -> Iterator[None]:
    """Every command takes the tiny pack for faces64_styles."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export.groupdnet, "load_styles_config", lambda name: styles_config)
        patch.setattr(export.groupdnet, "load_styles", lambda config, folder: trained)
        yield
