"""Morphs over a real socket, on a pack that shows its codes as colours."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from maskweave_client import Client, DeadlineExceeded, InvalidRequest, PermissionDenied, Seed, StyleCode
from tests.support.dolls_images import HERS, HIS, make, seen
from tests.support.dolls_pack import (
    HAIR,
    LABEL_MAP,
    SKIN,
    color,
)
from tests.support.gateway_process import GatewayProcess, gateway_process
from tests.support.key_file import new_key, write_keys


def test_a_morph_goes_from_one_to_the_other_in_order(dolls_client: Client) -> None:
    hers, his = (dolls_client.encode_styles("dolls", image, LABEL_MAP) for image in (HERS, HIS))
    frames = list(
        dolls_client.morph(
            "dolls", LABEL_MAP, {HAIR: hers[HAIR]}, {HAIR: his[HAIR]}, number_of_frames=5, seed=9
        )
    )
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]
    assert [frame.position for frame in frames] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert [seen(frame.image, HAIR) for frame in frames] == [
        (200, 100, 40),
        (160, 85, 40),
        (120, 70, 40),
        (80, 55, 40),
        (40, 40, 40),
    ]
    assert len({seen(frame.image, SKIN) for frame in frames}) == 1
    assert frames[0].image.data == make(dolls_client, {HAIR: hers[HAIR]}, seed=9).data
    assert frames[-1].image.data == make(dolls_client, {HAIR: his[HAIR]}, seed=9).data
    assert {frame.image.seed for frame in frames} == {9}


def test_a_class_at_one_end_only_comes_from_or_goes_to_what_the_seed_decides(dolls_client: Client) -> None:
    his = dolls_client.encode_styles("dolls", HIS, LABEL_MAP)
    frames = list(
        dolls_client.morph(
            "dolls", LABEL_MAP, {SKIN: his[SKIN]}, {HAIR: his[HAIR]}, number_of_frames=2, seed=9
        )
    )
    plain = make(dolls_client, {}, seed=9)
    assert seen(frames[0].image, HAIR) == seen(plain, HAIR)
    assert seen(frames[1].image, HAIR) == (40, 40, 40)
    assert seen(frames[0].image, SKIN) == (120, 80, 60)
    assert seen(frames[1].image, SKIN) == seen(plain, SKIN)


def test_a_morph_may_go_beyond_both_ends_and_backwards(dolls_client: Client) -> None:
    hers, his = (dolls_client.encode_styles("dolls", image, LABEL_MAP)[HAIR] for image in (HERS, HIS))

    def hair(first: float, last: float, frames: int) -> list[tuple[int, ...]]:
        made = dolls_client.morph(
            "dolls",
            LABEL_MAP,
            {HAIR: his},
            {HAIR: hers},
            number_of_frames=frames,
            first_position=first,
            last_position=last,
            seed=9,
        )
        return [seen(frame.image, HAIR) for frame in made]

    beyond = hair(-0.25, 1.25, 7)
    assert (beyond[0], beyond[1], beyond[5], beyond[6]) == (
        (0, 25, 40),
        (40, 40, 40),
        (200, 100, 40),
        (240, 115, 40),
    )
    assert hair(1.25, -0.25, 7) == beyond[::-1]
    assert hair(0.5, 1.0, 1) == [(120, 70, 40)]


def test_a_spherical_morph_keeps_the_length_on_its_way(dolls_client: Client) -> None:
    version = dolls_client.model("dolls").version
    one, other = (StyleCode("dolls", version, HAIR, values) for values in ((3.0, 0.0, 0.0), (0.0, 3.0, 0.0)))
    (frame,) = dolls_client.morph(
        "dolls",
        LABEL_MAP,
        {HAIR: one},
        {HAIR: other},
        number_of_frames=1,
        first_position=0.5,
        path="spherical",
        seed=1,
    )
    assert seen(frame.image, HAIR) == color((3.0 / 2**0.5, 3.0 / 2**0.5, 0.0))


def test_a_morph_that_is_left_early_frees_its_slot(dolls_client: Client, dolls: GatewayProcess) -> None:
    frames = dolls_client.morph(
        "slow_dolls", LABEL_MAP, {HAIR: Seed(1)}, {HAIR: Seed(2)}, number_of_frames=64
    )
    assert next(frames).index == 0
    frames.close()
    dolls.wait_until_in_flight(0, "Morph")
    dolls.wait_for_metric("maskweave_queue_depth 0.0")
    dolls.wait_for_metric("maskweave_images_in_progress 0.0")
    made = float(
        next(
            line.rpartition(" ")[2]
            for line in dolls.get("/metrics").splitlines()
            if line.startswith("maskweave_images_total{") and "slow_dolls" in line
        )
    )
    assert made < 64


def test_a_morph_ends_at_its_deadline(dolls_client: Client, dolls: GatewayProcess) -> None:
    frames = dolls_client.morph(
        "slow_dolls", LABEL_MAP, {HAIR: Seed(1)}, {HAIR: Seed(2)}, number_of_frames=64, timeout=1.0
    )
    with pytest.raises(DeadlineExceeded):
        list(frames)
    dolls.wait_for_metric("maskweave_queue_depth 0.0")


def test_a_morph_that_the_queue_can_never_hold_is_not_allowed(dolls_repository: Path) -> None:
    with (
        gateway_process(dolls_repository, concurrency_limit=1, queue_capacity=4) as gateway,
        Client(gateway.address) as client,
        grpc.insecure_channel(gateway.address, (("grpc.enable_retries", 0),)) as channel,
        Client(channel=channel, retry=None) as once,
    ):
        ends = ({HAIR: Seed(1)}, {HAIR: Seed(2)})
        assert len(list(client.morph("dolls", LABEL_MAP, *ends, number_of_frames=5))) == 5
        with pytest.raises(InvalidRequest, match="number_of_frames: got 6 images; allowed: at most 5"):
            list(once.morph("dolls", LABEL_MAP, *ends, number_of_frames=6))


def test_interactive_images_pass_a_morph_that_nobody_waits_for(
    dolls_client: Client, dolls: GatewayProcess
) -> None:
    frames = dolls_client.morph(
        "slow_dolls", LABEL_MAP, {HAIR: Seed(3)}, {HAIR: Seed(4)}, number_of_frames=12, priority="batch"
    )
    assert next(frames).index == 0
    dolls_client.synthesize("dolls", LABEL_MAP, seed=1)
    dolls.wait_until_in_flight(1, "Morph")
    waiting = next(
        line for line in dolls.get("/metrics").splitlines() if line.startswith("maskweave_queue_depth")
    )
    assert float(waiting.rpartition(" ")[2]) > 0, "the image was made before the frames that came before it"
    frames.close()


def test_keys_for_editing_may_encode_and_not_morph(dolls_repository: Path, tmp_path: Path) -> None:
    key, entry = new_key("editor", "edit")
    keys = write_keys(tmp_path / "keys.toml", entry)
    with (
        gateway_process(dolls_repository, api_keys_file=keys) as gateway,
        Client(gateway.address, api_key=key) as client,
    ):
        assert client.encode_styles("dolls", HERS, LABEL_MAP)
        with pytest.raises(PermissionDenied, match="this needs synthesize"):
            list(client.morph("dolls", LABEL_MAP, {HAIR: Seed(1)}, {}, number_of_frames=1))
