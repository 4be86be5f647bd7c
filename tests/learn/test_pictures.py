"""Folders of images and saved datasets: what is decoded is what the model's own image processor gives."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from growplan.apply import apply
from growplan.checkpoint.verify import verify
from growplan.diagnostics import DiagnosticError
from growplan.learn.corpus import Images
from growplan.learn.forms import fingerprint
from growplan.learn.pictures import Pictures, Resizing
from growplan.learn.reading import read_corpus
from growplan.methods.operator import Recipe
from tests.learn.handmade import bound
from tests.learn.test_operators import plan_of
from tests.tiny import tiny_checkpoint

RECIPE = Recipe(batch=4, tokens=6)


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vit") / "m"
    return tiny_checkpoint("vit", folder, num_channels=3, id2label={0: "cat", 1: "dog", 2: "ant"})


def read(path: Path, source: Path) -> Any:
    return read_corpus(path, source, bound(source), RECIPE, "k")


def picture(size: tuple[int, int], seed: int) -> Any:
    waves = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(waves)


def classes(folder: Path, names: tuple[str, ...] = ("ant", "cat", "dog"), each: int = 5) -> Path:
    """A folder for each class, one of them nested, with something beside the images."""
    for number, name in enumerate(names):
        (folder / name / "more").mkdir(parents=True)
        for i in range(each):
            where = folder / name / ("more" if i == 0 else "")
            picture((30 + i, 24), 10 * number + i).save(where / f"{i}.png")
    if names:
        (folder / names[0] / "notes.txt").write_text("no image")
    return folder


# folders -------------------------------------------------------------------------------------------


def test_a_folder_for_each_class(tmp_path: Path, vit: Path) -> None:
    """Numbers are those of the names in the config; held out and drawn are all, once."""
    corpus = read(classes(tmp_path / "d"), vit)
    assert isinstance(corpus, Images) and corpus.labels.tolist() == [2] * 5 + [0] * 5 + [1] * 5
    assert corpus.facts() == {"images": 15, "held_out": 1}
    batch = corpus.batch(0)
    assert batch.inputs.shape == (4, 3, 20, 20) and -1 <= float(batch.inputs.min()) < float(
        batch.inputs.max()
    )
    assert torch.equal(corpus.batch(0).inputs, batch.inputs)


def test_unknown_names_are_counted_in_order(tmp_path: Path) -> None:
    source = tiny_checkpoint("vit", tmp_path / "m", num_channels=3, num_labels=3)
    assert read(classes(tmp_path / "d"), source).labels.tolist() == [0] * 5 + [1] * 5 + [2] * 5


def test_grey_images_for_one_channel(tmp_path: Path) -> None:
    source = tiny_checkpoint("vit", tmp_path / "m", num_channels=1, num_labels=3)
    batch = read(classes(tmp_path / "d"), source).batch(0)
    assert batch.inputs.shape == (4, 1, 20, 20)


def test_an_image_on_its_side_is_turned(tmp_path: Path, vit: Path) -> None:
    image = picture((30, 24), 0)
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    (tmp_path / "d" / "cat").mkdir(parents=True)
    for name, saved in (("a", exif), ("b", None)):
        image.save(tmp_path / "d" / "cat" / f"{name}.png", **({} if saved is None else {"exif": saved}))
    pixels = read(tmp_path / "d", vit).pixels[[0, 1]]
    turned = np.rot90(pixels[1], -1, (1, 2))
    assert (
        np.abs(pixels[0].astype(int) - turned).mean() < np.abs(pixels[0].astype(int) - pixels[1]).mean() / 2
    )


PROCESSORS: dict[str, tuple[str, dict[str, Any]]] = {
    "vit": ("ViTImageProcessorPil", {"size": {"height": 20, "width": 20}}),
    "bicubic": ("ViTImageProcessorPil", {"size": {"height": 20, "width": 20}, "resample": 3}),
    "deit": (
        "DeiTImageProcessorPil",
        {"size": {"height": 26, "width": 26}, "crop_size": {"height": 20, "width": 20}},
    ),
    "plain": (
        "ViTImageProcessorPil",
        {"size": {"height": 20, "width": 20}, "do_normalize": False, "rescale_factor": 0.01},
    ),
}


@pytest.mark.parametrize("name", PROCESSORS)
def test_the_images_are_those_of_the_processor(name: str, tmp_path: Path) -> None:
    import transformers

    cls, settings = PROCESSORS[name]
    if not hasattr(transformers, cls):
        pytest.skip(f"this transformers has no {cls}")
    processor = getattr(transformers, cls)(**settings)
    source = tiny_checkpoint("vit", tmp_path / "m", num_channels=3, num_labels=3)
    processor.save_pretrained(source)
    corpus = read(classes(tmp_path / "d"), source)
    images = [picture((30 + i, 24), i) for i in (1, 2, 3, 4)]  # of the first class, but for the nested one
    expected = processor(images, return_tensors="pt")["pixel_values"]
    found = corpus._read(torch.tensor([0, 1, 2, 3])).inputs
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


RESIZED: list[tuple[dict[str, Any], Resizing]] = [
    ({}, Resizing(40, sides=(40, 40))),
    ({"size": 224}, Resizing(40, sides=(40, 40))),
    ({"size": {"shortest_edge": 256}, "crop_size": 224, "do_center_crop": True}, Resizing(40, short=45)),
    ({"size": {"shortest_edge": 256}}, Resizing(40, short=40)),
    (
        {"size": {"height": 256, "width": 280}, "crop_size": 224, "do_center_crop": True},
        Resizing(40, sides=(45, 50)),
    ),
    ({"size": 224, "do_resize": False, "resample": 3}, Resizing(40, short=40, filter=3)),
    ({"size": "large", "resample": "best"}, Resizing(40, sides=(40, 40))),
]


@pytest.mark.parametrize(("said", "expected"), RESIZED)
def test_sizes_follow_the_model(said: Mapping[str, Any], expected: Resizing) -> None:
    assert Resizing.of(said, 40) == expected
    assert expected(picture((90, 61), 0)).size == (40, 40)


def test_the_hash_of_a_folder_is_that_of_its_files(tmp_path: Path) -> None:
    classes(tmp_path / "d")
    first = fingerprint(tmp_path / "d")
    assert fingerprint(tmp_path / "d") == first
    (tmp_path / "d" / "ant" / "1.png").rename(tmp_path / "d" / "cat" / "9.png")
    assert fingerprint(tmp_path / "d") != first


def test_from_plan_to_checkpoint(tmp_path: Path) -> None:
    tiny_checkpoint("vit", tmp_path / "m", num_channels=3, num_labels=3)
    classes(tmp_path / "images")
    line = "grow hidden 48→64, heads 6→8, depth 2→3 via ligo on images for 10 steps"
    result = apply(plan_of(tmp_path, line, options=", lr 0.01, batch 8, warmup 2"), stock=True)
    assert result.fitted[0].counts == {"images": 15, "held_out": 1}
    assert [d.code for d in result.findings] in (["GP560"], ["GP536", "GP560"])  # one image is held out
    assert not verify(tmp_path / "g")


# mistakes ------------------------------------------------------------------------------------------


def test_folders_that_are_no_classes_are_told(tmp_path: Path, vit: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DiagnosticError, match=r"GP522.*neither folders of images nor a dataset"):
        read(tmp_path / "empty", vit)
    for split in ("train", "test"):
        classes(tmp_path / "splits" / split)
    with pytest.raises(DiagnosticError, match=r"GP522.*holds test, train, which are no classes") as caught:
        read(tmp_path / "splits", vit)
    assert str(tmp_path / "splits" / "test") in caught.value.diagnostics[0].help[0]
    (classes(tmp_path / "d") / "dog" / "more" / "0.png").rename(tmp_path / "kept.png")
    for file in (tmp_path / "d" / "dog").glob("*.png"):
        file.unlink()
    with pytest.raises(DiagnosticError, match=r"GP522.*dog holds no image"):
        read(tmp_path / "d", vit)


@pytest.mark.parametrize("names", [("ant", "cat", "bee"), ("a", "b", "c", "d")])
def test_classes_that_the_model_does_not_know_are_told(
    names: tuple[str, ...], tmp_path: Path, vit: Path
) -> None:
    with pytest.raises(DiagnosticError, match=r"GP558.*classes, '(bee|a)' among them, and the model 3"):
        read(classes(tmp_path / "d", names), vit)


def test_a_damaged_image_is_told_by_its_name(tmp_path: Path, vit: Path) -> None:
    file = classes(tmp_path / "d", each=2) / "ant" / "1.png"
    file.write_bytes(file.read_bytes()[:200])
    corpus = read(tmp_path / "d", vit)
    with pytest.raises(DiagnosticError, match=r"GP562.*ant/1.png cannot be decoded"):
        corpus.pixels[range(6)]


def test_sixteen_bits_are_refused(tmp_path: Path, vit: Path) -> None:
    file = classes(tmp_path / "d", each=2) / "ant" / "1.png"
    Image.fromarray(np.full((20, 20), 40_000, np.uint16)).save(file)
    with pytest.raises(DiagnosticError, match=r"GP562.*of more than 8 bits"):
        read(tmp_path / "d", vit).pixels[range(6)]


def test_two_channels_are_not_decoded(tmp_path: Path) -> None:
    source = tiny_checkpoint("vit", tmp_path / "m", num_labels=3)
    with pytest.raises(DiagnosticError, match=r"GP522.*have 1 or 3 channels, and the model reads 2"):
        read(classes(tmp_path / "d"), source)


def test_a_text_model_reads_no_folder(tmp_path: Path) -> None:
    source = tiny_checkpoint("gpt2", tmp_path / "m", vocab_size=256)
    with pytest.raises(DiagnosticError, match=r"GP522.*holds images, and the model reads token ids"):
        read(classes(tmp_path / "d"), source)


@pytest.mark.parametrize(("package", "install"), [("PIL", "pillow"), ("datasets", "datasets")])
def test_a_missing_package_is_named(
    package: str, install: str, tmp_path: Path, vit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("d/ant", "d/cat", "d/dog", "s"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("state.json", "dataset_info.json"):
        (tmp_path / "s" / name).write_text("{}")
    monkeypatch.setitem(sys.modules, package, None)
    if package == "datasets":
        monkeypatch.setitem(sys.modules, "PIL", sys)  # as if it were there
    with pytest.raises(DiagnosticError, match=f"GP559.*`{install}` is not installed") as caught:
        read(tmp_path / ("d" if package == "PIL" else "s"), vit)
    assert "growplan[data]" in caught.value.diagnostics[0].help[0]


# saved datasets ------------------------------------------------------------------------------------


def save(columns: Mapping[str, Any], path: Path, **features: Any) -> Path:
    made = datasets.Dataset.from_dict(dict(columns))
    for name, feature in features.items():
        made = made.cast_column(name, feature)
    made.save_to_disk(str(path))
    return path


def test_a_saved_dataset_of_texts_and_ids(tmp_path: Path) -> None:
    source = tiny_checkpoint("gpt2", tmp_path / "m", vocab_size=256, eos_token_id=0)
    texts = [f"line {i}" for i in range(9)]
    found = read(save({"text": texts, "other": list(range(9))}, tmp_path / "s"), source)
    assert found.ids.tolist() == [token for text in texts for token in (*text.encode(), 0)]
    ids = [[i, i, i] for i in range(50)]
    assert read(save({"input_ids": ids}, tmp_path / "t"), source).ids.tolist() == [i // 3 for i in range(150)]


def test_a_saved_dataset_of_labels(tmp_path: Path) -> None:
    source = tiny_checkpoint(
        "bert", tmp_path / "m", architecture="BertForSequenceClassification", num_labels=3
    )
    found = read(save({"input_ids": [[5, 6], [7]], "label": [2, 0]}, tmp_path / "s"), source)
    assert list(found.targets) == [2, 0]
    with pytest.raises(DiagnosticError, match=r"GP558.*row 0, has no label"):
        read(save({"input_ids": [[5, 6], [7]]}, tmp_path / "t"), source)


def test_named_labels_of_a_dataset_are_the_models(tmp_path: Path) -> None:
    """By name where the config knows the names, whatever their numbers there; else as they are."""
    architecture = "BertForSequenceClassification"
    names = {0: "no", 1: "yes", 2: "maybe"}
    source = tiny_checkpoint("bert", tmp_path / "m", architecture=architecture, id2label=names)
    columns = {"input_ids": [[5, 6], [7]], "label": [0, 1]}
    known = save(columns, tmp_path / "s", label=datasets.ClassLabel(names=["maybe", "no"]))
    assert list(read(known, source).targets) == [2, 0]
    strange = save(columns, tmp_path / "t", label=datasets.ClassLabel(names=["good", "bad"]))
    assert list(read(strange, source).targets) == [0, 1]


def test_a_saved_dataset_of_images(tmp_path: Path, vit: Path) -> None:
    files = sorted(classes(tmp_path / "d").rglob("*.png"))
    names = ["dog", "cat", "ant"]  # other numbers than the model's
    columns = {
        "image": [str(f) for f in files],
        "label": [names.index(f.relative_to(tmp_path / "d").parts[0]) for f in files],
    }
    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=names)}
    corpus = read(save(columns, tmp_path / "s", **features), vit)
    folder = read(tmp_path / "d", vit)
    assert sorted(corpus.labels.tolist()) == sorted(folder.labels.tolist())
    assert corpus.labels.tolist()[:5] == [2] * 5  # ant
    assert isinstance(corpus.pixels, Pictures) and corpus.batch(0).inputs.shape == (4, 3, 20, 20)
    with pytest.raises(DiagnosticError, match=r"GP522.*has the columns image"):
        read(save({"image": columns["image"]}, tmp_path / "t", image=datasets.Image()), vit)


def test_splits_of_a_dataset_are_named(tmp_path: Path, vit: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / "s" / split).mkdir(parents=True)
        (tmp_path / "s" / split / "state.json").write_text("{}")
    (tmp_path / "s" / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    with pytest.raises(DiagnosticError, match=r"GP522.*holds test, train"):
        read(tmp_path / "s", vit)


def test_a_broken_dataset_is_told(tmp_path: Path) -> None:
    source = tiny_checkpoint("gpt2", tmp_path / "m", vocab_size=256)
    path = save({"text": ["a" * 99]}, tmp_path / "s")
    for file in path.glob("*.arrow"):
        file.write_bytes(b"torn")
    with pytest.raises(DiagnosticError, match=r"GP522.*cannot be loaded"):
        read(path, source)
