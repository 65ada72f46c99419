"""Small voices with the inputs, outputs and metadata of real ones, so that the real loading code runs on them.

A voice gives for each token a tone of ``HOP`` samples whose pitch is the token's and whose level is the speaker's.
"""

import json

import numpy as np

from support.onnx_files import FLOAT, INT64, save

HOP = 1024
IPA = "_^$ !'(),-.:;?abcdefghijklmnopqrstuvwxyzæçðøħŋœɐɑɒɔəɚɛɜɡɪɹɾʃʊʌʒʔʤʧˈˌːθAIOWYTᵊ"


def _tones(tokens, level, rank):
    """Nodes that turn ``tokens`` into ``sound`` of ``rank`` dimensions: a tone for each, at ``level``."""
    return [
        ("Cast", [tokens], ["number"], {"to": FLOAT}),
        ("Reshape", ["number", "column"], ["numbers"]),
        ("Mul", ["numbers", "phase"], ["phases"]),
        ("Sin", ["phases"], ["tones"]),
        ("Mul", ["tones", level], ["louder"]),
        ("Reshape", ["louder", "flat"], ["sound"]),
    ], {
        "column": np.array([-1, 1]),
        "phase": (2 * np.pi * np.arange(1, HOP + 1) / HOP).astype(np.float32).reshape(1, HOP),
        "flat": np.array([1] * (rank - 1) + [-1]),
    }


def _tokens(path):
    path.write_text("".join(f"{symbol} {number}\n" for number, symbol in enumerate(IPA)), encoding="utf-8")


def piper(folder, *, speakers=1, voice="en-us", **changed):
    """A VITS voice as Piper exports it; with several speakers, speaker n is at level (n + 1) / 10."""
    folder.mkdir(parents=True, exist_ok=True)
    inputs = [("input", INT64, [1, "n"]), ("input_lengths", INT64, [1]), ("scales", FLOAT, [3])]
    nodes, constants = _tones("input", "level", 4)
    if speakers > 1:
        inputs.append(("sid", INT64, [1]))
        nodes = [
            ("Cast", ["sid"], ["s"], {"to": FLOAT}),
            ("Add", ["s", "one"], ["t"]),
            ("Div", ["t", "ten"], ["level"]),
            *nodes,
        ]
        constants |= {"one": np.float32(1), "ten": np.float32(10)}
    else:
        constants |= {"level": np.float32(0.5)}
    metadata = {"model_type": "vits", "comment": "piper", "language": "English", "voice": voice, "has_espeak": 1}
    metadata |= {"n_speakers": speakers, "sample_rate": 22_050, **changed}
    nodes = [*nodes, ("Gather", ["scales", "second"], ["length_scale"]), *_stretched("sound", "length_scale", 4)]
    constants |= {"second": np.array([1]), "unit": np.ones(3, np.float32)}
    save(folder / "voice.onnx", inputs, nodes, [("output", FLOAT, [1, 1, 1, "t"])], constants,
         **{name: value for name, value in metadata.items() if value is not None})  # fmt: skip
    _tokens(folder / "tokens.txt")
    (folder / "espeak-ng-data").mkdir(exist_ok=True)
    return folder


def _stretched(sound, factor, rank):
    """Nodes that make ``output`` of ``sound``: ``factor`` times as long."""
    assert rank == 4
    return [
        ("Concat", ["unit", factor], ["scales_of_sound"], {"axis": 0}),
        ("Resize", [sound, "", "scales_of_sound"], ["output"], {"mode": "nearest"}),
    ]


def kokoro(folder, *, speakers=3, lexicon=True, **changed):
    """A Kokoro voice; the style of speaker n is n everywhere, which is its level in tenths, plus one."""
    folder.mkdir(parents=True, exist_ok=True)
    inputs = [("tokens", INT64, [1, "n"]), ("style", FLOAT, [1, 256]), ("speed", FLOAT, [1])]
    nodes, constants = _tones("tokens", "level", 3)
    nodes = [
        ("ReduceMean", ["style"], ["mean"], {"axes": [0, 1], "keepdims": 0}),
        ("Add", ["mean", "one"], ["raised"]),
        ("Div", ["raised", "ten"], ["level"]),
        *nodes,
        ("Div", ["oneone", "speed"], ["stretch"]),
        ("Concat", ["unit", "stretch"], ["scales_of_sound"], {"axis": 0}),
        ("Resize", ["sound", "", "scales_of_sound"], ["long"], {"mode": "nearest"}),
        ("Reshape", ["long", "line"], ["audio"]),
    ]
    constants |= {"one": np.float32(1), "ten": np.float32(10), "oneone": np.ones(1, np.float32)}
    constants |= {"unit": np.ones(2, np.float32), "line": np.array([-1])}
    metadata = {"model_type": "kokoro", "language": "multi-lang, e.g., English, Chinese", "voice": "en-us"}
    metadata |= {"has_espeak": 1, "sample_rate": 24_000, "version": 2, "style_dim": "510,1,256", "n_speakers": speakers}
    metadata |= {"speaker_names": ",".join("abcdefgh"[:speakers]), "max_token_len": 510, **changed}
    save(folder / "model.onnx", inputs, nodes, [("audio", FLOAT, ["t"])], constants,
         **{name: value for name, value in metadata.items() if value is not None})  # fmt: skip
    np.repeat(np.arange(speakers, dtype=np.float32), 510 * 256).tofile(folder / "voices.bin")
    _tokens(folder / "tokens.txt")
    (folder / "espeak-ng-data").mkdir(exist_ok=True)
    if lexicon:
        (folder / "lexicon-us-en.txt").write_text("hello h ə l\n", encoding="utf-8")
        (folder / "lexicon-zh.txt").write_text("你 n i\n好 h a\n", encoding="utf-8")
    return folder


def matcha(folder, **changed):
    """A Matcha voice with a HiFi-GAN vocoder: the acoustic model gives a row for each token, the vocoder its tone."""
    folder.mkdir(parents=True, exist_ok=True)
    inputs = [
        ("x", INT64, [1, "n"]),
        ("x_length", INT64, [1]),
        ("noise_scale", FLOAT, [1]),
        ("length_scale", FLOAT, [1]),
    ]
    nodes = [
        ("Cast", ["x"], ["f"], {"to": FLOAT}),
        ("Unsqueeze", ["f", "row"], ["g"]),
        ("Expand", ["g", "wide"], ["h"]),
        ("Concat", ["unit", "length_scale"], ["scales"], {"axis": 0}),
        ("Resize", ["h", "", "scales"], ["mel"], {"mode": "linear"}),
    ]
    constants = {"row": np.array([1]), "wide": np.array([1, 80, 1]), "unit": np.ones(2, np.float32)}
    metadata = {"model_type": "matcha-tts", "language": "English", "voice": "en-us", "has_espeak": 1, "jieba": 0}
    metadata |= {"n_speakers": 1, "sample_rate": 22_050, "version": 1, "pad_id": 0, "use_eos_bos": 1, **changed}
    save(folder / "model-steps-3.onnx", inputs, nodes, [("mel", FLOAT, [1, 80, "t"])], constants,
         **{name: value for name, value in metadata.items() if value is not None})  # fmt: skip
    nodes, constants = _tones("pitch", "level", 2)
    nodes = [("Gather", ["mel", "first"], ["pitch"], {"axis": 1}), *nodes, ("Identity", ["sound"], ["audio"])]
    constants |= {"first": np.array([0]), "level": np.float32(0.5)}
    save(folder / "hifigan_v2.onnx", [("mel", FLOAT, [1, 80, "t"])], nodes, [("audio", FLOAT, [1, "s"])], constants,
         model_type="hifigan")  # fmt: skip
    _tokens(folder / "tokens.txt")
    (folder / "espeak-ng-data").mkdir(exist_ok=True)
    return folder


SUPERTONIC_STYLES = [f"{sex}{number}" for sex in "FM" for number in range(1, 6)]


def supertonic(folder, *, own_files=False, dimension=1):
    """A Supertonic voice: 1/25 s for each character, at the level of the style: (n + 1) / 20 for the n-th of ten.

    With ``own_files`` in the form that Supertonic publishes, as JSON; else in that of sherpa-onnx.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chunk, rate = 1024, 44_100
    config = {"ae": {"sample_rate": rate, "base_chunk_size": chunk // 4}}
    config |= {"ttl": {"chunk_compress_factor": 4, "latent_dim": dimension}}
    (folder / "tts.json").write_text(json.dumps(config))
    text = [("text_ids", INT64, [1, "n"]), ("text_mask", FLOAT, [1, 1, "n"])]
    end = "" if own_files else ".int8"
    nodes = [
        ("ReduceSum", ["text_mask"], ["count"], {"keepdims": 0}),
        ("ReduceMean", ["style_dp"], ["a_character"], {"keepdims": 0}),
        ("Mul", ["count", "a_character"], ["seconds"]),
        ("Reshape", ["seconds", "flat"], ["duration"]),
    ]
    save(folder / f"duration_predictor{end}.onnx", [text[0], ("style_dp", FLOAT, [1, 2, 2]), text[1]], nodes,
         [("duration", FLOAT, [1])], {"flat": np.array([1])})  # fmt: skip
    save(folder / f"text_encoder{end}.onnx", [text[0], ("style_ttl", FLOAT, [1, 2, 3]), text[1]],
         [("Identity", ["text_mask"], ["text_emb"])], [("text_emb", FLOAT, [1, 1, "n"])])  # fmt: skip
    latent = 4 * dimension
    inputs = [("noisy_latent", FLOAT, [1, latent, "l"]), ("text_emb", FLOAT, [1, 1, "n"])]
    inputs += [("style_ttl", FLOAT, [1, 2, 3]), ("latent_mask", FLOAT, [1, 1, "l"]), text[1]]
    inputs += [("current_step", FLOAT, [1]), ("total_step", FLOAT, [1])]
    nodes = [  # the n-th of so many steps gives an n-th of the level
        ("ReduceMean", ["style_ttl"], ["level"], {"keepdims": 0}),
        ("Add", ["current_step", "one"], ["ordinal"]),
        ("Div", ["ordinal", "total_step"], ["share"]),
        ("Mul", ["level", "share"], ["so_far"]),
        ("Mul", ["noisy_latent", "zero"], ["nothing"]),
        ("Add", ["nothing", "so_far"], ["denoised_latent"]),
    ]
    save(folder / f"vector_estimator{end}.onnx", inputs, nodes, [("denoised_latent", FLOAT, [1, latent, "l"])],
         {"one": np.float32(1), "zero": np.float32(0)})  # fmt: skip
    nodes = [
        ("ReduceMean", ["latent"], ["mean"], {"axes": [1], "keepdims": 0}),
        ("Reshape", ["mean", "column"], ["levels"]),
        ("Mul", ["levels", "wave"], ["sound"]),
        ("Reshape", ["sound", "line"], ["wav_tts"]),
    ]
    wave = np.sin(2 * np.pi * np.arange(chunk) / 64).astype(np.float32).reshape(1, chunk)
    save(folder / f"vocoder{end}.onnx", [("latent", FLOAT, [1, latent, "l"])], nodes, [("wav_tts", FLOAT, [1, "s"])],
         {"column": np.array([-1, 1]), "line": np.array([1, -1]), "wave": wave})  # fmt: skip
    numbers = list(range(0x3000))
    styles = [np.full((1, 2, 3), (n + 1) / 20, np.float32) for n in range(10)]
    durations = np.full((1, 2, 2), 1 / 25, np.float32)
    if not own_files:
        np.array(numbers, "<i4").tofile(folder / "unicode_indexer.bin")
        shapes = np.array([10, 2, 3, 10, 2, 2], "<i8").tobytes()
        (folder / "voice.bin").write_bytes(shapes + np.concatenate(styles).tobytes() + durations.tobytes() * 10)
        return folder
    (folder / "unicode_indexer.json").write_text(json.dumps(numbers))
    (folder / "voice_styles").mkdir(exist_ok=True)
    for name, style in zip(SUPERTONIC_STYLES, styles, strict=True):
        parts = {"style_ttl": style, "style_dp": durations}
        given = {key: {"data": part.tolist(), "dims": list(part.shape)} for key, part in parts.items()}
        (folder / "voice_styles" / f"{name}.json").write_text(json.dumps(given))
    return folder


POCKET_FRAME = 1920


def pocket(folder, *, end=".int8", louder=1.0, deaf=False):
    """A Pocket TTS voice: a frame for each letter, as loud as the recording it imitates, times ``louder``.

    With ``deaf`` it never finds the end of a text.
    """
    folder.mkdir(parents=True, exist_ok=True)
    letters = ["▁", *(chr(code) for code in range(33, 127)), *(f"<0x{byte:02X}>" for byte in range(256))]
    (folder / "vocab.json").write_text(json.dumps({letter: number for number, letter in enumerate(letters)}))
    (folder / "token_scores.json").write_text(json.dumps(dict.fromkeys(letters, -1.0)))
    wide = {"wide": np.array([1, 1, 1024])}
    nodes = [
        ("ReduceMax", ["audio"], ["peak"], {"keepdims": 0}),
        ("Mul", ["peak", "louder"], ["level"]),
        ("Expand", ["level", "wide"], ["voice"]),
    ]
    save(folder / "encoder.onnx", [("audio", FLOAT, [1, 1, "n"])], nodes, [("voice", FLOAT, [1, "t", 1024])],
         wide | {"louder": np.float32(louder)})  # fmt: skip
    nodes = [
        ("Cast", ["ids"], ["numbers"], {"to": FLOAT}),
        ("Unsqueeze", ["numbers", "last"], ["column"]),
        ("Mul", ["column", "zeros"], ["text"]),
    ]
    save(folder / "text_conditioner.onnx", [("ids", INT64, [1, "n"])], nodes, [("text", FLOAT, [1, "n", 1024])],
         {"last": np.array([2]), "zeros": np.zeros((1, 1, 1024), np.float32)})  # fmt: skip
    states = [(name, FLOAT, [1]) for name in ("rows", "level", "steps")]
    nodes = [  # rows of conditioning, of which one is the voice; the level is the voice's, text is silent
        *_counted("embedding", "rows", "next_rows"),
        *_counted("sequence", "steps", "next_steps"),
        ("ReduceSum", ["embedding"], ["total"], {"keepdims": 0}),
        ("Div", ["total", "size"], ["mean"]),
        ("Add", ["level", "mean"], ["next_level"]),
        ("Sub", ["next_steps", "next_rows"], ["over"]),
        ("Mul", ["over", "ten"], ["eos"]),
        ("Identity", ["next_level"], ["condition"]),
    ]
    outputs = [("condition", FLOAT, [1]), ("eos", FLOAT, [1])]
    outputs += [(f"next_{name}", FLOAT, [1]) for name, *_ in states]
    inputs = [("sequence", FLOAT, [1, "s", 32]), ("embedding", FLOAT, [1, "e", 1024]), *states]
    constants = {"size": np.float32(1024), "ten": np.float32(-1e6 if deaf else 10), "axis": np.array([1])}
    save(folder / f"lm_main{end}.onnx", inputs, nodes, outputs, constants)
    nodes = [  # straight to the level, in however many steps
        ("Sub", ["c", "x"], ["way"]),
        ("Sub", ["one", "s"], ["left"]),
        ("Div", ["way", "left"], ["flow"]),
    ]
    inputs = [("c", FLOAT, [1]), ("s", FLOAT, [1, 1]), ("t", FLOAT, [1, 1]), ("x", FLOAT, [1, 32])]
    save(folder / f"lm_flow{end}.onnx", inputs, nodes, [("flow", FLOAT, [1, 32])], {"one": np.float32(1)})
    nodes = [
        ("ReduceMean", ["latent"], ["levels"], {"axes": [2], "keepdims": 1}),
        ("Mul", ["levels", "wave"], ["frames"]),
        ("Reshape", ["frames", "line"], ["sound"]),
    ]
    wave = np.sin(2 * np.pi * np.arange(POCKET_FRAME) / 64).astype(np.float32).reshape(1, 1, POCKET_FRAME)
    save(folder / f"decoder{end}.onnx", [("latent", FLOAT, [1, "k", 32])], nodes, [("sound", FLOAT, [1, 1, "s"])],
         {"line": np.array([1, 1, -1]), "wave": wave})  # fmt: skip
    return folder


def _counted(tensor, count, more):
    """Nodes that add the rows of a tensor to a count."""
    return [
        ("Shape", [tensor], [f"shape_of_{tensor}"]),
        ("Gather", [f"shape_of_{tensor}", "axis"], [f"rows_of_{tensor}"]),
        ("Cast", [f"rows_of_{tensor}"], [f"number_of_{tensor}"], {"to": FLOAT}),
        ("Add", [count, f"number_of_{tensor}"], [more]),
    ]
