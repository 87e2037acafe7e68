"""What training adds to the pictures that it finds: frames as videos have them, and screens."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from maevid.training.pictures import Pictures, convert_picture
from maevid.training.recoded import GRID, recoded

pytest.importorskip("matplotlib", reason="Matplotlib brings the fonts of the made screens")

from maevid.training.screens import made_screen

SEEDS = range(24)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory, bunny: Path) -> Path:
    """Thirty-two files, so that there are two screens."""
    folder = tmp_path_factory.mktemp("photographs")
    with av.open(str(bunny)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)][:32]
    assert len(frames) == 32
    for number, frame in enumerate(frames):
        with av.open(str(folder / f"{number}.png"), "w", format="image2", options={"update": "1"}) as out:
            stream = out.add_stream("png", width=frame.shape[1], height=frame.shape[0], pix_fmt="rgb24")
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
    return folder


def picture(path: Path) -> list[npt.NDArray[np.uint8]]:
    with av.open(str(path)) as container:
        return convert_picture(
            np.asarray(next(container.decode(video=0)).to_ndarray(format="rgb24"), np.uint8)
        )


def test_a_recoded_frame_is_the_picture_after_a_lossy_codec_and_the_same_each_time(bunny: Path) -> None:
    planes = picture(bunny)
    height, width = planes[0].shape
    qualities = []
    for seed in SEEDS:
        frame = recoded(planes, np.random.default_rng(seed))
        again = recoded(planes, np.random.default_rng(seed))
        assert all(map(np.array_equal, frame, again)), seed
        rows, columns = frame[0].shape
        assert rows % GRID == columns % GRID == 0
        assert (rows // 2, columns // 2) == frame[1].shape == frame[2].shape
        # The window moved by an even number of samples: where, the picture itself tells.
        errors = [
            float(np.mean((planes[0][top : top + rows, left : left + columns].astype(float) - frame[0]) ** 2))
            for top in range(0, height - rows + 1, 2)
            for left in range(0, width - columns + 1, 2)
        ]
        qualities.append(10 * np.log10(255**2 / min(errors)))
    assert 24 < min(qualities) < 33
    assert 38 < max(qualities) < 52


def test_made_pictures_are_on_the_side_of_their_source_and_scored_apart(
    photographs: Path, tmp_path: Path
) -> None:
    pictures = Pictures([photographs], tmp_path, made=True)
    found = Pictures([photographs], tmp_path)
    assert not any(entry.made for entry in (*found.train, *found.validation, *found.made_validation))
    assert [e.name for e in found.validation] == [e.name for e in pictures.validation]
    held = {entry.name for entry in pictures.validation}
    made = [entry.name for entry in pictures.train if entry.made]
    sources = {name.removesuffix("#recoded") for name in made if name.endswith("#recoded")}
    assert len(sources) == 32 - len(held)
    assert not sources & held
    assert sum(name.endswith("#screen") for name in made) <= 2
    assert pictures.made_validation
    for entry in pictures.made_validation:
        assert entry.made
        assert entry.name.endswith("#screen") or entry.name.removesuffix("#recoded") in held


def test_frames_of_video_are_cropped_on_their_blocks_and_stay_upright(
    bunny: Path, hall: Path, tmp_path: Path
) -> None:
    pictures = Pictures([bunny, hall], tmp_path)
    size = 64
    frames = [pictures.planes(entry)[0] for entry in pictures.train]
    windows = {
        np.ascontiguousarray(side).tobytes()
        for frame in frames
        for top in range(0, frame.shape[0] - size + 1, GRID)
        for left in range(0, frame.shape[1] - size + 1, GRID)
        for window in [frame[top : top + size, left : left + size]]
        for side in (window, window[:, ::-1])
    }
    luma, _, _ = pictures.batch(64, size, np.random.default_rng(0))
    known = [
        np.rint(crop.numpy() * 255).astype(np.uint8).tobytes() in windows for crop in luma.squeeze(1).unbind()
    ]
    # A quarter is stretched to full range.
    assert 36 <= sum(known) < 64


def test_a_screen_is_its_seeds_and_has_even_ground_and_sharp_edges() -> None:
    screens = [made_screen(seed) for seed in range(4)]
    assert np.array_equal(screens[1], made_screen(1))
    assert len({screen.tobytes() for screen in screens}) == 4
    for screen in screens:
        steps = np.abs(np.diff(screen.astype(int), axis=1)).max(-1)
        assert np.mean(steps == 0) > 0.5
        assert np.mean(steps > 80) > 0.005
