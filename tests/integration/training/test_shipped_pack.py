"""The weights that the pack ships do what they are described to do, on samples nobody trained on."""

import torch

from training.config.packs import pack_folder
from training.config.weights import load_weights
from training.data.reading import read_label_maps
from training.data.samples import latents_of, to_uint8
from training.evaluation.metrics import agreement
from training.networks.unet import frozen
from training.sis_ug.clustering import ProxyClusters
from training.sis_ug.config import load_config
from training.sis_ug.inversion.reconstruction import reconstruction
from training.sis_ug.networks.build import label_segmenter, pretrained_generator
from training.sis_ug.pipeline import load_judge, load_pipeline

SAMPLES = 32


def test_segmenter_reads_clusters_and_the_rearranger_obeys_masks() -> None:
    config, folder = load_config("faces64"), pack_folder("faces64")
    generator = pretrained_generator(config)
    section = config.proxies
    width = sum(generator.channels.values())
    clusters = load_weights(
        ProxyClusters(
            torch.zeros(width),
            torch.zeros(section.components, width),
            torch.zeros(section.clusters, section.components),
            section.resolution,
        ),
        folder,
        "clusters",
    )
    pipeline = load_pipeline(config, folder)
    latents = latents_of(range(SAMPLES), generator.latent_dim, config.latent.scale)
    with torch.inference_mode():
        source = pipeline.head(latents)
        read = (clusters(generator.head(latents, max(generator.channels))) == source.mask).float().mean()
        assert read > 0.7

        target = source.mask.roll(1, 0)
        result = pipeline.tail(pipeline.rearrange(source.pyramid, source.mask, target))
        obeyed = (pipeline.segmenter(result).argmax(1) == target).float().mean()
        before = (source.mask == target).float().mean()
        assert obeyed > 0.7
        assert before < 0.4

        itself = pipeline.tail(pipeline.rearrange(source.pyramid, source.mask, source.mask))
        assert (itself - source.images).abs().mean() < 0.05


def test_the_judge_reads_what_the_label_segmenter_reads() -> None:
    """Two networks that share nothing but whose labels they learnt from: they agree where both read well."""
    config, folder = load_config("faces64"), pack_folder("faces64")
    judge = load_judge(config, folder)
    assert judge is not None
    other = frozen(load_weights(label_segmenter(config), folder, "label_segmenter"))
    generator = pretrained_generator(config)
    latents = latents_of(range(SAMPLES), generator.latent_dim, config.latent.scale)
    with torch.inference_mode():
        images = to_uint8(generator.images(latents))
    read, wanted = read_label_maps(judge, images), read_label_maps(other, images)
    quality = agreement(wanted, read, len(config.palette))
    assert quality.accuracy > 0.8
    assert all(one is not None and one > 0.25 for one in quality.iou)  # it knows something of every class


def test_the_inverter_gives_images_back() -> None:
    config = load_config("faces64")
    pipeline = load_pipeline(config, pack_folder("faces64"))
    latents = latents_of(range(SAMPLES), pipeline.generator.latent_dim, config.latent.scale)
    with torch.inference_mode():
        images = to_uint8(pipeline.generator.images(latents))
    found = reconstruction(pipeline, images)
    assert found.images == SAMPLES
    assert found.tail > 29
    assert found.rearranged > 25
