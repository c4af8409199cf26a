"""A small, empty atlas."""

from pathlib import Path

import pytest

from dynatlas.atlas.atlas import Atlas
from dynatlas.study.study import Study
from support.atlas_contents import study_with


@pytest.fixture
def study() -> Study:
    return study_with()


@pytest.fixture
def atlas(tmp_path: Path, study: Study) -> Atlas:
    return Atlas.create(tmp_path / "atlas", study)
