"""Small models that listen, with the inputs, outputs and metadata of real ones.

A recogniser says ``LOUD`` or ``QUIET`` by the level of what it hears; a voice activity model takes sound for speech.
"""

import base64

import numpy as np

from support.onnx_files import FLOAT, INT32, INT64, save

LOUD, QUIET = (" hello", " world"), (" quiet", " words")


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


def parakeet(folder, **changed):
    """A NeMo transducer with durations: a word in each of the first two frames, by the level of the features."""
    folder.mkdir(parents=True, exist_ok=True)
    symbols = [word.replace(" ", "▁") for word in (*LOUD, *QUIET)]
    (folder / "tokens.txt").write_text("".join(f"{s} {n}\n" for n, s in enumerate([*symbols, "<blk>"])), "utf-8")
    metadata = {"vocab_size": len(symbols), "subsampling_factor": 8, "normalize_type": "NA", "pred_rnn_layers": 1}
    metadata |= {"pred_hidden": 4, "model_type": "EncDecRNNTBPEModel", "feat_dim": 128, "version": 2, **changed}
    metadata |= {"url": "nvidia/parakeet-tdt-0.6b-v3"}
    nodes = [
        ("ReduceMax", ["audio_signal"], ["level"], {"axes": [0, 1, 2], "keepdims": 0}),
        ("Less", ["level", "threshold"], ["is_quiet"]),
        ("Cast", ["is_quiet"], ["quiet"], {"to": FLOAT}),
        ("Mul", ["quiet", "thousand"], ["offset"]),
        ("Div", ["length", "eight"], ["whole"]),
        ("Add", ["whole", "one"], ["encoded_lengths"]),
        ("Slice", ["ramp", "first", "encoded_lengths", "last_axis"], ["some"]),
        ("Add", ["some", "offset"], ["outputs"]),
    ]
    constants = {
        "threshold": np.float32(-5), "thousand": np.float32(1000), "eight": np.array([8]), "one": np.array([1]),
        "ramp": np.arange(1000, dtype=np.float32).reshape(1, 1, 1000), "first": np.array([0]),
        "last_axis": np.array([2]),
    }  # fmt: skip
    save(folder / "encoder.int8.onnx", [("audio_signal", FLOAT, [1, "c", "t"]), ("length", INT64, [1])], nodes,
         [("outputs", FLOAT, [1, 1, "n"]), ("encoded_lengths", INT64, [1])], constants,
         **{name: value for name, value in metadata.items() if value is not None})  # fmt: skip
    states = [("state0", FLOAT, [1, 1, 4]), ("state1", FLOAT, [1, 1, 4])]
    nodes = [
        ("Identity", ["nothing"], ["outputs"]),
        ("Identity", ["target_length"], ["prednet_lengths"]),
        ("Identity", ["state0"], ["next0"]),
        ("Identity", ["state1"], ["next1"]),
    ]
    outputs = [("outputs", FLOAT, [1, 4, 1]), ("prednet_lengths", INT32, [1])]
    outputs += [("next0", FLOAT, [1, 1, 4]), ("next1", FLOAT, [1, 1, 4])]
    save(folder / "decoder.int8.onnx", [("targets", INT32, [1, 1]), ("target_length", INT32, [1]), *states], nodes,
         outputs, {"nothing": np.zeros((1, 4, 1), np.float32)})  # fmt: skip
    table = np.zeros((2000, len(symbols) + 1 + 5), np.float32)
    table[:, len(symbols)] = 5  # nothing said
    table[:, len(symbols) + 2] = 5  # for one frame
    for row, symbol in ((0, 0), (1, 1), (1000, 2), (1001, 3)):
        table[row, symbol] = 10
    nodes = [
        ("Reshape", ["encoder_outputs", "scalar"], ["frame"]),
        ("Cast", ["frame"], ["row"], {"to": INT64}),
        ("Gather", ["table", "row"], ["logits"], {"axis": 0}),
        ("Reshape", ["logits", "shape"], ["outputs"]),
    ]
    constants = {"scalar": np.array([1]), "table": table, "shape": np.array([1, 1, 1, table.shape[1]])}
    inputs = [("encoder_outputs", FLOAT, [1, 1, 1]), ("decoder_outputs", FLOAT, [1, 4, 1])]
    save(folder / "joiner.int8.onnx", inputs, nodes, [("outputs", FLOAT, [1, 1, 1, table.shape[1]])], constants)
    return folder


MOONSHINE_HOP = 384


def moonshine(folder, *, merged=True, mask=True):
    """A Moonshine model, with one decoder or of the first version: says ``LOUD`` or ``QUIET`` by the highest sample."""
    folder.mkdir(parents=True, exist_ok=True)
    symbols = ["<unk>", "<s>", "</s>", *(word.replace(" ", "▁") for word in (*LOUD, *QUIET))]
    coded = [base64.b64encode(symbol.encode()).decode() for symbol in symbols] if merged else symbols
    (folder / "tokens.txt").write_text("".join(f"{s} {n}\n" for n, s in enumerate(coded)), encoding="utf-8")
    table = np.zeros((2, 200, len(symbols)), np.float32)
    table[:, :, 2] = 5
    for which, first in enumerate((3, 5)):
        table[which, 0, first] = table[which, 1, first + 1] = 10
    frames = [  # the level, for each frame of ``MOONSHINE_HOP`` samples
        ("ReduceMax", ["audio"], ["level"], {"axes": [0, 1], "keepdims": 0}),
        ("Shape", ["audio"], ["size"]),
        ("Gather", ["size", "one"], ["length"]),
        ("Div", ["length", "hop"], ["count"]),
        ("Concat", ["one", "count", "one"], ["shape"], {"axis": 0}),
        ("Expand", ["level", "shape"], ["frames"]),
    ]
    constants = {"one": np.array([1]), "hop": np.array([MOONSHINE_HOP])}
    if merged:
        inputs = [("audio", FLOAT, [1, "n"])]
        save(folder / "encoder_model.onnx", inputs, frames, [("frames", FLOAT, [1, "t", 1])], constants)
        _moonshine_merged(folder / "decoder_model_merged.onnx", table, mask=mask)
        return folder
    save(folder / "preprocess.onnx", [("audio", FLOAT, [1, "n"])], frames, [("frames", FLOAT, [1, "t", 1])], constants)
    inputs = [("features", FLOAT, [1, "t", 1]), ("features_len", INT32, [1])]
    save(folder / "encode.int8.onnx", inputs, [("Identity", ["features"], ["out"])], [("out", FLOAT, [1, "t", 1])])
    inputs = [("tokens", INT32, [1, 1]), ("frames", FLOAT, [1, "t", 1]), ("seq_len", INT32, [1])]
    nodes = [
        ("Cast", ["seq_len"], ["ordinal"], {"to": INT64}),
        ("Sub", ["ordinal", "one"], ["position"]),
        *_said_at("position"),
    ]
    outputs, constants = [("logits", FLOAT, [1, 1, len(symbols)]), ("next", FLOAT, [1])], _table(table)
    save(folder / "uncached_decode.int8.onnx", inputs, [*nodes, ("Cast", ["seq_len"], ["next"], {"to": FLOAT})],
         outputs, constants)  # fmt: skip
    save(folder / "cached_decode.int8.onnx", [*inputs, ("state", FLOAT, [1])],
         [*nodes, ("Identity", ["state"], ["next"])], outputs, constants)  # fmt: skip
    return folder


def _table(table):
    return {"table": table, "threshold": np.float32(0.01), "one": np.array([1]), "zero": np.array([0])}


def _said_at(position):
    """Nodes that look up the ``logits`` of a position, by the level of the ``frames``."""
    return [
        ("ReduceMax", ["frames"], ["level"], {"axes": [0, 1, 2], "keepdims": 0}),
        ("Less", ["level", "threshold"], ["is_quiet"]),
        ("Cast", ["is_quiet"], ["which"], {"to": INT64}),
        ("Gather", ["table", "which"], ["rows"], {"axis": 0}),
        ("Gather", ["rows", position], ["row"], {"axis": 0}),
        ("Unsqueeze", ["row", "zero"], ["logits"]),
    ]


def _moonshine_merged(path, table, *, mask):
    """One decoder with a cache of one layer; a mask counts samples, and the graph thins it to one for each frame."""
    names = [f"past_key_values.0.{whose}.{what}" for whose in ("decoder", "encoder") for what in ("key", "value")]
    inputs = [("input_ids", INT64, [1, "k"]), ("encoder_hidden_states", FLOAT, [1, "t", 1])]
    inputs += [*((name, FLOAT, [1, 1, f"n{i}", 1]) for i, name in enumerate(names)), ("use_cache_branch", 9, [1])]
    nodes = [
        ("Shape", [names[0]], ["cached"]),
        ("Gather", ["cached", "two"], ["position"]),
        *([("Concat", [name, "cell"], [f"next{i}"], {"axis": 2}) for i, name in enumerate(names[:2])]),
        ("Unsqueeze", ["encoder_hidden_states", "one"], ["next2"]),
        ("Identity", ["next2"], ["next3"]),
    ]
    if mask:
        inputs.insert(0, ("encoder_attention_mask", INT64, [1, "m"]))
        nodes += [
            ("Slice", ["encoder_attention_mask", "zero", "far", "one", "hop"], ["thin"]),
            ("Cast", ["thin"], ["weights"], {"to": FLOAT}),
            ("Unsqueeze", ["weights", "two"], ["column"]),
            ("Mul", ["encoder_hidden_states", "column"], ["frames"]),
        ]
    else:
        nodes.append(("Identity", ["encoder_hidden_states"], ["frames"]))
    constants = _table(table) | {"two": np.array([2]), "far": np.array([1 << 40]), "hop": np.array([MOONSHINE_HOP])}
    constants |= {"cell": np.zeros((1, 1, 1, 1), np.float32)}
    outputs = [("logits", FLOAT, [1, 1, table.shape[2]]), *((f"next{i}", FLOAT, [1, 1, "m", 1]) for i in range(4))]
    save(path, inputs, [*nodes, *_said_at("position")], outputs, constants)
