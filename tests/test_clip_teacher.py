"""The visual teacher: its input, its formats, and its equality with the implementation the published labels used."""

import numpy as np
import pytest
import torch

from tests.conftest import SHARED
from tests.synthetic import SMALL_CLIP, write_openai_archive, write_small_clip
from utils.base import weights
from utils.base.errors import InputError
from utils.encoders import CLIP_MODEL, clip, load_encoder
from utils.encoders.clip import preprocess
from utils.features.kinds import KINDS
from utils.media.frames import evenly_spaced, frame_files, read_image

OPENAI_MEAN, OPENAI_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
CAPTIONS = ["A photo of a dog.", "A photo of people talking.", "A photo of a chicken or a rooster."]


def load(model: str = CLIP_MODEL, **options):
    return load_encoder(KINDS["CLIP"], model=model, **options)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Name of a small CLIP with random weights, and the path of its weights."""
    folder = tmp_path_factory.mktemp("clip") / "small"
    return write_small_clip(folder), folder / "open_clip_pytorch_model.bin"


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (20, 50, 70, 3), dtype=np.uint8)


def test_golden_input(golden):
    values = np.load(golden("clip.npz"))
    files = frame_files(SHARED / "video/frames", "BjCEufrlXm4")
    indices = evenly_spaced(len(files), 10)
    np.testing.assert_array_equal(indices, values["frame_indices"])
    pixels = torch.stack([preprocess(read_image(files[i]), 224, OPENAI_MEAN, OPENAI_STD) for i in indices])
    assert pixels.shape == (10, 3, 224, 224) and pixels.dtype == torch.float32
    np.testing.assert_allclose(pixels[:, :, ::14, ::14], values["pixels_every_14"], atol=1e-5)
    np.testing.assert_allclose(pixels.mean((2, 3)), values["frame_channel_mean"], atol=1e-5)
    np.testing.assert_allclose(pixels.std((2, 3)), values["frame_channel_std"], atol=1e-5)


def test_resizing_is_bilinear_without_antialiasing_by_hand():
    ramp = np.zeros((4, 4, 3), np.uint8)
    ramp[:, :, 0] = [0, 40, 80, 120]
    out = preprocess(ramp, 2, (0, 0, 0), (1, 1, 1))  # output pixel 0 is centred at 0.5: between columns 0 and 1
    np.testing.assert_allclose(out[0], [[20 / 255, 100 / 255]] * 2, atol=1e-6)


def test_equals_transformers_with_the_same_weights(small, images, tmp_path):
    """open_clip and transformers agree, and transformers' weight files load."""
    from transformers import CLIPConfig, CLIPModel

    def tower(width: int, **own) -> dict:
        depth = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_act": "quick_gelu"}
        return own | depth | {"projection_dim": dim, "hidden_size": width, "intermediate_size": 4 * width}

    vision, text, dim = SMALL_CLIP["vision_cfg"], SMALL_CLIP["text_cfg"], SMALL_CLIP["embed_dim"]
    config = CLIPConfig(
        vision_config=tower(vision["width"], image_size=vision["image_size"], patch_size=vision["patch_size"]),
        text_config=tower(text["width"], eos_token_id=49407),
        projection_dim=dim,
        logit_scale_init_value=4.6052,
    )
    torch.manual_seed(1)
    theirs = CLIPModel(config).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():  # far from the small start, so that a difference would show
            if parameter.dim():
                parameter.add_(0.1 * torch.randn(parameter.shape))
    torch.save(theirs.state_dict(), tmp_path / "theirs.bin")
    teacher = load(small[0], checkpoint=tmp_path / "theirs.bin")
    pixels = torch.stack([teacher.preprocess(image) for image in images])
    tokens = teacher.tokenizer(CAPTIONS)
    with torch.no_grad():
        out = theirs(input_ids=tokens, pixel_values=pixels)
    mine, captions = teacher.embed_images(pixels), teacher.embed_captions(CAPTIONS)
    np.testing.assert_allclose(mine, out.image_embeds, atol=1e-5)
    np.testing.assert_allclose(captions, out.text_embeds, atol=1e-5)
    np.testing.assert_allclose(teacher.logits(mine, captions), out.logits_per_image, rtol=1e-5, atol=1e-5)
    assert out.logits_per_image.std() > 1


def test_a_batch_equals_one_video_at_a_time(small, images):
    teacher = load(small[0])
    pixels = torch.stack([teacher.preprocess(image) for image in images])
    batched = teacher.embed_images(pixels)
    np.testing.assert_allclose(batched.norm(dim=-1), 1, atol=1e-6)
    np.testing.assert_allclose(batched, torch.cat([teacher.embed_images(p) for p in pixels.split(10)]), atol=1e-6)


@pytest.mark.parametrize("form", ["plain", "training", "data parallel", "safetensors", "torchscript"])
def test_weight_files_of_every_form_load(form, small, images, tmp_path):
    state = torch.load(small[1], weights_only=True)
    path = tmp_path / "weights.pt"
    if form == "plain":
        torch.save(state, path)
    elif form == "training":
        torch.save({"state_dict": state, "epoch": 3, "lr": np.float64(0.1)}, path)
    elif form == "data parallel":
        torch.save({f"module.{name}": value for name, value in state.items()}, path)
    elif form == "safetensors":
        from safetensors.torch import save_file

        path = path.with_suffix(".safetensors")
        save_file(state, path)
    else:  # as OpenAI publishes its own
        write_openai_archive(path, state)
    expected, teacher = load(small[0]), load(small[0], checkpoint=path)
    pixels = expected.preprocess(images[0])[None]
    assert torch.equal(teacher.embed_images(pixels), expected.embed_images(pixels))
    assert torch.equal(teacher.embed_captions(CAPTIONS), expected.embed_captions(CAPTIONS))


def test_weights_that_do_not_fit_are_refused(small, tmp_path):
    for name, content, text in (
        ("other.pt", {"visual.proj": torch.zeros(3, 3)}, "does not fit the model"),
        ("empty.pt", {}, "holds no state dict"),
        ("list.pt", [1, 2], "holds no state dict"),
    ):
        torch.save(content, tmp_path / name)
        with pytest.raises(InputError, match=text):
            load(small[0], checkpoint=tmp_path / name)
    (tmp_path / "text.pt").write_text("hello")
    (tmp_path / "text.safetensors").write_text("hello")
    for name in ("text.pt", "text.safetensors"):
        with pytest.raises(InputError, match=name):
            load(small[0], checkpoint=tmp_path / name)
    with pytest.raises(InputError, match="no such file"):
        load(small[0], checkpoint=tmp_path / "missing.pt")


class Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (print, ("code from the file was run",))


def test_code_in_a_weight_file_is_not_run(tmp_path, capsys):
    torch.save({"state_dict": {"x": torch.zeros(1)}, "evil": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(InputError, match="not a file of weights"):
        weights.read(tmp_path / "evil.pt")
    assert "was run" not in capsys.readouterr().out


class Runs(torch.nn.Module):
    """Makes a file, or overwrites one, if torch.jit.load reads it."""

    def __init__(self, target):
        super().__init__()
        self.weight, self.target = torch.nn.Parameter(torch.zeros(4)), target

    @torch.jit.export
    def __getstate__(self):
        return (self.weight, self.target, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, str, bool]):
        self.target, self.training = state[1], state[2]
        self.weight = torch.from_file(self.target, True, 4).fill_(1.0)

    def forward(self, x):
        return x


def test_a_torchscript_archive_is_read_without_running_it(small, tmp_path):
    state = torch.load(small[1], weights_only=True)
    write_openai_archive(tmp_path / "openai.pt", state | {"halves": torch.arange(6).half().view(2, 3).T})
    expected = torch.jit.load(tmp_path / "openai.pt").state_dict()
    found = weights.read(tmp_path / "openai.pt")
    assert list(found) == list(expected)
    for name, value in found.items():
        assert value.dtype == expected[name].dtype and value.stride() == expected[name].stride()
        assert torch.equal(value, expected[name])
    torch.jit.script(Runs(str(tmp_path / "target"))).save(tmp_path / "runs.pt")
    torch.jit.load(tmp_path / "runs.pt")
    assert (tmp_path / "target").stat().st_size == 16  # it does what it is for
    (tmp_path / "target").unlink()
    with pytest.raises(InputError, match=r"runs\.pt: .*makes its tensors by code of its own, which is never run"):
        weights.read(tmp_path / "runs.pt")
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("quick_gelu", [True, False])
def test_openais_weights_bring_their_activation(quick_gelu, small, images, tmp_path, capsys):
    """A model of GELU with OpenAI's weights is what a model of QuickGELU is; other weights leave it as it is."""
    state = torch.load(small[1], weights_only=True)
    write_openai_archive(tmp_path / "openai.pt", state)
    model = write_small_clip(tmp_path / "model", quick_gelu=quick_gelu)
    quick, own = load(model, checkpoint=tmp_path / "openai.pt"), load(model, checkpoint=small[1])
    assert capsys.readouterr().err.count("QuickGELU") == (not quick_gelu)
    expected = load(small[0])
    pixels = expected.preprocess(images[0])[None]
    assert torch.equal(quick.embed_images(pixels), expected.embed_images(pixels))
    assert torch.equal(quick.embed_captions(CAPTIONS), expected.embed_captions(CAPTIONS))
    assert torch.equal(own.embed_images(pixels), expected.embed_images(pixels)) == quick_gelu


def flip(path, place: float) -> None:
    """Change a bit of a file."""
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    path.write_bytes(content)


def test_a_flipped_bit_among_the_weights_is_noticed(tmp_path):
    torch.save({"a": torch.zeros(1000)}, tmp_path / "a.pt")
    flip(tmp_path / "a.pt", 0.5)
    with pytest.raises(InputError, match=r"a\.pt: not a file of weights, or damaged.*checksum of a/data/0 differs"):
        weights.read(tmp_path / "a.pt")
    model = write_small_clip(tmp_path / "model")
    flip(tmp_path / "model/open_clip_pytorch_model.bin", 0.3)
    with pytest.raises(
        InputError, match=r"open_clip_pytorch_model\.bin: not a file of weights, .*checksum of .* differs"
    ):
        load(model)


def test_a_file_that_is_listed_as_a_folder_is_refused(tmp_path):
    """Of which torch would read nothing, and take what happens to be in memory."""
    torch.save({"a": torch.zeros(1000)}, tmp_path / "a.pt")
    content = bytearray((tmp_path / "a.pt").read_bytes())
    entry = content.rindex(b"a/data/0") - 46  # in the central directory
    content[entry + 38] |= 0x10
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(InputError, match="it lists a folder"):
        weights.read(tmp_path / "a.pt")


def test_unknown_models_and_weights_are_named():
    with pytest.raises(InputError, match="--model ViT-Q: open_clip knows no such model"):
        load("ViT-Q")
    with pytest.raises(InputError, match="--pretrained nope: open_clip has no such weights of ViT-L-14-quickgelu"):
        load(pretrained="nope")


@pytest.mark.parametrize("tag", ["openai", "laion2b_s34b_b79k"])
def test_a_tags_normalisation_and_activation_are_used(tag, monkeypatch):
    import open_clip

    expected = open_clip.get_pretrained_cfg("ViT-B-32", tag)
    made = {}
    create = open_clip.create_model

    def create_small(model, **kwargs):
        made.update(kwargs)
        return create(model, **kwargs)

    monkeypatch.setattr(open_clip, "create_model", create_small)
    monkeypatch.setattr(clip, "load_weights", lambda model, path: None)
    teacher = load("ViT-B-32", pretrained=tag, checkpoint="copy.pt")
    assert made["force_quick_gelu"] is bool(expected.get("quick_gelu"))
    np.testing.assert_allclose(teacher.mean, expected["mean"])
    kinds = {type(m).__name__ for m in teacher.model.modules()}
    assert ("QuickGELU" in kinds) == bool(expected.get("quick_gelu"))


def test_without_network_one_line_says_what_is_missing():
    with pytest.raises(InputError) as error:
        load()
    text = str(error.value)
    assert "\n" not in text and "timm/vit_large_patch14_clip_224.openai" in text and "--checkpoint FILE" in text


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_low_precision_is_near(precision, small, images):
    exact, low = load(small[0]), load(small[0], precision=precision)
    pixels = torch.stack([exact.preprocess(image) for image in images])
    embedded = low.embed_images(pixels)
    assert embedded.dtype == torch.float32
    np.testing.assert_allclose(embedded, exact.embed_images(pixels), atol=0.03)
    logits = low.logits(embedded, low.embed_captions(CAPTIONS))
    assert logits.dtype == torch.float32
