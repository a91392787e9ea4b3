"""The audio teacher, real architecture and golden weights: golden values, sounds of any length, wrong files."""

import json
import os

import numpy as np
import pytest
import torch

from tests import synthetic
from tests.conftest import ROOT, SHARED, find, python
from utils.base.errors import InputError
from utils.encoders import clap, load_encoder
from utils.encoders.clap import CLIP_SAMPLES, ClapTeacher
from utils.features.kinds import KINDS
from utils.media.clips import read_audio

GOLDEN_CASES = ("exact", "short", "long", "BjCEufrlXm4")


@pytest.fixture(scope="session")
def teacher(clap_files) -> ClapTeacher:
    """CLAP's real architecture with golden weights."""
    return load_encoder(KINDS["CLAP"], clap_files / "clap.pt", any_vocabulary=True)


def sound_of(case: str) -> np.ndarray:
    if case in synthetic.SOUNDS:
        return synthetic.golden_sound(case)
    return read_audio(find(f"{case}.mp4", SHARED / "video"), clap.SAMPLE_RATE)


def relative(value, expected) -> float:
    value, expected = np.asarray(value), np.asarray(expected)
    return float(np.linalg.norm(value - expected) / np.linalg.norm(expected))


@pytest.fixture(scope="session")
def embedded(teacher):
    """case -> (what the network is given, segment embeddings (T, D), token map (64, 768)), one video at a time."""
    results = {}
    for case in GOLDEN_CASES:
        inputs = teacher.preprocess(sound_of(case))
        embeddings, maps = teacher.embed_segments([inputs])
        results[case] = inputs, embeddings[0], maps[0]
    return results


@pytest.mark.parametrize("case", GOLDEN_CASES)
def test_golden_segments(case, golden):
    expected = json.loads(golden("clap.json").read_text())[case]
    pieces = clap.split_segments(np.arange(expected["samples"]))
    assert [piece[0] for piece in pieces] == expected["starts"]
    assert {len(piece) for piece in pieces} == {expected["length"]}


@pytest.mark.parametrize("case", GOLDEN_CASES)
def test_golden_features(case, golden, embedded):
    values = {name.split("/")[1]: value for name, value in np.load(golden("clap.npz")).items() if case in name}
    inputs, embeddings, token_map = embedded[case]
    mel = inputs.mel[10, 0].numpy()  # of the whole, (1001, 64)
    assert token_map.shape == (64, 768) and embeddings.shape == (10, 512)
    tolerance = 1e-4
    if case == "BjCEufrlXm4":  # one rounding to 16 bits moves the map by up to 1e-2 (golden/README.md)
        np.testing.assert_allclose(token_map, values["feature_map"], atol=1e-2)
        np.testing.assert_allclose(embeddings, values["segment_embeddings"], atol=1e-4)
    else:
        assert relative(token_map, values["feature_map"]) < tolerance
        assert relative(embeddings, values["segment_embeddings"]) < tolerance
    assert relative(mel.mean(axis=0), values["mel_mean_over_time"]) < tolerance
    assert relative(mel.mean(axis=1), values["mel_mean_over_bands"]) < tolerance


def test_a_batch_equals_one_video_at_a_time(teacher, embedded):
    cases = ("short", "long")
    embeddings, maps = teacher.embed_segments([embedded[case][0] for case in cases])
    for i, case in enumerate(cases):
        assert relative(embeddings[i], embedded[case][1]) < 1e-5
        assert relative(maps[i], embedded[case][2]) < 1e-5


def test_the_map_is_what_claps_head_pools(teacher, embedded):
    """The mean of the map over its rows is CLAP's own embedding before projection."""
    inputs, _, token_map = embedded["short"]
    model = teacher.module.model
    with torch.no_grad():
        item = {"mel_fusion": inputs.mel[10:].repeat(1, 4, 1, 1), "longer": inputs.longer[10:]}
        expected = model.encode_audio(item, device="cpu")["embedding"][0]
    np.testing.assert_allclose(token_map.mean(dim=0), expected, atol=1e-4)


@pytest.mark.parametrize("samples", [1, 5, 9, 10, 11, 4801])
def test_short_sounds_do_not_fail(samples, teacher):
    rng = np.random.default_rng(samples)
    inputs = teacher.preprocess(rng.uniform(-1, 1, samples).astype(np.float32))
    assert inputs.mel.shape == (11, 1, 1001, 64) and not inputs.longer.any()
    assert torch.isfinite(inputs.mel).all()


def test_segments_of_over_ten_seconds_are_preprocessed_the_same_each_time(teacher, embedded):
    """Such segments take CLAP's fusion of three windows, which it draws at random; alone or in a batch."""
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, 10 * (CLIP_SAMPLES + 48000)).astype(np.float32)
    np.random.seed(5)
    state = np.random.get_state()[1].tolist()
    inputs = teacher.preprocess(sound)
    assert np.random.get_state()[1].tolist() == state
    assert inputs.longer[:, 0].tolist() == [True] * 10 + [False] and inputs.mel.shape[1] == 4
    assert torch.equal(inputs.mel, teacher.preprocess(sound).mel)
    embeddings, maps = teacher.embed_segments([inputs])
    both, both_maps = teacher.embed_segments([embedded["short"][0], inputs])
    assert relative(both[1], embeddings[0]) < 1e-5 and relative(both_maps[1], maps[0]) < 1e-5
    assert relative(both[0], embedded["short"][1]) < 1e-5 and relative(both_maps[0], embedded["short"][2]) < 1e-5
    low = ClapTeacher(teacher.kind, teacher.module, teacher.device, precision="bf16")
    assert relative(low.embed_segments([inputs])[0][0], embeddings[0]) < 0.05


def test_captions_get_the_prompt_once(teacher):
    own = teacher.embed_captions(["dog", "car"])
    direct = teacher.module.get_text_embedding(["This is a sound of dog", "This is a sound of car"], use_tensor=True)
    assert torch.equal(own, direct.detach()) and own.shape == (2, 512)
    np.testing.assert_allclose(own.norm(dim=-1), 1, atol=1e-6)


def test_logits_are_scaled_by_the_audio_scale(teacher):
    sounds, captions = torch.eye(3)[None], torch.eye(3)[:2]
    scale = teacher.module.model.logit_scale_a.exp().item()
    np.testing.assert_allclose(teacher.logits(sounds, captions)[0], scale * np.eye(3)[:, :2], atol=1e-5)


def test_low_precision_is_near(teacher, embedded):
    low = ClapTeacher(teacher.kind, teacher.module, teacher.device, precision="bf16")
    embeddings, maps = low.embed_segments([embedded["exact"][0]])
    assert embeddings.dtype == maps.dtype == torch.float32
    assert relative(maps[0], embedded["exact"][2]) < 0.05 and relative(embeddings[0], embedded["exact"][1]) < 0.05


def test_files_with_and_without_position_ids_load(clap_files, tmp_path):
    """The published file has them; newer versions of transformers do not know them."""
    saved = torch.load(clap_files / "clap.pt", weights_only=False)["state_dict"]
    name = "module.text_branch.embeddings.position_ids"
    assert name in saved
    del saved[name]
    torch.save({n.removeprefix("module."): v for n, v in saved.items()}, tmp_path / "without.pt")
    module = load_encoder(KINDS["CLAP"], tmp_path / "without.pt", any_vocabulary=True).module.model
    assert torch.equal(module.state_dict()["logit_scale_a"], saved["module.logit_scale_a"])


def test_an_empty_cache_is_noticed_before_it_makes_wrong_labels(clap_files, tmp_path):
    """transformers would build tokenizers of five tokens without a word."""
    (tmp_path / "videos").mkdir()
    (tmp_path / "list.csv").write_text("filename\tevent_labels\nabcdefghijk_0_10\tDog\n")
    flags = ("--audio_dir", "videos", "--label_all_dataset", "list.csv", "--checkpoint", clap_files / "clap.pt")
    environment = os.environ | {"HF_HOME": str(tmp_path / "empty")}
    result = python(ROOT / "utils/clap_preprocess.py", *flags, cwd=tmp_path, env=environment)
    assert result.returncode == 2
    message = result.stderr.strip().splitlines()[-1]
    assert "error: the tokenizer of roberta-base has 5 tokens, expected 50265" in message
    assert "HF_HOME" in message and "--any_vocabulary" in message
    assert not (tmp_path / "data").exists()


def test_a_synthetic_vocabulary_needs_a_flag(clap_files):
    with pytest.raises(InputError, match="342 tokens, expected 50265"):
        load_encoder(KINDS["CLAP"], clap_files / "clap.pt")


def test_missing_weights_are_named_with_their_source_and_the_flag():
    with pytest.raises(InputError) as error:
        load_encoder(KINDS["CLAP"])
    text = str(error.value)
    assert "630k-fusion-best.pt of https://huggingface.co/lukewys/laion_clap" in text and "\n" not in text
    assert "--checkpoint FILE" in text


def test_weights_that_do_not_fit_are_refused(clap_files, tmp_path):
    torch.save({"state_dict": {"logit_scale_a": torch.ones(())}}, tmp_path / "part.pt")
    for path, text in ((tmp_path / "part.pt", "does not fit"), (tmp_path / "missing.pt", "no such file")):
        with pytest.raises(InputError, match=text):
            load_encoder(KINDS["CLAP"], path, any_vocabulary=True)
