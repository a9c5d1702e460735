"""The demo's models are real: trained on some digits, measured on others; files as magika sees them."""

from __future__ import annotations

import time

import numpy as np
import pytest
import yaml
from sklearn.datasets import load_digits as load_with_sklearn

from treadle.demo import tenants as tenants_module
from treadle.demo.digits import HELD_OUT, PAGE, PIXELS, load_digits, pages
from treadle.demo.files import FileTypeModel, NoFilesError, UnknownFeaturesError, read_model, sample_files
from treadle.demo.manifests import manifest, write_manifests
from treadle.demo.recipes import INPUT, OUTPUT, Recipe, dense, open_session, train
from treadle.demo.tenants import COPIES, DIGITS, EXAMPLES, PAGES, train_tenants
from treadle_api.tenant import read_tenant


@pytest.fixture(scope="module")
def digits():
    return load_digits(seed=1)


def test_held_out_digits_are_not_trained_on(digits):
    train_digits, held_out = digits
    assert len(held_out.labels) == HELD_OUT
    assert len(train_digits.labels) + HELD_OUT == 1797
    images, labels = pages(held_out, np.random.default_rng(0), 3)
    assert images.shape == (3, PAGE, PIXELS)
    assert labels.shape == (3, PAGE)


def test_the_digits_are_those_that_scikit_learn_loads(digits):
    sklearn = load_with_sklearn()
    known = {(image.tobytes(), label) for image, label in zip(sklearn.data, sklearn.target, strict=True)}
    read = {
        ((images * 16).astype(np.float64).tobytes(), label)
        for part in digits
        for images, label in zip(part.images, part.labels, strict=True)
    }
    assert read == known


def test_tiers_differ_in_accuracy_and_tenants_in_weights(digits):
    medium, small = (train(recipe, *digits, seed=1) for recipe in PAGES[1:])
    other = train(PAGES[2], *digits, seed=2)
    again = train(PAGES[2], *digits, seed=1)
    assert medium.accuracy > small.accuracy + 0.03
    assert small.accuracy > 0.8
    assert again.accuracy == small.accuracy
    assert other.model != small.model
    assert len(other.model) == len(small.model)


@pytest.mark.parametrize("recipe", [PAGES[1], PAGES[2], DIGITS[0]], ids=lambda recipe: recipe.name)
def test_rows_are_independent_and_answers_are_scores_of_ten_digits(digits, recipe):
    session = open_session(train(recipe, *digits, seed=1).model)
    shape = session.get_inputs()[0].shape[1:]
    rows = np.random.default_rng(0).random((3, *shape), np.float32)
    (together,) = session.run([OUTPUT], {INPUT: rows})
    alone = np.concatenate([session.run([OUTPUT], {INPUT: row[None]})[0] for row in rows])
    assert together.shape == (3, *shape[:-1], 10)
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)


def tiny(name):
    return Recipe(name, dense((8,), per_page=name == "page"), ridge=0.01)


@pytest.fixture
def quick(monkeypatch):
    """`train_tenants` with architectures of a moment, and the digits that each training was given, in any order."""
    given = []

    def note(recipe, examples, held_out, seed):
        given.append(({image.tobytes() for image in examples.images}, {image.tobytes() for image in held_out.images}))
        return train(recipe, examples, held_out, seed)

    monkeypatch.setattr(tenants_module, "PAGES", (tiny("page"),))
    monkeypatch.setattr(tenants_module, "DIGITS", (tiny("digit"),))
    monkeypatch.setattr(tenants_module, "train", note)
    return given


def test_each_tenant_learns_from_digits_of_its_own_choice_and_no_held_out_ones(quick, tmp_path):
    told = []
    made = train_tenants(tmp_path, told.append)
    assert [tenant.name for tenant in made] == [f"{family}-{n}" for family in ("pages", "digits") for n in range(1, 9)]
    assert len(told) == len(quick) == 16
    subsets = {frozenset(examples) for examples, _ in quick}
    assert len(subsets) == COPIES, "the pages and the digits reader of one number learn from the same"
    for examples, held_out in quick:
        assert len(examples) > 0.9 * EXAMPLES  # two digits may have the same pixels
        assert len(examples & held_out) < 5
    for family in ("pages", "digits"):
        models = [tenant.tiers[0].model.read_bytes() for tenant in made if tenant.family == family]
        assert len(set(models)) == COPIES
        assert len(set(map(len, models))) == 1


def test_training_ends_when_nobody_waits_for_it_any_more(quick, tmp_path, monkeypatch):
    def stop(_):
        raise KeyboardInterrupt

    def slow(*arguments, **named):
        time.sleep(0.05)
        return noting(*arguments, **named)

    noting = tenants_module.train
    monkeypatch.setattr(tenants_module, "train", slow)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    with pytest.raises(KeyboardInterrupt):
        train_tenants(tmp_path, stop)
    assert len(quick) < 16
    assert list(tmp_path.iterdir()) == []


MODEL = FileTypeModel(None, "bytes", "target_label", ("python", "png"), begin=4, end=3, block=8)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"abcdefgh", [97, 98, 99, 100, 102, 103, 104]),
        (b"  ab", [97, 98, 256, 256, 32, 97, 98]),
        (b"ab \n", [97, 98, 32, 10, 256, 97, 98]),
        (b"abcdefgh" * 3, [97, 98, 99, 100, 102, 103, 104]),
        (b"", [256] * 7),
    ],
)
def test_a_files_features_are_its_two_ends_stripped_and_padded(content, expected):
    assert MODEL.features(content).tolist() == [expected]


def test_files_are_sampled_from_all_kinds_alike(tmp_path):
    for index in range(9):
        (tmp_path / f"{index}.py").write_text("x" * 100)
    (tmp_path / "one.png").write_bytes(b"y" * 100)
    (tmp_path / "tiny.png").write_bytes(b"y")
    (tmp_path / "other.unknown").write_bytes(b"y" * 100)
    samples = sample_files(MODEL, [tmp_path], 4, seed=0)
    assert sorted(samples.labels) == [0, 0, 0, 1]
    with pytest.raises(NoFilesError, match="suffixes"):
        sample_files(MODEL, [tmp_path / "none"], 4, seed=0)


def test_a_model_that_wants_other_features_is_refused(tmp_path):
    config = (
        b'{"beg_size":1,"mid_size":9,"end_size":1,"block_size":4,"padding_token":256,'
        b'"use_inputs_at_offsets":false,"target_labels_space":["c"]}'
    )
    with pytest.raises(UnknownFeaturesError, match="two ends"):
        read_model(tmp_path / "model.onnx", config)


def test_manifests_are_tenants_and_those_of_an_earlier_demo_go(tmp_path, tenants):
    for tier in {tier.model: tier for tenant in tenants for tier in tenant.tiers}:
        (tmp_path / tier).parent.mkdir(exist_ok=True)
        (tmp_path / tier).write_bytes(b"model")
    folder = tmp_path / "tenants"
    folder.mkdir()
    (folder / "stale.yaml").write_text("")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        write_manifests(folder, tenants, pinned="medium")
        automatic = read_tenant(manifest(tenants[0], folder))
    written = {path.stem: read_tenant(yaml.safe_load(path.read_text())) for path in folder.iterdir()}
    assert set(written) == {tenant.name for tenant in tenants}
    assert written["pages-1"].pinned == "medium"
    assert written["digits-1"].pinned is None
    assert automatic.pinned is None
    assert automatic.slo.deadline == pytest.approx(tenants[0].deadline)
    assert [tier.name for tier in automatic.served_tiers] == ["large", "medium", "small"]
