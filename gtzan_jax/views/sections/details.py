"""The report's section on the details of a run."""

from collections.abc import Sequence

from gtzan_jax.rundir.finished import FinishedRun
from gtzan_jax.rundir.manifest import Parts, environment
from gtzan_jax.tables.protocols import split_note
from gtzan_jax.views.sections.artists import column_flags
from gtzan_jax.views.sections.section import Section
from gtzan_jax.views.text import Table, counted


def details_section(run: FinishedRun) -> Section:
    """Makes the section on the details of a run: two tables."""
    manifest, sweep = run.manifest, run.sweep
    data, split, sessions = manifest.data, manifest.split, manifest.sessions
    inputs = "bands of spectrograms" if sweep.family == "cnn" else "features"
    how = split_note(sweep.protocol, split.seed, len(split.folds), data.words)
    source = "the SYNTHETIC sample, not GTZAN" if run.is_sample else data.name
    found, mark = environment(sessions), "versions."
    rates = ", ".join(f"{name} {rate:g}" for name, rate in (sweep.learning_rates or {}).items())
    leaky = "leaky_relu" in sweep.axes.get("activation", ())
    constants = [
        f"loss {sweep.loss}",
        f"batches of {sweep.batch_size}" if sweep.batch_size else "",
        f"slope of leaky ReLU {sweep.leaky_slope:g}" if leaky else "",
        f"learning rates: {rates}" if rates else "",
    ]
    facts = {
        "data": f"{source}; {data.rows_note}, {data.features} {inputs}, "
        f"{len(data.genres)} {data.words.labels}: {', '.join(data.genres)}",
        "columns": " ".join(column_flags(data.columns)),
        "checksum (SHA-256)": data.sha256,
        "protocol": f"{sweep.protocol}: {how}; ranked on the {run.protocol.select_on} part",
        "parts of a fold": _sizes(split.folds, data.unit),
        "left out": " ".join(split.left_out),
        "sweep": f"{sweep.name}: {counted(sweep.num_configs, 'configuration')} × "
        f"{counted(len(split.folds), 'fold')} × {counted(len(manifest.seeds), 'seed')} × "
        f"{counted(sweep.epochs, 'epoch')}",
        "search": ", ".join(f"{key} {value}" for key, value in sweep.search.to_dict().items()),
        "seeds": ", ".join(map(str, manifest.seeds)),
        "training": ", ".join(filter(None, constants)),
        "precision of products": manifest.matmul_precision,
        "device": f"{found.get('platform', '')}: {found.get('devices', '')}",
        "versions": ", ".join(
            f"{k.removeprefix(mark)} {v}" for k, v in found.items() if k.startswith(mark)
        ),
        "started": "; ".join(session.started for session in sessions),
        "command": "; ".join(dict.fromkeys(session.command for session in sessions)),
        "seconds": ", ".join(f"{part} {s:.1f}" for part, s in manifest.timings_s.items()),
    }
    axes = [
        [name, str(sweep.ranges[name]) if name in sweep.ranges else ", ".join(map(str, values))]
        for name, values in sweep.axes.items()
    ]
    tables = [
        Table(("detail", "value"), [[what, value] for what, value in facts.items() if value]),
        Table(("hyperparameter", "values"), axes),
    ]
    return Section("Details of the run", tables=tables, name="details")


def _sizes(folds: Sequence[Parts], unit: str) -> str:
    """Returns the numbers of rows in each part, over the folds."""
    uses = {
        f"{unit} in the train part": {fold.train for fold in folds},
        "in the validation part": {fold.validation for fold in folds},
        "in the test part": {fold.test for fold in folds},
    }
    return ", ".join(
        f"{min(counts):,}{f' to {max(counts):,}' if len(counts) > 1 else ''} {use}"
        for use, counts in uses.items()
        if max(counts)
    )
