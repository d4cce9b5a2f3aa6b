"""checkov, a checker that nobody here wrote, finds nothing in what is rendered but what is meant to be so."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.chart import ENVIRONMENT, SCENARIOS, rendered_text

# Check -> why the chart does otherwise.
MEANT = {
    "CKV_K8S_8": "liveness: of pods that end by themselves, the test and what fetches",
    "CKV_K8S_9": "readiness: likewise",
    "CKV_K8S_11": "CPU limits: they would throttle in the middle of an image",
    "CKV_K8S_15": "images are pulled when they are missing: tags are releases, and digests can be given",
    "CKV_K8S_35": "programs of object stores take what they need from variables",
    "CKV_K8S_40": "Triton's public image has the user 1000",
    "CKV_K8S_43": "digests: the operator's registry decides; see the scenario air-gapped",
}


@pytest.mark.timeout(300)
@pytest.mark.slow
def test_checkov_finds_nothing_else(tmp_path: Path) -> None:
    # Half of what one scenario renders another one has, too: a manifest is looked at once.
    manifests = dict.fromkeys(
        each.strip() for scenario in SCENARIOS for each in rendered_text(scenario).split("\n---\n")
    )
    (tmp_path / "manifests.yaml").write_text("\n---\n".join(manifests))
    done = subprocess.run(
        [
            *(ENVIRONMENT / "bin" / "python", ENVIRONMENT / "bin" / "checkov"),
            *("--skip-download", "--framework", "kubernetes", "--output", "json", "--directory", tmp_path),
        ],
        # It reports to its maker's service only when given a key; the home folder is for what it might keep.
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LOG_LEVEL": "ERROR"},
        capture_output=True,
        text=True,
        check=False,
    )
    result = json.loads(done.stdout)
    assert result["summary"]["passed"] > 100, done.stderr
    failed = {
        (each["check_id"], each["resource"], each["check_name"])
        for each in result["results"]["failed_checks"]
    }
    # Policies are off in it, as its values say.
    failed = {each for each in failed if not (each[0] == "CKV2_K8S_6" and "faces.faces" in each[1])}
    assert not {each for each in failed if each[0] not in MEANT}
    assert {each[0] for each in failed} == set(MEANT), "what is meant no more goes from the list"
