"""The kinds that penstock brings, and where their classes are."""

from __future__ import annotations

from typing import Final

__all__ = ["ALIASES", "BUILTIN"]

BUILTIN: Final[dict[str, str]] = {
    "audio::decoder": "penstock.nodes.audio.decoder:Decoder",
    "audio::encoder": "penstock.nodes.audio.encoder:Encoder",
    "audio::flac::decoder": "penstock.nodes.audio.flac_decoder:FlacDecoder",
    "audio::gain": "penstock.nodes.audio.gain:Gain",
    "audio::loudness": "penstock.nodes.audio.loudness:Loudness",
    "audio::mixer": "penstock.nodes.audio.mixer:Mixer",
    "audio::mp3::decoder": "penstock.nodes.audio.mp3_decoder:Mp3Decoder",
    "audio::opus::decoder": "penstock.nodes.audio.opus_decoder:OpusDecoder",
    "audio::opus::encoder": "penstock.nodes.audio.opus_encoder:OpusEncoder",
    "audio::pacer": "penstock.nodes.audio.pacer:AudioPacer",
    "audio::resampler": "penstock.nodes.audio.resampler:Resampler",
    "containers::demuxer": "penstock.nodes.containers.demuxer:Demuxer",
    "containers::mp4::muxer": "penstock.nodes.containers.mp4_muxer:Mp4Muxer",
    "containers::muxer": "penstock.nodes.containers.muxer:Muxer",
    "containers::ogg::demuxer": "penstock.nodes.containers.ogg_demuxer:OggDemuxer",
    "containers::ogg::muxer": "penstock.nodes.containers.ogg_muxer:OggMuxer",
    "containers::wav::demuxer": "penstock.nodes.containers.wav_demuxer:WavDemuxer",
    "containers::webm::muxer": "penstock.nodes.containers.webm_muxer:WebmMuxer",
    "core::file_reader": "penstock.nodes.files.file_reader:FileReader",
    "core::file_writer": "penstock.nodes.files.file_writer:FileWriter",
    "core::json_serialize": "penstock.nodes.flow.json_serialize:JsonSerialize",
    "core::object_store_reader": "penstock.nodes.objects.object_store_reader:ObjectStoreReader",
    "core::object_store_writer": "penstock.nodes.objects.object_store_writer:ObjectStoreWriter",
    "core::pacer": "penstock.nodes.flow.pacer:Pacer",
    "core::param_bridge": "penstock.nodes.flow.param_bridge:ParamBridge",
    "core::passthrough": "penstock.nodes.flow.passthrough:Passthrough",
    "core::script": "penstock.nodes.flow.script:Script",
    "core::sink": "penstock.nodes.flow.sink:Sink",
    "core::telemetry_out": "penstock.nodes.flow.telemetry_out:TelemetryOut",
    "core::telemetry_tap": "penstock.nodes.flow.telemetry_tap:TelemetryTap",
    "core::text_chunker": "penstock.nodes.text.text_chunker:TextChunker",
    "plugin::native::aac_encoder": "penstock.nodes.audio.aac_encoder:AacEncoder",
    "plugin::native::kokoro": "penstock.nodes.speech.kokoro:Kokoro",
    "plugin::native::matcha": "penstock.nodes.speech.matcha:Matcha",
    "plugin::native::moonshine": "penstock.nodes.speech.moonshine:Moonshine",
    "plugin::native::parakeet": "penstock.nodes.speech.parakeet:Parakeet",
    "plugin::native::piper": "penstock.nodes.speech.piper:Piper",
    "plugin::native::pocket-tts": "penstock.nodes.speech.pocket_tts:PocketTts",
    "plugin::native::sensevoice": "penstock.nodes.speech.sensevoice:SenseVoice",
    "plugin::native::supertonic": "penstock.nodes.speech.supertonic:Supertonic",
    "plugin::native::vad": "penstock.nodes.speech.vad:Vad",
    "plugin::native::whisper": "penstock.nodes.speech.whisper:Whisper",
    "speech::espeak": "penstock.nodes.speech.espeak:Espeak",
    "streamkit::http_input": "penstock.nodes.http.http_input:HttpInput",
    "streamkit::http_output": "penstock.nodes.http.http_output:HttpOutput",
    "transport::http::fetcher": "penstock.nodes.http.fetcher:HttpFetcher",
}

ALIASES: Final[dict[str, str]] = {
    "plugin::native::aac-encoder": "plugin::native::aac_encoder",
    **{
        f"speech::{name}": f"plugin::native::{name}"
        for name in (
            "kokoro",
            "matcha",
            "moonshine",
            "parakeet",
            "piper",
            "pocket-tts",
            "sensevoice",
            "supertonic",
            "vad",
            "whisper",
        )
    },
}
