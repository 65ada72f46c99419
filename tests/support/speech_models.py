"""Small speech models with the inputs, outputs and metadata of real ones, so that the real loading code runs on them.

A voice gives for each token a tone of ``HOP`` samples whose pitch is the token's and whose level is the speaker's; a
recogniser says ``LOUD`` or ``QUIET`` by the level of what it hears; a voice activity model takes sound for speech.
"""

import base64
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

HOP = 1024
IPA = "_^$ !'(),-.:;?abcdefghijklmnopqrstuvwxyzæçðøħŋœɐɑɒɔəɚɛɜɡɪɹɾʃʊʌʒʔʤʧˈˌːθAIOWYTᵊ"
LOUD, QUIET = (" hello", " world"), (" quiet", " words")

FLOAT, INT64, INT32 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32


def save(path, inputs, nodes, outputs, constants=(), **metadata):
    """Write a graph; inputs and outputs are ``(name, type, shape)``, nodes ``(operator, taken, made, attributes)``."""
    graph = helper.make_graph(
        [helper.make_node(kind, taken, made, **(rest[0] if rest else {})) for kind, taken, made, *rest in nodes],
        "model",
        [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_tensor_value_info(*one) for one in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in dict(constants).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)])
    model.ir_version = 8
    helper.set_model_props(model, {name: str(value) for name, value in metadata.items()})
    Path(path).write_bytes(model.SerializeToString())


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


def silero(path):
    """A voice activity model of the shape of Silero's fifth version: the norm of a window, at most 1."""
    inputs = [("input", FLOAT, [1, "n"]), ("state", FLOAT, [2, 1, 128]), ("sr", INT64, [])]
    nodes = [
        ("ReduceL2", ["input"], ["norm"], {"axes": [1], "keepdims": 1}),
        ("Clip", ["norm", "low", "high"], ["output"]),
        ("Identity", ["state"], ["stateN"]),
    ]
    outputs = [("output", FLOAT, [1, 1]), ("stateN", FLOAT, [2, 1, 128])]
    save(path, inputs, nodes, outputs, {"low": np.float32(0), "high": np.float32(1)})
    return path


def ten(path):
    """A voice activity model of the shape of TEN's: by the mean of the log-mel features, from -40 dB or so on."""
    states = [(f"state{n}", FLOAT, [1, 64]) for n in range(4)]
    nodes = [
        ("ReduceMean", ["x"], ["mean"], {"axes": [1, 2], "keepdims": 0}),
        ("Add", ["mean", "offset"], ["above"]),
        ("Clip", ["above", "low", "high"], ["probability"]),
        *[("Identity", [f"state{n}"], [f"next{n}"]) for n in range(4)],
    ]
    outputs = [("probability", FLOAT, [1]), *[(f"next{n}", FLOAT, [1, 64]) for n in range(4)]]
    constants = {"offset": np.float32(30), "low": np.float32(0), "high": np.float32(1)}
    zeros, ones, window = (",".join(map(str, values)) for values in ([0] * 41, [1] * 41, [1] * 768))
    metadata = {"model_type": "ten-vad", "mean": zeros, "inv_stddev": ones, "window": window}
    save(path, [("x", FLOAT, [1, 3, 41]), *states], nodes, outputs, constants, **metadata)
    return path


SOT, EOT, NO_TIMESTAMPS = 8, 9, 15
VOCABULARY = NO_TIMESTAMPS + 1 + 1501


def whisper(folder, prefix="base.en", *, multilingual=False, **changed):
    """A Whisper model: the encoder measures the level, the decoder says ``LOUD`` or ``QUIET`` after a time of 0 s."""
    folder.mkdir(parents=True, exist_ok=True)
    begin = NO_TIMESTAMPS + 1
    sot_sequence = f"{SOT},10,12" if multilingual else f"{SOT}"
    metadata = {
        "model_type": "whisper-base", "version": 1, "n_mels": 80, "n_audio_ctx": 1500, "n_audio_state": 4,
        "n_audio_head": 1, "n_audio_layer": 1, "n_vocab": VOCABULARY, "n_text_ctx": 448, "n_text_state": 4,
        "n_text_head": 1, "n_text_layer": 1, "sot_sequence": sot_sequence, "sot": SOT, "eot": EOT, "blank_id": 7,
        "is_multilingual": int(multilingual), "no_speech": 14, "non_speech_tokens": "", "transcribe": 12,
        "translate": 13, "sot_prev": 6, "sot_lm": 5, "sot_index": 0, "no_timestamps": NO_TIMESTAMPS,
        "all_language_tokens": "10,11", "all_language_codes": "en,de", **changed,
    }  # fmt: skip
    cross = [("n_layer_cross_k", FLOAT, [1, 1, "c", 4]), ("n_layer_cross_v", FLOAT, [1, 1, "c", 4])]
    nodes = [
        ("ReduceMin", ["mel"], ["level"], {"axes": [0, 1, 2], "keepdims": 0}),
        ("Expand", ["level", "shape"], ["n_layer_cross_k"]),
        ("Identity", ["n_layer_cross_k"], ["n_layer_cross_v"]),
    ]
    save(folder / f"{prefix}-encoder.onnx", [("mel", FLOAT, [1, 80, "t"])], nodes, cross,
         {"shape": np.array([1, 1, 1, 4])}, **{k: v for k, v in metadata.items() if v is not None})  # fmt: skip
    _whisper_decoder(folder / f"{prefix}-decoder.onnx", cross, 3 if multilingual else 1, begin)
    words = [*LOUD, *QUIET]
    pieces = words + [f"<{number}>" for number in range(len(words), VOCABULARY)]
    lines = [f"{base64.b64encode(piece.encode()).decode()} {number}\n" for number, piece in enumerate(pieces)]
    (folder / f"{prefix}-tokens.txt").write_text("".join(lines))
    return folder


def _whisper_decoder(path, cross, prompt, begin):
    """Logits by position: a table of what to say, one for loud and one for quiet sound."""
    says = [[begin, first, second, begin + 50, EOT] for first, second in ((0, 1), (2, 3))]
    table = np.zeros((2, 64, VOCABULARY), np.float32)
    for which, tokens in enumerate(says):
        for position in range(64):
            table[which, position, tokens[min(max(0, position - prompt + 1), len(tokens) - 1)]] = 10
    cache = [(f"in_n_layer_self_{name}_cache", FLOAT, [1, 1, 448, 4]) for name in "kv"]
    inputs = [("tokens", INT64, [1, "n"]), *cache, *cross, ("offset", INT64, [1])]
    nodes = [
        ("ReduceMean", ["n_layer_cross_k"], ["level"], {"axes": [0, 1, 2, 3], "keepdims": 0}),
        ("Less", ["level", "threshold"], ["is_quiet"]),
        ("Cast", ["is_quiet"], ["which"], {"to": INT64}),
        ("Gather", ["table", "which"], ["rows"], {"axis": 0}),
        ("Shape", ["tokens"], ["size"]),
        ("Gather", ["size", "second"], ["count"]),
        ("Add", ["offset", "count"], ["end"]),
        ("Slice", ["rows", "offset", "end", "first_axis"], ["some"]),
        ("Unsqueeze", ["some", "first_axis"], ["logits"]),
        ("Identity", ["in_n_layer_self_k_cache"], ["out_n_layer_self_k_cache"]),
        ("Identity", ["in_n_layer_self_v_cache"], ["out_n_layer_self_v_cache"]),
    ]
    outputs = [("logits", FLOAT, [1, "n", VOCABULARY])]
    outputs += [(f"out_n_layer_self_{name}_cache", FLOAT, [1, 1, 448, 4]) for name in "kv"]
    constants = {"threshold": np.float32(-1), "table": table, "second": np.array([1]), "first_axis": np.array([0])}
    save(path, inputs, nodes, outputs, constants)


def sense_voice(folder, **changed):
    """A SenseVoice model: four frames of labels, then ``LOUD`` or ``QUIET`` by the level of the features."""
    folder.mkdir(parents=True, exist_ok=True)
    labels = ["<blank>", "<|en|>", "<|NEUTRAL|>", "<|Speech|>", "<|withitn|>"]
    symbols = labels + [word.replace(" ", "▁") for word in (*LOUD, *QUIET)]
    (folder / "tokens.txt").write_text("".join(f"{symbol} {n}\n" for n, symbol in enumerate(symbols)), encoding="utf-8")
    width = 80 * 7
    metadata = {
        "model_type": "sense_voice_ctc", "lfr_window_size": 7, "lfr_window_shift": 6, "normalize_samples": 0,
        "vocab_size": len(symbols), "with_itn": 14, "without_itn": 15, "lang_auto": 0, "lang_zh": 3, "lang_en": 4,
        "lang_ja": 11, "lang_ko": 12, "lang_yue": 7, "neg_mean": ",".join(["0"] * width),
        "inv_stddev": ",".join(["1"] * width), **changed,
    }  # fmt: skip
    table = np.zeros((2, 1000, len(symbols)), np.float32)
    table[:, :, 0] = 1
    for which, words in enumerate(((5, 6), (7, 8))):
        for frame, symbol in enumerate((1, 2, 3, 4, words[0], 0, words[1])):
            table[which, frame, symbol] = 10
    inputs = [("x", FLOAT, [1, "t", width]), ("x_length", INT32, [1])]
    inputs += [("language", INT32, [1]), ("text_norm", INT32, [1])]
    nodes = [
        ("ReduceMax", ["x"], ["level"], {"axes": [0, 1, 2], "keepdims": 0}),
        ("Less", ["level", "threshold"], ["is_quiet"]),
        ("Cast", ["is_quiet"], ["which"], {"to": INT64}),
        ("Gather", ["table", "which"], ["rows"], {"axis": 0}),
        ("Cast", ["x_length"], ["length"], {"to": INT64}),
        ("Add", ["length", "labels"], ["end"]),
        ("Slice", ["rows", "first", "end", "first"], ["some"]),
        ("Unsqueeze", ["some", "first"], ["logits"]),
    ]
    constants = {"threshold": np.float32(15), "table": table, "first": np.array([0]), "labels": np.array([4])}
    save(folder / "model.int8.onnx", inputs, nodes, [("logits", FLOAT, [1, "t", len(symbols)])], constants,
         **{name: value for name, value in metadata.items() if value is not None})  # fmt: skip
    return folder
