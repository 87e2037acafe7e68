"""Pictures as the trainer reads them, the right frames of a clip, and plain words for what cannot be read."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from maevid.errors import InputError
from maevid.evaluation.inputs import find_inputs, frame_numbers
from maevid.training.pictures import decode_picture


def test_a_folder_is_a_group_of_its_files_by_name(pictures: Path, clip: Path) -> None:
    (pictures / "notes.txt").write_text("not a picture")
    found = find_inputs([pictures, clip, pictures / "a.png"])
    assert [item.name for item in found] == ["a.png", "b.png", "wide.png", "steps.mkv"]
    assert [item.group for item in found] == [pictures.name] * 3 + [clip.parent.name]
    assert [item.picture for item in found] == [True] * 3 + [False]
    assert len({item.sha256 for item in found}) == 4


def test_pictures_become_the_planes_that_training_sees(pictures: Path) -> None:
    (item,) = find_inputs([pictures / "b.png"])
    (frame,) = item.load(8)
    assert (frame.width, frame.height) == (180, 170)
    for plane, expected in zip(frame.planes, decode_picture(pictures / "b.png"), strict=True):
        assert np.array_equal(plane, expected)


@pytest.mark.parametrize(
    ("count", "numbers"),
    [(1, [10]), (2, [5, 15]), (4, [2, 7, 12, 17]), (20, list(range(20))), (99, list(range(20)))],
)
def test_frames_of_a_clip_are_evenly_spread(clip: Path, count: int, numbers: list[int]) -> None:
    assert frame_numbers(20, count) == numbers
    (item,) = find_inputs([clip])
    assert [int(frame.y[0, 0]) for frame in item.load(count)] == [5 + 12 * number for number in numbers]


def test_what_cannot_be_read_says_so(tmp_path: Path, pictures: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        find_inputs([tmp_path / "missing.png"])
    with pytest.raises(InputError, match="no picture and no clip"):
        find_inputs([tmp_path])
    for parent in ("one", "two"):
        (tmp_path / parent / "set").mkdir(parents=True)
        shutil.copy(pictures / "a.png", tmp_path / parent / "set")
    with pytest.raises(InputError, match="one name in the report"):
        find_inputs([tmp_path / "one" / "set", tmp_path / "two" / "set"])
    broken = tmp_path / "broken.png"
    broken.write_bytes((pictures / "a.png").read_bytes()[:60])
    with pytest.raises(InputError, match=r"broken\.png cannot be read"):
        find_inputs([broken])[0].load(1)
    text = tmp_path / "clip.mp4"
    shutil.copy(__file__, text)
    with pytest.raises(InputError, match=r"clip\.mp4"):
        find_inputs([text])[0].load(1)
