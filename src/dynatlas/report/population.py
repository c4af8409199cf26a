"""Every network in the page itself: its settings and how well it learned, by column, and the file of its details."""

from typing import Any, Final

from dynatlas.figures.reading import AtlasLike, table
from dynatlas.report.values import cells
from dynatlas.schema import TABLES
from dynatlas.study import Study

# A file for each network would be thousands of entries in the manifest, one for each block megabytes to open one.
NETWORKS_PER_FILE: Final = 8


def population(atlas: AtlasLike) -> dict[str, Any]:
    """The table ``networks`` by column, and the detail ``file`` of each.

    Raises:
        Missing: it is not stored.
    """
    networks = table(atlas, "networks")
    file_of = {network: name for name, ids in network_files(atlas.study).items() for network in ids}
    columns = {name: cells(networks[name]) for name in TABLES["networks"]}
    return columns | {"file": [file_of.get(network, "") for network in columns["network"]]}


def network_files(study: Study) -> dict[str, list[str]]:
    """The detail files of the networks: name → ids."""
    return {
        f"network-{block.name}-{start // NETWORKS_PER_FILE}": [
            member.id for member in members[start : start + NETWORKS_PER_FILE]
        ]
        for block, members in study.blocks.items()
        for start in range(0, len(members), NETWORKS_PER_FILE)
    }
