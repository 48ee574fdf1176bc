// Calls of this server. A key is stored in this tab only.
import {byId} from "./dom.js";

const KEY = "gfxbridge-key";

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

let asking = null;

/** One dialog, even if several calls were refused. */
function askForKey() {
  asking ??= new Promise((resolve) => {
    const dialog = byId("key");
    byId("key-wrong").hidden = sessionStorage.getItem(KEY) === null;
    byId("key-value").value = "";
    dialog.addEventListener("close", () => {
      const value = byId("key-value").value.trim();
      if (value)
        sessionStorage.setItem(KEY, value);
      asking = null;
      resolve(value !== "");
    }, {once: true});
    dialog.showModal();
  });
  return asking;
}

async function send(path, options) {
  for (;;) {
    const key = sessionStorage.getItem(KEY);
    const headers = {accept: options.accept ?? "application/json"};
    if (options.body !== undefined)
      headers["content-type"] = "application/json";
    if (key)
      headers.authorization = `Bearer ${key}`;
    let response;
    try {
      response = await fetch(path, {
        method: options.method ?? (options.body === undefined ? "GET" : "POST"),
        headers,
        body: options.body === undefined ? undefined : JSON.stringify(options.body),
        signal: options.signal,
        cache: "no-store",
      });
    } catch (error) {
      if (error.name === "AbortError")
        throw error;
      throw new Refused(0, "The server does not answer. Is gfxbridge serve still running?");
    }
    if (response.status !== 401)
      return response;
    // Another call may have received a key meanwhile: try that one first.
    if (sessionStorage.getItem(KEY) === key && !await askForKey())
      throw new Refused(401, "The server needs a key.");
  }
}

/** The sentence in an error of any dialect. */
function sentence(answer, response) {
  const error = answer?.error ?? answer;
  const text = typeof error === "string" ? error : error?.message;
  return text || `The server answered ${response.status} ${response.statusText}`.trim() + ".";
}

async function check(response) {
  if (response.ok)
    return response;
  const answer = await response.json().catch(() => null);
  throw new Refused(response.status, sentence(answer, response));
}

/** The JSON of an answer; Refused with the server's sentence. */
export async function call(path, options = {}) {
  const response = await check(await send(path, options));
  const answer = await response.json().catch(() => {
    throw new Refused(response.status, `The answer to ${path} is not JSON.`);
  });
  if (answer?.status === "error")
    throw new Refused(response.status, sentence({error: answer.message}, response));
  return answer;
}

export const post = (path, body = {}) => call(path, {body});

/** The same, but null when this server has no such call. */
export async function callIfThere(path) {
  try {
    return await call(path);
  } catch (error) {
    if (error.status === 404 || error.status === 405 || error.status === 501)
      return null;
    throw error;
  }
}

/** A chat's events, as they arrive, and the headers of the answer as `headers` of the first. */
export async function* stream(path, body, signal) {
  const response = await check(await send(path, {body, signal, accept: "text/event-stream"}));
  yield {headers: response.headers};
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const {done, value} = await reader.read();
    rest += value ?? "";
    const lines = rest.split(/\r\n|\n|\r/);
    rest = done ? "" : lines.pop();
    for (const line of lines) {
      if (!line.startsWith("data:"))
        continue;
      const data = line.slice(5).trim();
      if (data === "[DONE]")
        return;
      const event = JSON.parse(data);
      if (event.error)
        throw new Refused(response.status, sentence(event, response));
      yield event;
    }
    if (done)
      return;
  }
}
