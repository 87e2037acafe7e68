"""From a training run to a model file."""

from __future__ import annotations

from pathlib import Path

from maevid.model.autoencoder import ModulatedAutoencoder
from maevid.model.checkpoint import Checkpoint
from maevid.training.balance import balance
from maevid.training.counting import fitted_tables
from maevid.training.filtering import fitted_filter
from maevid.training.optimizers import build_optimizers
from maevid.training.pictures import Pictures
from maevid.training.run import Average, load_run, read_config


def export_run(folder: Path, path: Path, pictures: Pictures | None = None) -> Checkpoint:
    """Write the averaged weights of a run as a model file. Raises ModelError when the folder holds no run.

    With ``pictures`` the features of its entropy networks are scaled, and frequency tables and a post filter fitted, by
    what the network makes of them. Else features are as they were trained, tables those of normal distributions, and
    there is no filter.
    """
    model = ModulatedAutoencoder(read_config(folder))
    average = Average(model)
    progress = load_run(folder, model, average, build_optimizers(model))
    model.load_state_dict(average.weights)
    if pictures:
        balance(model, pictures)
    notes = {
        "steps": str(progress.step + (progress.earlier_steps or 0)),
        "hours": f"{(progress.seconds + progress.earlier_seconds) / 3600:.2f}",
        "decay_steps": str(progress.decay_steps),
    }
    checkpoint = Checkpoint.from_model(model, notes)
    if pictures:
        post_filter = fitted_filter(checkpoint, pictures)
        checkpoint = checkpoint.with_tables(fitted_tables(checkpoint, pictures)).with_post_filter(post_filter)
    path.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save(path)
    return checkpoint
