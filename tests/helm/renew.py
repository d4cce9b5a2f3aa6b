"""Writes anew what is made from the chart: `python -m tests.helm.renew`, that is `make chart`."""

from __future__ import annotations

import json

from tests.support.chart import GOLDEN, SCENARIOS, helm, kubernetes_definitions, rendered_text
from tests.support.chart_values import CHART, readme, schema


def schema_text() -> str:
    """values.schema.json as it must be."""
    return json.dumps(schema(kubernetes_definitions()), indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write schema, README and golden renders."""
    (CHART / "values.schema.json").write_text(schema_text())
    (CHART / "README.md").write_text(readme())
    GOLDEN.mkdir(exist_ok=True)
    for old in GOLDEN.glob("*.yaml"):
        old.unlink()
    for scenario in SCENARIOS:
        (GOLDEN / f"{scenario}.yaml").write_text(rendered_text(scenario))
    print(helm("lint", "--strict", "--values", SCENARIOS["everything"], CHART).stdout)


if __name__ == "__main__":
    main()
