"""What each table of an evaluation is measured by, and what of that had a part in the training."""

from __future__ import annotations

from training.evaluation.distances import JUDGE_FEATURES
from training.groupdnet.sources import Source
from training.sis_ug.config import PackConfig
from training.sis_ug.networks.build import PROXY_SEGMENTER


def touched(config: PackConfig) -> dict[str, str]:
    """A sentence for each table: "read" and "judged", and kinds of features by their names."""
    data = config.data
    labelled = data.labeller or "a few-shot segmenter that learnt from a handful"
    given = f"Label maps wanted are those of {labelled}, on seeds that nothing was trained on."
    reader = (
        f"Read by {labelled}: no loss asks it, but its labels taught the mapper, the readers of drawings and "
        "the label segmenter, which is the cycle's judge."
    )
    judge = "Read by the judge: built otherwise than any network of the pack, and asked by no loss; "
    if data.judge is not None:
        seeds = data.seeds("judge")
        judge += f"trained on seeds {seeds[0]} to {seeds[-1]}, which nothing else used; "
    judge += f"its labels are those of {labelled}, too."
    return {
        "read": f"{given} {judge if data.labeller is None else reader}",
        "judged": f"{given} {judge}",
        PROXY_SEGMENTER: "the rearranger's mask loss asks this very network: such distances flatter",
        JUDGE_FEATURES: "no loss asks it",
    }


def touched_styles(source: Source, *, judged: bool) -> dict[str, str]:
    """The same of a pack of GroupDNet.

    Args:
        source: of the pack.
        judged: whether a judge reads the results.
    """
    judge = (
        "Read by the judge: built otherwise than any network of the pack, asked by no loss, and trained on "
        "images that nothing else used; its label maps come from where those come from that the network is "
        "conditioned on."
    )
    return {
        "read": judge if judged and not source.has_labeller else source.note,
        "judged": judge,
        source.eyes_name: source.eyes_note,
        JUDGE_FEATURES: "no loss asks it",
    }
