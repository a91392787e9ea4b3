"""The base features: their inputs against the published ones, their networks against other formulations, the tool."""

import wave
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests import synthetic
from tests.conftest import SHARED
from tests.media_files import cut_short, make_video
from utils import extract_features
from utils.base.errors import InputError
from utils.encoders import load_encoder, vggish, visual
from utils.encoders.vggish import SAMPLE_RATE, Vggish, log_mel, to_16_bit
from utils.encoders.visual import r2plus1d_image, resnet_image
from utils.features.kinds import KINDS
from utils.media.clips import read_audio, read_frames
from utils.media.frames import evenly_spaced, frame_files, read_image

ARCHITECTURES = vggish.ARCHITECTURES | visual.ARCHITECTURES


@pytest.fixture(scope="module")
def rising_tone() -> np.ndarray:
    """The golden sound, (160000,) int16 at 16 kHz."""
    return synthetic.rising_tone()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """kind -> path of random weights of the real architecture."""
    folder = tmp_path_factory.mktemp("weights")

    def path_of(kind: str):
        path = folder / f"{kind}.pt"
        if not path.exists():
            torch.manual_seed(0)
            torch.save(ARCHITECTURES[kind].build().state_dict(), path)
        return path

    return path_of


def write_wav(path, samples: np.ndarray, rate: int = 16000):
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def test_golden_log_mel(golden, rising_tone):
    expected = np.load(golden("features.npz"))["vggish_log_mel"]
    assert np.abs(log_mel(rising_tone) - expected).max() <= 1e-6


@pytest.mark.parametrize(("kind", "name", "step"), [("res152", "res152", 28), ("r2plus1d_18", "r2plus1d", 14)])
def test_golden_pixels(golden, kind, name, step):
    values = np.load(golden("features.npz"))
    files = frame_files(golden_frames(), "BjCEufrlXm4")
    indices = evenly_spaced(len(files), 80)
    assert indices.tolist() == values["frame_indices_80"].tolist()
    network = ARCHITECTURES[kind]
    images = torch.from_numpy(np.stack([network.prepare(read_image(files[i])) for i in indices]))
    normalise = network.normalise()
    pixels = (normalise[0] if kind == "r2plus1d_18" else normalise)(images)
    assert np.abs(pixels[:, :, ::step, ::step] - values[f"{name}_pixels_every_{step}"]).max() <= 1e-4
    mean, std = values[f"{name}_mean_std"]
    assert np.abs(pixels.mean((2, 3)) - mean).max() <= 1e-4
    assert np.abs(pixels.std((2, 3)) - std).max() <= 1e-4


def golden_frames():
    folder = SHARED / "video/frames"
    if not folder.is_dir():
        pytest.skip(f"needs the published frames of a clip, which are not in {folder}")
    return folder


def test_log_mel_by_its_definition(rising_tone):
    """One window of one second, one band at a time, with a Fourier sum written out."""
    second, frame = 3, 57
    start = 16000 * second + 160 * frame
    k, n = np.arange(257), np.arange(400)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * n / 400)  # periodic
    window = rising_tone[start : start + 400] / 32768 * hann
    spectrum = np.abs(np.exp(-2j * np.pi * np.outer(k, n) / 512) @ window)
    mel = 1127 * np.log(1 + 16000 * k / 512 / 700)
    low, high = 1127 * np.log(1 + 125 / 700), 1127 * np.log(1 + 7500 / 700)
    width = (high - low) / 65
    for band in (0, 1, 20, 63):
        centre = low + (band + 1) * width
        heights = np.clip(1 - np.abs(mel - centre) / width, 0, None)  # evenly spaced, so both sides are as steep
        expected = np.log(heights @ spectrum + 0.01)
        assert log_mel(rising_tone)[second, frame, band] == pytest.approx(expected, abs=1e-5)


def test_each_second_of_sound_is_its_own(rising_tone):
    changed = rising_tone.copy()
    changed[4 * 16000 : 5 * 16000] = 0
    same = (log_mel(changed) == log_mel(rising_tone)).all(axis=(1, 2))
    assert same.tolist() == [second != 4 for second in range(10)]


def test_missing_sound_is_silence_and_what_comes_after_ten_seconds_is_not_heard(rising_tone):
    short = log_mel(rising_tone[: 9 * 16000 + 8000])
    assert (short[:9] == log_mel(rising_tone)[:9]).all()
    assert short[9, -1] == pytest.approx(np.log(0.01))
    assert (log_mel(np.concatenate([rising_tone, rising_tone])) == log_mel(rising_tone)).all()


def test_a_16_bit_wav_reaches_the_network_sample_by_sample(rising_tone, tmp_path):
    heard = to_16_bit(read_audio(write_wav(tmp_path / "tone.wav", rising_tone), SAMPLE_RATE))
    assert heard.tolist() == rising_tone.tolist()


def test_full_scale_sound_does_not_wrap():
    assert to_16_bit(np.array([1.0, -1.0, 1.5, -1.5, 0.5])).tolist() == [32767, -32768, 32767, -32768, 16384]


def test_pictures_keep_their_shape_for_resnet_and_lose_it_for_r2plus1d():
    image = np.zeros((100, 400, 3), np.uint8)
    image[:, 200:] = 255  # the right half white
    resnet, r2plus1d = resnet_image(image), r2plus1d_image(image)
    assert resnet.shape == (224, 224, 3) and r2plus1d.shape == (112, 112, 3)
    assert (resnet[:, :108] == 0).all() and (resnet[:, 116:] == 255).all()  # the centre is cut out
    assert (r2plus1d[:, :54] == 0).all() and (r2plus1d[:, 58:] == 255).all()
    image[:, :4] = 255  # the left edge: out of ResNet's sight, in R(2+1)D's
    assert (resnet_image(image) == resnet).all()
    assert (r2plus1d_image(image) != r2plus1d).any()


def test_vggish_has_the_names_of_the_published_weights():
    shapes = {name: tuple(value.shape) for name, value in Vggish().state_dict().items()}
    channels = {0: (64, 1), 3: (128, 64), 6: (256, 128), 8: (256, 256), 11: (512, 256), 13: (512, 512)}
    expected = {f"features.{i}.weight": (*c, 3, 3) for i, c in channels.items()}
    expected |= {f"features.{i}.bias": (c[0],) for i, c in channels.items()}
    linear = {0: (4096, 12288), 2: (4096, 4096), 4: (128, 4096)}
    expected |= {f"embeddings.{i}.weight": s for i, s in linear.items()}
    expected |= {f"embeddings.{i}.bias": s[:1] for i, s in linear.items()}
    assert shapes == expected


@torch.no_grad()
def test_vggish_against_its_layers_written_out(weights, rising_tone):
    """Convolutions as nine shifted products, pools as maxima, and the flattening index by index."""
    state = {name: value.double() for name, value in torch.load(weights("vggish")).items()}
    x = torch.from_numpy(log_mel(rising_tone)[2:3, :, None]).double().permute(0, 1, 3, 2)  # (1, time, frequency, 1)
    for layer in (0, "pool", 3, "pool", 6, 8, "pool", 11, 13, "pool"):
        if layer == "pool":
            x = torch.maximum(x[:, ::2], x[:, 1::2])
            x = torch.maximum(x[:, :, ::2], x[:, :, 1::2])
        else:
            weight, padded = state[f"features.{layer}.weight"], F.pad(x, (0, 0, 1, 1, 1, 1))
            _, time, frequency, _ = x.shape
            shifts = [
                (padded[:, i : i + time, j : j + frequency], weight[:, :, i, j]) for i in range(3) for j in range(3)
            ]
            x = (state[f"features.{layer}.bias"] + sum(part @ w.T for part, w in shifts)).clamp(min=0)
    flat = torch.cat([x[0, time, frequency] for time in range(6) for frequency in range(4)])
    for layer in (0, 2, 4):
        flat = (state[f"embeddings.{layer}.weight"] @ flat + state[f"embeddings.{layer}.bias"]).clamp(min=0)
    found = load_encoder(KINDS["vggish"], weights("vggish")).embed([log_mel(rising_tone)])
    assert found.shape == (1, 10, 128) and found.dtype == np.float32
    assert np.abs(found[0, 2] - flat.numpy()).max() <= 1e-5 * flat.abs().max()
    assert flat.max() > 0


@pytest.mark.parametrize(("kind", "shape"), [("vggish", (10, 128)), ("res152", (80, 2048)), ("r2plus1d_18", (10, 512))])
def test_batched_equals_single(kind, shape, weights, rising_tone):
    network = load_encoder(KINDS[kind], weights(kind))
    rng = np.random.default_rng(0)
    if kind == "vggish":
        contents = [log_mel(rising_tone), log_mel(rising_tone[::-1])]
    else:
        size = {"res152": 64, "r2plus1d_18": 32}[kind]  # smaller pictures than the real ones, for speed
        contents = [rng.integers(0, 256, (80, size, size, 3), dtype=np.uint8) for _ in range(2)]
    together = network.embed(contents)
    assert together.shape == (2, *shape) and together.dtype == np.float32
    for content, features in zip(contents, together, strict=True):
        single = network.embed([content])[0]
        assert np.abs(features - single).max() <= 1e-5 * np.abs(single).max()
    assert np.abs(together[0] - together[1]).max() > 1e-3 * np.abs(together).max()


@torch.no_grad()
@pytest.mark.parametrize("kind", ["res152", "r2plus1d_18"])
def test_features_are_what_torchvisions_classifier_gets(kind, weights):
    images = np.random.default_rng(1).integers(0, 256, (80, 32, 32, 3), dtype=np.uint8)
    features = load_encoder(KINDS[kind], weights(kind)).embed([images])[0]
    whole = ARCHITECTURES[kind].build().eval()
    whole.load_state_dict(torch.load(weights(kind)))
    pixels = ARCHITECTURES[kind].normalise()(torch.from_numpy(images))
    if kind == "r2plus1d_18":  # snippet i is frames 8 i to 8 i + 7
        assert torch.equal(pixels[3, :, 5], ARCHITECTURES[kind].normalise()[0](torch.from_numpy(images))[29])
    seen = []
    whole.fc.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    logits = whole(pixels)
    assert torch.equal(logits, whole.fc(seen[0]))
    assert np.abs(features - seen[0].numpy()).max() <= 1e-5 * np.abs(features).max()


def test_half_precision_stays_close(weights, rising_tone):
    networks = [load_encoder(KINDS["vggish"], weights("vggish"), precision=p) for p in ("fp32", "bf16")]
    full, half = (network.embed([log_mel(rising_tone)]) for network in networks)
    assert half.dtype == np.float32
    assert 0 < np.abs(full - half).max() <= 0.05 * np.abs(full).max()


def test_weights_that_do_not_fit_or_cannot_be_had(weights, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="does not fit res152's network"):
        load_encoder(KINDS["res152"], weights("vggish"))
    with pytest.raises(InputError, match=r"none\.pt: no such file, expected weights of vggish"):
        load_encoder(KINDS["vggish"], tmp_path / "none.pt")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    unreachable = ARCHITECTURES["vggish"]._replace(url="http://127.0.0.1:9/w-10086976.pth")
    monkeypatch.setitem(vggish.ARCHITECTURES, "vggish", unreachable)
    with pytest.raises(InputError, match="cannot be fetched .* give a local copy with --checkpoint FILE"):
        load_encoder(KINDS["vggish"])


def extract(command, kind, *flags):
    return command(extract_features, "--kind", kind, "--gpu", "-1", "--workers", "2", *flags)


def test_all_videos_of_a_folder(command, tmp_path, monkeypatch, weights):
    """VGGish, without a list: names, shapes, restart, and what is wrong with two of five."""
    monkeypatch.chdir(tmp_path)
    make_video(tmp_path / "data/raw_videos/-with_dash1_5_15.mp4")
    make_video(tmp_path / "data/raw_videos/silent.mp4", seconds=1, sound="")
    write_wav(tmp_path / "data/raw_videos/kitchen.WAV", np.arange(5 * 16000) % 1000)
    write_wav(tmp_path / "data/raw_videos/kitchen_longer.wav", np.arange(12 * 16000) % 999)
    cut_short(make_video(tmp_path / "data/raw_videos/cut.mp4"))
    (tmp_path / "data/raw_videos/notes.txt").write_text("no video")

    result = extract(command, "vggish", "--checkpoint", weights("vggish"))
    out = tmp_path / "data/feats/vggish"
    assert result.status == 1 and "vggish: 3 videos done, 0 were finished before, 2 failed" in result.out
    assert sorted(p.name for p in out.glob("*.npy")) == ["-with_dash1.npy", "kitchen.npy", "kitchen_longer.npy"]
    assert {np.load(p).shape for p in out.glob("*.npy")} == {(10, 128)}
    failures = (out / "failures.csv").read_text()
    assert "silent," in failures and "has no audio track" in failures and "cut," in failures
    assert "kitchen_longer lasts 12.0 s" in result.err
    assert "1 videos are shorter than 9 s" in result.err
    again = extract(command, "vggish", "--checkpoint", weights("vggish"))
    assert "0 videos done, 3 were finished before, 2 failed" in again.out


def test_a_new_encoder_is_a_row_and_a_module(command, tmp_path, monkeypatch):
    synthetic.add_stub_encoder(monkeypatch)
    monkeypatch.chdir(tmp_path)
    write_wav(tmp_path / "data/raw_videos/tone.wav", np.arange(10 * 8000) % 500, 8000)
    result = extract(command, "stub")
    assert result.status == 0 and "stub: 1 videos done" in result.out, result.err
    assert np.load("data/feats/stub/tone.npy").shape == (10, 61)


def test_a_list_chooses_the_videos_which_are_seen_from_either_source(command, tmp_path, monkeypatch):
    """R(2+1)D straight from a video and from JPEG frames; the list needs no event names."""
    monkeypatch.chdir(tmp_path)
    synthetic.use_small_networks(monkeypatch)
    torch.save(synthetic.SmallBase("r2plus1d_18").state_dict(), "small.pt")
    for name in ("AAAAAAAAAAA", "BBBBBBBBBBB"):
        make_video(tmp_path / f"videos/{name}.mp4", rate="8", sound="")
    (tmp_path / "list.csv").write_text("filename\nAAAAAAAAAAA\nCCCCCCCCCCC_0_10\n")
    images = read_frames(tmp_path / "videos/AAAAAAAAAAA.mp4", 80)[0]
    (tmp_path / "data/video_frames/AAAAAAAAAAA").mkdir(parents=True)
    files = [tmp_path / f"data/video_frames/AAAAAAAAAAA/{number:06d}.jpg" for number in range(1, 161)]
    for path, image in zip(files, np.repeat(images, 2, axis=0), strict=True):  # 160 frames, of which 80 are taken
        cv2.imwrite(str(path), image[..., ::-1])
    flags = ("--label_all_dataset", "list.csv", "--checkpoint", "small.pt")
    chosen = [read_image(files[i]) for i in np.round(np.linspace(0, 159, 80)).astype(int)]
    network = load_encoder(KINDS["r2plus1d_18"], Path("small.pt"))
    sources = {"a": (("--from_videos", "videos"), images), "b": ((), chosen)}
    for out, (source, seen) in sources.items():
        result = extract(command, "r2plus1d_18", *flags, *source, "--out_dir", out)
        assert result.status == 1 and "1 videos done, 0 were finished before, 1 failed" in result.out
        assert [p.name for p in (tmp_path / out).glob("*.npy")] == ["AAAAAAAAAAA.npy"]
        assert "CCCCCCCCCCC" in (tmp_path / out / "failures.csv").read_text()
        expected = network.embed([np.stack([r2plus1d_image(image) for image in seen])])[0]
        found = np.load(tmp_path / out / "AAAAAAAAAAA.npy")
        assert found.shape == (10, 512) and found.dtype == np.float32
        assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()
        assert np.abs(found[0] - found[5]).max() > 1e-3 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--kind", "vggish", "--from_videos", "v"), "--from_videos: --kind vggish is made of sound, from --audio_dir"),
        (
            ("--kind", "res152", "--audio_dir", "v"),
            "--audio_dir: --kind res152 is made of pictures, from --from_videos",
        ),
        (("--kind", "res152"), "utils/extract_frames.py makes it, or give --from_videos"),
        (("--kind", "vggish", "--audio_dir", "none"), "none: no such folder; expected videos as <id>.mp4"),
        (("--kind", "vggish", "--audio_dir", "empty"), "empty: holds no videos"),
        (("--kind", "vgg"), "invalid choice: 'vgg'"),
        (("--kind", "vggish", "--audio_dir", "empty", "--label_all_dataset", "no.csv"), "no.csv: no such file"),
    ],
)
def test_what_cannot_be_meant(command, tmp_path, monkeypatch, flags, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    result = command(extract_features, *flags)
    assert result.status == 2 and message in result.error
