from pathlib import Path

import pytest
import torch

from export.repository import write_repository
from export.stages import Stage, sis_ug_stages
from tests.support.tiny_pack import tiny_config
from training.config import PackConfig
from training.networks import label_map_mapper, pretrained_generator, proxy_segmenter, rearranger
from training.pack import save_weights
from training.pipeline import SynthesisPipeline, load_pipeline


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
    networks = {"proxy_segmenter": segmenter, "rearranger_tuned": arranger, "mapper_label_map": mapper}
    with torch.no_grad():
        for network in networks.values():
            for parameter in network.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
        for network in (segmenter, mapper.network):  # all clusters shall occur in their answers
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
def stages(config: PackConfig, pipeline: SynthesisPipeline) -> dict[str, Stage]:
    """By name without the pack's."""
    return {stage.name.removeprefix("faces64_"): stage for stage in sis_ug_stages(config, pipeline)}


@pytest.fixture(scope="session")
def repository(
    config: PackConfig, pipeline: SynthesisPipeline, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "model_repository"
    write_repository(config, pipeline, folder)
    return folder
