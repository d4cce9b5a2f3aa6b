"""The students' networks and the answers they learn from."""

import pytest
import torch
from pydantic import ValidationError

from tests.support.tiny_pack import tiny_config
from training.generators.dcgan import load_generator
from training.networks.one_hot import one_hot
from training.sis_ug.config import PackConfig, students_section
from training.sis_ug.networks.build import rearranger
from training.sis_ug.networks.rearranger import normalise
from training.sis_ug.students.answers import Answers, Tensors
from training.sis_ug.students.build import proxy_reader

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def config() -> PackConfig:
    return tiny_config()


def test_reader_gives_a_proxy_mask_of_coarser_features(config: PackConfig) -> None:
    generator = load_generator()
    reader = proxy_reader(config, generator).eval()
    pyramid = generator.head(torch.randn(2, generator.latent_dim), upto=32)
    logits = reader(pyramid)
    assert logits.shape == (2, config.proxies.clusters, 32, 32)
    assert torch.equal(logits, reader({r: pyramid[r] for r in (8, 16)}))  # no image, nothing finer is needed
    assert not torch.equal(logits, reader(pyramid | {8: pyramid[8] * 2}))
    assert not torch.equal(logits, reader(pyramid | {16: pyramid[16] * 2}))


def test_attention_apart_from_the_rest_is_the_whole(config: PackConfig) -> None:
    generator = load_generator()
    network = rearranger(config, generator).eval()
    source = generator.head(torch.randn(1, generator.latent_dim), upto=16)
    masks = [
        one_hot(torch.randint(0, config.proxies.clusters, (1, 32, 32)), config.proxies.clusters)
        for _ in range(2)
    ]
    with torch.no_grad():
        offered, asked = network.embed_source(masks[0]), network.embed_target(masks[1])
        attended = network.attend(source, offered, asked)
        found = network.finish(generator, attended, asked)
        keys = torch.cat([normalise(source[8]), offered[8]], dim=1)
        assert torch.equal(attended[8], network.attention["8"](asked[8], keys, source[8]))
        for resolution, features in network(generator, source, *masks).items():
            assert torch.equal(found[resolution], features)


def test_answers_are_asked_once_and_the_same_in_every_run() -> None:
    asked = 0

    def ask(random: torch.Generator) -> Tensors:
        nonlocal asked
        asked += 1
        return {"ids": torch.randint(0, 200, (4,), generator=random), "of": torch.rand(4, generator=random)}

    answers, again = Answers(ask, 3, CPU), Answers(ask, 3, CPU)
    random = torch.Generator().manual_seed(0)
    drawn = [answers.draw(random) for _ in range(40)]
    assert asked == 3
    assert len({tuple(batch["ids"].tolist()) for batch in drawn}) == 3
    for number in range(3):
        assert torch.equal(answers[number]["ids"], again[number]["ids"])
        assert torch.equal(answers[number]["of"], again[number]["of"])
    assert asked == 6
    assert answers[0]["of"].dtype == torch.float32  # kept in half precision


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"weights": {"embeddings": 1, "features": {64: 1}, "image": 1}},
            r"can have the resolutions \[8, 16, 32\]",
        ),
        ({"energy": 0.0}, "greater than 0"),
        ({"own_fraction": 0.9, "exemplar_fraction": 0.2}, "more than 1 together"),
    ],
)
def test_configuration_that_does_not_fit_is_refused(
    config: PackConfig, changes: dict[str, object], message: str
) -> None:
    values = config.model_dump()
    values["students"]["rearranger"] |= changes
    with pytest.raises(ValidationError, match=message):
        PackConfig.model_validate(values)


def test_pack_without_students_says_so(config: PackConfig) -> None:
    with pytest.raises(ValueError, match=r"pack 'faces64': its configuration has no section \[students\]"):
        students_section(config.model_copy(update={"students": None}))
