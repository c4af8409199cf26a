"""Recordings whose place is known: turned copies of networks, noisy ones, untrained ones, and those out of time."""

import json
import re
from dataclasses import replace

import jax
import numpy as np
import pandas as pd
import pytest

from dynatlas import distance, place_recording
from dynatlas.atlas.networks import agreed_measure
from dynatlas.errors import AtlasError, NetworkError
from dynatlas.figures.looks import ARCHITECTURES, looks_of_levels
from dynatlas.recordings.alignment import align
from dynatlas.recordings.distances import _before_training, shifted
from dynatlas.recordings.page import page, write_folder
from dynatlas.recordings.probe import probe_of
from dynatlas.recordings.result_tables import sign_flips
from dynatlas.recordings.sentences import level_words, sentences
from dynatlas.statistics.embedding import spot
from dynatlas.training.fit import begin
from support.command_line import call
from support.random_atlas import random_atlas

MEASURES = ("svcca", "cka", "procrustes", "rsa", "cca", "pwcca")
TURNABLE = MEASURES[:-1]  # pwcca minds the units' axes
pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return random_atlas(tmp_path_factory.mktemp("placement") / "atlas", measures=MEASURES)


@pytest.fixture(scope="module")
def turned(made):
    """One network's activity, turned by a random rotation; and noisy copies of it; and one of another, untrained."""
    atlas, activities = made
    member = atlas.study.members[1]
    random = np.random.default_rng(0)
    rotation = np.linalg.qr(random.normal(size=(6, 6)))[0]
    exact = activities["trained", member.id] @ rotation
    noise = random.normal(size=exact.shape) * exact.std()
    recordings = {"exact": exact, "noisy": exact + 0.3 * noise, "noisier": exact + noise}
    recordings["untrained"] = activities["untrained", member.id] @ rotation
    return member, recordings, place_recording(atlas, recordings, measures=["cka"], shuffles=19)


@pytest.fixture(scope="module")
def exact(made, turned):
    """The turned copy by every measure."""
    return place_recording(made[0], {"exact": turned[1]["exact"]}, shuffles=19)


def rows(placement, table, **wanted):
    frame = placement.tables[table]
    for column, value in wanted.items():
        frame = frame[frame[column] == value]
    return frame


def control(placement, name, recording, measure="cka"):
    return rows(placement, "controls", recording=recording, measure=measure, control=name).iloc[0]


class TestDistances:
    def test_a_turned_copy_is_at_its_network_by_every_measure(self, turned, exact):
        member, _, _ = turned
        assert exact.measures == MEASURES
        for measure in TURNABLE:
            away = rows(exact, "distances", recording="exact", measure=measure, version="trained")
            nearest = away.nsmallest(1, "distance").iloc[0]
            assert nearest.network == member.id
            assert nearest.distance < 1e-7

    def test_they_are_those_of_the_library(self, made, turned, exact):
        atlas, activities = made
        _, recordings, placement = turned
        # The recording is reduced to as many components as the networks of the atlas.
        options = {"svcca": {"components": agreed_measure(atlas, "flip_flop", "svcca").components}}
        for version, other, placed in (("trained", "noisy", placement), ("untrained", "exact", exact)):
            for measure in placed.measures:
                away = rows(placed, "distances", recording=other, measure=measure, version=version)
                expected = [
                    distance(recordings[other], activities[version, network], measure, **options.get(measure, {}))
                    for network in away.network
                ]
                np.testing.assert_allclose(away.distance, expected, atol=1e-9)
                assert len(away) == len(atlas.study.members)
        between = rows(placement, "recordings", recording="exact", measure="cka", other_recording="noisy")
        assert between.distance.iloc[0] == pytest.approx(distance(recordings["exact"], recordings["noisy"], "cka"))

    def test_noise_leads_away(self, turned):
        member, _, placement = turned
        away = [
            rows(placement, "distances", recording=name, version="trained", network=member.id)
            for name in ("exact", "noisy", "noisier")
        ]
        exact, noisy, noisier = (float(each.distance.iloc[0]) for each in away)
        assert exact < noisy < noisier

    def test_means_over_conditions_are_compared_with_such_means(self, made):
        atlas, activities = made
        condition = probe_of(atlas.study.tasks[0]).condition.ravel()
        means = {
            network: np.stack([activity[condition == each].mean(axis=0) for each in range(4)])
            for (version, network), activity in activities.items()
            if version == "trained"
        }
        one = next(iter(means))
        placement = place_recording(atlas, means[one], measures=["cka"], shuffles=19)
        away = rows(placement, "distances", version="trained")
        with pytest.warns(UserWarning, match="4 samples are fewer than the units"):
            expected = [distance(means[one], means[network], "cka") for network in away.network]
        np.testing.assert_allclose(away.distance, expected, atol=1e-9)
        assert set(placement.tables["controls"].control) >= {"shuffled time", "own halves"}
        assert not {"shifted trials", "reliability"} & set(placement.tables["controls"].control)
        assert placement.recordings["recording"].rows.said == "means over the 4 conditions of the probe"

    def test_few_rows_are_warned_of(self, made):
        rows_ = np.repeat(np.arange(5), 24).reshape(10, 12)
        noise = np.random.default_rng(0).normal(size=(5, 6))
        placement = place_recording(made[0], noise, measures=["svcca"], rows=rows_, shuffles=19)
        assert "5 rows are few" in placement.notes[0]


class TestControls:
    def test_training_is_told_from_its_absence(self, turned):
        _, _, placement = turned
        gain = control(placement, "untrained minus trained", "exact")
        assert gain.value > 0
        assert gain.p < 0.05
        assert "are nearer than untrained ones" in placement.said("exact", "cka")[0]
        reverse = control(placement, "untrained minus trained", "untrained")
        assert reverse.value < 0
        assert "not measurably nearer" in placement.said("untrained", "cka")[0]
        means = [control(placement, name, "exact") for name in ("trained", "untrained")]
        assert means[1].value - means[0].value == pytest.approx(gain.value)

    def test_out_of_time_a_recording_is_far(self, turned):
        _, _, placement = turned
        for name in ("shuffled time", "shifted trials"):
            away = control(placement, name, "exact")
            assert away.value > control(placement, "trained", "exact").high
            assert away.p == 1 / 20

    def test_noise_without_a_likeness_is_no_nearer_than_out_of_time(self, made):
        atlas, _ = made
        noise = np.random.default_rng(0).normal(size=(120, 6))
        placement = place_recording(atlas, noise, measures=["cka"], shuffles=19)
        assert control(placement, "shifted trials", "recording").p > 0.05
        assert "no evidence of similarity" in placement.said("recording", "cka")[1]

    def test_a_shift_moves_whole_trials_in_time(self, made):
        atlas, _ = made
        probe = probe_of(atlas.study.tasks[0])
        activity = np.arange(probe.samples)[:, None] * np.ones(4)
        (one,) = shifted(align(activity, probe, "r"), 1, 0)
        trials = one[:, 0].reshape(probe.trials, probe.steps).astype(int)
        assert sorted(trials.ravel()) == list(range(probe.samples))
        assert len({tuple(sorted(trial // probe.steps)) for trial in trials}) == probe.trials
        lag = np.flatnonzero(trials[0] % probe.steps == 0)
        assert lag.tolist() != [0]
        assert (np.diff(trials[0]) % probe.steps == 1).all()

    def test_a_recording_of_doubled_units_agrees_with_itself(self, made, turned):
        """Two halves of very many copies of the same units are the same but for their number."""
        atlas, _ = made
        _, recordings, _ = turned
        placement = place_recording(atlas, np.tile(recordings["exact"], 40), measures=["cka"], shuffles=19)
        assert control(placement, "own halves", "recording").value < 0.1

    def test_distances_without_noise_are_reliable(self, turned):
        assert control(turned[2], "reliability", "exact").value > 0.9


class TestFactors:
    def test_levels_are_means_of_distances(self, turned):
        _, _, placement = turned
        away = rows(placement, "distances", recording="exact", measure="cka", version="trained")
        for row in rows(placement, "levels", recording="exact", measure="cka", factor="architecture").itertuples():
            some = away[away.architecture == row.level].distance
            assert row.value == pytest.approx(some.mean())
            assert np.isnan(row.low)  # of four networks there is no interval

    def test_what_training_does_to_one_kind_is_not_hidden_by_another(self, turned):
        """Vanilla networks come nearer, GRUs are led away: as a whole nothing, and the words say which."""
        _, _, placement = turned
        gains = {"vanilla": (0.4, 0.01), "gru": (-0.4, 0.01)}
        levels = rows(placement, "levels", recording="exact", measure="cka").copy()
        for level, (gain, p) in gains.items():
            levels.loc[levels.level == level, ["gain", "gain_p"]] = gain, p
        controls = placement.tables["controls"].copy()
        controls.loc[controls.control == "untrained minus trained", "p"] = 0.9
        (said, *_) = sentences(placement.tables | {"levels": levels, "controls": controls}, "exact", "cka")
        assert "not nearer than untrained ones as a whole" in said
        assert said.endswith("Some kinds are: Vanilla (nearer by 0.40, p = 0.01).")

    def test_gains_are_differences_of_the_same_networks(self, turned):
        _, _, placement = turned
        away = rows(placement, "distances", recording="exact", measure="cka")
        by_version = away.pivot(index="network", columns="version", values="distance").loc[away.network.unique()]
        gain = by_version.untrained - by_version.trained
        kinds = away.drop_duplicates("network").set_index("network").architecture.loc[by_version.index]
        levels = rows(placement, "levels", recording="exact", measure="cka", factor="architecture").set_index("level")
        for level in ("vanilla", "gru"):
            assert levels.loc[level, "gain"] == pytest.approx(gain[kinds == level].mean())
        # Holm: the smaller p counts twice.
        p = [sign_flips(gain[kinds == level].to_numpy(), 199, 0) for level in ("vanilla", "gru")]
        assert levels.gain_p.min() == pytest.approx(2 * min(p))

    def test_the_share_explained_is_that_of_an_analysis_of_variance(self, turned):
        _, _, placement = turned
        away = rows(placement, "distances", recording="exact", measure="cka", version="trained")
        groups = [some.distance for _, some in away.groupby("architecture")]
        within = sum(((some - some.mean()) ** 2).sum() for some in groups)
        total = ((away.distance - away.distance.mean()) ** 2).sum()
        effect = rows(placement, "effects", recording="exact", measure="cka", factor="architecture").iloc[0]
        assert effect.r2 == pytest.approx(1 - within / total)


class TestMap:
    def test_a_turned_copy_lies_on_its_network(self, made, turned, exact):
        atlas, _ = made
        member, _, _ = turned
        for measure in TURNABLE:
            places = rows(exact, "map", recording="exact", measure=measure)
            network, own = (places[places.network == which].iloc[0] for which in (member.id, ""))
            assert np.hypot(network.x - own.x, network.y - own.y) < 1e-3
            stored = atlas.table("embeddings").query("measure == @measure").set_index("network")
            assert network.x == stored.loc[member.id, "x"]

    def test_a_point_finds_its_place_among_points(self):
        points = np.random.default_rng(0).normal(size=(20, 2))
        place = np.array([0.3, -2.0])
        found, misfit = spot(points, np.linalg.norm(points - place, axis=1))
        np.testing.assert_allclose(found, place, atol=1e-6)
        assert misfit < 1e-6


class TestUntrained:
    def test_weights_that_no_study_kept_are_those_that_training_begins_with(self, tmp_path):
        atlas, _ = random_atlas(tmp_path / "atlas", untrained=False, measures=["cka"])
        block, members = next(iter(atlas.study.blocks.items()))
        start = begin(members, lambda key: atlas.study.cell(block, key)).fits.cell
        for row, cell in enumerate(_before_training(atlas, block).values()):
            jax.tree.map(lambda one, all_, row=row: np.testing.assert_array_equal(one, all_[row]), cell, start)
        placement = place_recording(
            atlas, np.random.default_rng(0).normal(size=(120, 5)), measures=["cka"], shuffles=19
        )
        assert len(rows(placement, "distances", version="untrained")) == 8


class TestSelection:
    def test_controls_are_made_with_networks_that_passed_all_with_the_same(self, tmp_path):
        """Eight networks, of which the four vanilla ones failed and four are asked for: the GRUs, not every other."""
        atlas, _ = random_atlas(tmp_path / "atlas", measures=["cka"], controls=4, failed=["vanilla"])
        placement = place_recording(atlas, np.random.default_rng(0).normal(size=(120, 5)), shuffles=19)
        for name in ("trained", "untrained", "untrained minus trained", "between trained networks"):
            assert control(placement, name, "recording").n == 4
        assert control(placement, "shifted trials", "recording").value > 0
        assert set(rows(placement, "distances").architecture) == {"gru"}

    def test_what_is_compared_is_of_the_same_networks(self, tmp_path):
        atlas, _ = random_atlas(tmp_path / "atlas", measures=["cka"], controls=5)
        placement = place_recording(atlas, np.random.default_rng(0).normal(size=(120, 5)), shuffles=19)
        away = rows(placement, "distances").pivot(index="network", columns="version", values="distance").dropna()
        assert len(away) == 5
        means = [control(placement, name, "recording").value for name in ("trained", "untrained")]
        np.testing.assert_allclose(means, [away.trained.mean(), away.untrained.mean()])
        levels = rows(placement, "levels", factor="architecture")
        assert levels.n.tolist() == [4, 4]
        assert levels.gain_n.sum() == 5


class TestErrors:
    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"task": "sine_wave"}, AtlasError, "no task 'sine_wave'.* has: flip_flop"),
            (
                {"measures": ["rsb"]},
                AtlasError,
                "has no measure 'rsb'; it has: svcca, cka, procrustes, rsa, cca, pwcca",
            ),
            ({"shuffles": 18}, NetworkError, "shuffles is 18; expected at least 19, for a p of 0.05"),
            ({"recording": {}}, NetworkError, "there is no recording"),
            ({"recording": np.zeros((3, 3))}, NetworkError, "expected the probe's samples of the task flip_flop"),
            ({"recording": "nowhere.npy"}, NetworkError, "cannot read nowhere.npy: No such file"),
        ],
    )
    def test_what_is_wrong_is_said(self, options, error, message, made):
        recording = options.pop("recording", np.ones((120, 2)))
        with pytest.raises(error, match=message):
            place_recording(made[0], recording, **options)

    def test_recordings_of_other_rows_are_placed_one_by_one(self, made):
        random = np.random.default_rng(0)
        recordings = {"whole": random.normal(size=(120, 5)), "means": random.normal(size=(4, 5))}
        with pytest.raises(NetworkError, match="means has other rows than the first recording"):
            place_recording(made[0], recordings)


class TestCommands:
    def test_place_prints_in_80_columns_and_writes_a_folder(self, made, turned, tmp_path, capsys):
        atlas, _ = made
        np.save(tmp_path / "a.npy", turned[1]["noisy"])
        np.save(tmp_path / "b.npy", turned[1]["noisier"])
        arguments = ["place", atlas.path, tmp_path / "a.npy", tmp_path / "b.npy", "--measure", "cka", "--shuffles", 19]
        assert call(*arguments) == 0
        out = capsys.readouterr().out
        assert all(len(line) < 80 for line in out.splitlines() if not line.startswith("page:"))
        assert "a.npy, CKA:" in out
        assert "a small distance does not imply" in " ".join(out.split())
        folder = tmp_path / "a-flip_flop-placement"
        assert f"page: {folder / 'index.html'}" in out
        assert {path.name for path in folder.iterdir()} == {
            "index.html",
            "placement.json",
            *(
                f"{name}.{ending}"
                for name in ("distances", "controls", "levels", "effects", "map", "recordings")
                for ending in ("csv", "parquet")
            ),
        }
        same = pd.read_csv(folder / "distances.csv")
        pd.testing.assert_frame_equal(same, pd.read_parquet(folder / "distances.parquet"), check_exact=False)
        assert call(*arguments) == 0  # an earlier placement is replaced
        assert atlas.verify() == []

    def test_a_folder_of_anything_else_is_never_replaced(self, made, turned, tmp_path):
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "precious").write_text("precious")
        with pytest.raises(NetworkError, match="exists and is no earlier placement"):
            write_folder(turned[2], tmp_path / "mine")
        for path in (made[0].path, made[0].path / "tables"):
            with pytest.raises(NetworkError, match="exists and is no earlier placement"):
                write_folder(turned[2], path)
        assert (tmp_path / "mine" / "precious").read_text() == "precious"

    def test_a_file_of_others_beside_a_placement_is_never_deleted(self, turned, tmp_path):
        write_folder(turned[2], tmp_path / "new")
        (tmp_path / "new" / "notes.txt").write_text("precious")
        write_folder(turned[2], tmp_path / "new")
        assert (tmp_path / "new" / "notes.txt").read_text() == "precious"

    def test_the_usual_folder_is_that_of_one_recording(self, made, turned, tmp_path, capsys):
        """Names may have dots; of two files that differ in their endings alone the second needs a folder of its own."""
        options = ("--measure", "cka", "--shuffles", 19)
        np.save(tmp_path / "monkey.2024.npy", turned[1]["noisy"])
        np.savez(tmp_path / "monkey.2024.npz", turned[1]["noisy"])
        assert call("place", made[0].path, tmp_path / "monkey.2024.npy", *options) == 0
        folder = tmp_path / "monkey.2024-flip_flop-placement"
        assert folder.is_dir()
        capsys.readouterr()
        assert call("place", made[0].path, tmp_path / "monkey.2024.npz", *options) == 8
        assert "is the placement of" in capsys.readouterr().err
        write_folder(turned[2], folder)  # a folder that was named is replaced

    def test_wrong_arguments_end_with_a_message(self, made, tmp_path, capsys):
        np.save(tmp_path / "a.npy", np.zeros((3, 3)))
        assert call("place", made[0].path) == 8
        assert "name at least one recording" in capsys.readouterr().err
        assert call("place", made[0].path, tmp_path / "a.npy") == 8
        assert "expected the probe's samples" in capsys.readouterr().err
        assert call("place", made[0].path, tmp_path / "a.npy", tmp_path / "a.npy") == 8
        assert "two recordings have the same name" in capsys.readouterr().err

    def test_probe(self, made, tmp_path, capsys):
        assert call("probe", made[0].path, tmp_path / "probe.npz") == 0
        assert "120 samples, 10 trials of 12 steps; 4 conditions" in capsys.readouterr().out
        assert call("probe", made[0].path, tmp_path / "probe.npz", "--task", "sine") == 4


class TestPage:
    def test_it_stands_alone_and_runs_only_its_own_scripts(self, turned):
        text = page(turned[2])
        policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text).group(1)
        assert policy.startswith("default-src 'none'; script-src 'sha256-")
        assert "unsafe-inline" not in policy.split(";")[1]
        assert not re.search(r"""(src|href)=["'](?!#)""", text.split("<script>")[0])
        data = json.loads(re.search(r'id="atlas-data">(.*?)</script>', text).group(1))
        assert set(data["plots"]) == {f"{kind}-{place}-cka" for kind in ("map", "strip") for place in range(4)}
        drawn = data["plots"]["map-0-cka"]["data"]
        assert sum(len(trace["x"]) for trace in drawn) == 9
        strips = data["plots"]["strip-0-cka"]["data"]
        assert sum(len(trace["x"]) for trace in strips) == 2 * 8 + 4

    def test_a_cell_of_the_studys_own_looks_as_on_its_report(self, turned):
        placement = turned[2]
        tables = {
            name: table.replace({"architecture": {"gru": "my_cell"}, "level": {"gru": "my_cell"}})
            for name, table in placement.tables.items()
        }
        levels = placement.levels | {"architecture": ("second_cell", "my_cell", "vanilla")}
        text = page(replace(placement, levels=levels, tables=tables))
        look = looks_of_levels(levels)["architecture"]["my_cell"]
        assert f'style="--c:{look.color}"></span>my cell</li>' in text
        data = json.loads(re.search(r'id="atlas-data">(.*?)</script>', text).group(1))
        colors = {trace["marker"]["color"] for trace in data["plots"]["map-0-cka"]["data"]}
        assert colors == {"@ink", ARCHITECTURES["vanilla"].color, look.color}
        assert level_words("architecture", "my_cell") == "my cell"

    def test_names_are_text(self, made):
        name = "<img src=x onerror=alert(1)></script>"
        activity = np.random.default_rng(0).normal(size=(120, 5))
        text = page(place_recording(made[0], {name: activity}, measures=["cka"], shuffles=19))
        assert "<img" not in text
        assert "random <b>" not in text
        assert "random &lt;b&gt;networks" in text
