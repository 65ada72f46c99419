"""What a script finds around it, in JavaScript: `console`, `telemetry`, `fetch`, and the function that calls `process`.

Everything the prelude relies on is taken before the script comes, so that the script cannot break it. Evaluated, it
takes the function that makes requests, or null, and gives a list of two functions: one that calls `process` with a
packet as JSON and returns the outcome as JSON, or null when that is a promise; and one that returns the outcome
afterwards, or null when the promise is not settled.
"""

from __future__ import annotations

from typing import Final

__all__ = ["LINES", "PRELUDE"]

LINES: Final = 100
"""Lines that a script can log, and events that it can tell, for a packet."""

PRELUDE: Final = """
(host => {
  "use strict";
  const {stringify, parse} = JSON, {entries} = Object, {isArray} = Array, {now} = Date;
  const Fault = Error, text_of = String, spans = new Map();
  const of_spans = name => Map.prototype[name].bind(spans);
  const get = of_spans("get"), put = of_spans("set"), drop = of_spans("delete");
  let told = [], logged = [], told_count = 0, logged_count = 0, span_count = 0, settled = null;

  const shown = value => typeof value === "string" ? value
    : value instanceof Fault ? text_of(value) : text_of(stringify(value));
  const log = (...values) => {
    if (logged_count++ < LINES) logged[logged.length] = values.map(shown).join(" ");
  };
  globalThis.console = Object.freeze({log, debug: log, info: log, warn: log, error: log});

  const emit = (event_type, data) => {
    if (told_count++ >= LINES) return false;
    told[told.length] = [text_of(event_type), data === undefined ? null : data];
    return true;
  };
  const fields = data => data === undefined || data === null ? {}
    : typeof data === "object" && !isArray(data) ? data : {value: data};
  const startSpan = (event_type, data) => {
    const span_id = "span-" + ++span_count;
    const begun = {correlation_id: span_id, ...fields(data), span_id};
    put(span_id, {event_type: text_of(event_type), begun, at: now()});
    emit(event_type + ".start", begun);
    return span_id;
  };
  const endSpan = (span_id, data) => {
    const span = get(span_id);
    if (span === undefined) return false;
    drop(span_id);
    return emit(span.event_type, {...span.begun, ...fields(data), span_id, latency_ms: now() - span.at});
  };
  globalThis.telemetry = Object.freeze({emit, startSpan, endSpan});

  const fetch = (url, options) => {
    const {method, headers, body, timeout, response} = options ?? {};
    const asked = {
      url: text_of(url), method: text_of(method ?? "GET").toUpperCase(),
      headers: entries(headers ?? {}).map(([name, value]) => [text_of(name), text_of(value)]),
      body: body === undefined || body === null ? null : text_of(body), timeout_ms: timeout ?? null,
    };
    const sent = stringify({asked, told, logged});
    told = []; logged = [];
    const answer = parse(host(sent));
    if (answer.error !== undefined) throw new Fault(answer.error);
    if (!response) return answer.body;
    return {...answer, ok: answer.status >= 200 && answer.status < 300,
      text: () => answer.body, json: () => parse(answer.body)};
  };
  const nowhere = () => { throw new Fault(WAY_OUT); };
  globalThis.fetch = host === null ? nowhere : fetch;

  const outcome = (returned, given) => {
    const made = returned === undefined ? "null" : stringify(returned);
    const result = stringify({made: made === given ? undefined : made, same: made === given, told, logged});
    told = []; logged = [];
    return result;
  };
  const wait = async (returned, given) => {
    try { settled = {result: outcome(await returned, given)}; } catch (error) { settled = {error}; }
  };
  const call = text => {
    settled = null; told_count = logged_count = 0;
    const packet = parse(text), given = stringify(packet);
    const returned = globalThis.process(packet);
    if (returned === null || typeof returned !== "object" || typeof returned.then !== "function")
      return outcome(returned, given);
    wait(returned, given);
    return null;
  };
  const result = () => {
    if (settled !== null && "error" in settled) throw settled.error;
    return settled && settled.result;
  };
  return [call, result];
})
""".replace("LINES", str(LINES))
