// A conversation with a model: streamed, stoppable, stored in this tab until it is closed.
import {stream} from "./api.js";
import {h, byId, notice, copy} from "./dom.js";
import {render} from "./markdown.js";
import {chats, sees} from "./models.js";
import * as words from "./words.js";

const STORE = "gfxbridge-chat";
const IMAGE_MAX = 8 << 20;

let messages = []; // {role, text, thinking, images: [data URL], about, stopped, error}
let models = [];
let wanted = null; // the model that a link asked for
let abort = null;
let images = [];
let tokens = 0;
let parts = null;

/** Tokens that arrived since the last call. */
export function takeTokens() {
  const n = tokens;
  tokens = 0;
  return n;
}

// ---- what survives a reload ----

function keep() {
  const small = messages.map((m) => ({...m, images: []}));
  const state = {system: parts.system.value, model: parts.model.value};
  try {
    sessionStorage.setItem(STORE, JSON.stringify({...state, messages}));
  } catch { // pictures may be too large for it
    try {
      sessionStorage.setItem(STORE, JSON.stringify({...state, messages: small}));
    } catch {
      sessionStorage.removeItem(STORE);
    }
  }
}

function recall() {
  try {
    return JSON.parse(sessionStorage.getItem(STORE)) ?? {};
  } catch {
    return {};
  }
}

// ---- messages on the page ----

function messageElement(message) {
  const body = h("div.text");
  const element = h(`article.message.${message.role}`, {"aria-label": message.role === "user" ? "You" : "The model"},
    (message.images ?? []).map((src) => h("img", {src, alt: "Attached picture"})));
  if (message.role === "user") {
    body.textContent = message.text;
    element.append(body);
    return {element};
  }
  const thinking = h("div.text");
  const box = h("details.thinking", {hidden: true}, h("summary", null, "Thinking"), thinking);
  const foot = h("footer.small");
  element.append(box, body, foot);
  return {element, body, thinking, box, foot};
}

function paint(view, message, running) {
  render(view.body, message.text);
  view.box.hidden = !message.thinking;
  if (message.thinking)
    render(view.thinking, message.thinking);
  view.element.setAttribute("aria-busy", String(running));
  if (running) {
    view.foot.textContent = message.text || message.thinking ? "" : message.waiting ?? "Waiting for the model …";
    return;
  }
  const button = h("button.quiet", {type: "button", "aria-label": "Copy this answer"}, "Copy");
  button.addEventListener("click", () => copy(message.text, button));
  view.foot.replaceChildren(...[
    message.error ? h("p.bad", {role: "alert"}, message.error) : null,
    message.stopped ? "Stopped. " : null,
    message.about ? h("span", null, message.about) : null,
    message.text ? button : null,
  ].filter(Boolean));
}

function atEnd() {
  const list = parts.list;
  return list.scrollHeight - list.scrollTop - list.clientHeight < 60;
}

function toEnd() {
  parts.list.scrollTop = parts.list.scrollHeight;
}

function showAll() {
  parts.list.replaceChildren();
  for (const message of messages) {
    const view = messageElement(message);
    if (view.body)
      paint(view, message, false);
    parts.list.append(view.element);
  }
  parts.empty.hidden = messages.length > 0;
  toEnd();
}

// ---- asking ----

function content(message) {
  if (!message.images?.length)
    return message.text;
  return [{type: "text", text: message.text},
    ...message.images.map((url) => ({type: "image_url", image_url: {url}}))];
}

function requestBody(history) {
  const system = parts.system.value.trim();
  const list = history.filter((m) => m.text || m.images?.length)
    .map((m) => ({role: m.role, content: content(m)}));
  return {model: parts.model.value, stream: true, stream_options: {include_usage: true},
    messages: system ? [{role: "system", content: system}, ...list] : list};
}

function about(headers, timings, usage, started, first) {
  const backend = headers?.get("x-gfxbridge-backend");
  const device = headers?.get("x-gfxbridge-device");
  const rate = timings?.predicted_per_second;
  const count = usage?.completion_tokens ?? timings?.predicted_n;
  return [
    backend && words.backendName(backend),
    device && device.toLowerCase() !== backend && device,
    rate && `${words.number(rate)} tokens/s`,
    count && `${count} tokens`,
    first && `first token after ${((first - started) / 1000).toFixed(2)} s`,
  ].filter(Boolean).join(" · ");
}

/** Stream one answer into message; paint is called at most once a frame. */
async function receive(body, message, repaint) {
  const started = performance.now();
  let headers = null, timings = null, usage = null, first = null;
  try {
    for await (const event of stream("/v1/chat/completions", body, abort.signal)) {
      headers = event.headers ?? headers;
      timings = event.timings ?? timings;
      usage = event.usage ?? usage;
      const delta = event.choices?.[0]?.delta;
      const piece = delta?.content ?? "";
      const thought = delta?.reasoning_content ?? delta?.reasoning ?? "";
      if (!piece && !thought)
        continue;
      first ??= performance.now();
      tokens++;
      message.text += piece;
      message.thinking += thought;
      repaint();
    }
  } finally {
    message.about = about(headers, timings, usage, started, first);
  }
}

async function answer() {
  const message = {role: "assistant", text: "", thinking: "", images: []};
  const body = requestBody(messages);
  const view = messageElement(message);
  let frame = 0;
  const repaint = () => {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      const follow = atEnd();
      paint(view, message, true);
      if (follow)
        toEnd();
    });
  };
  messages.push(message);
  parts.list.append(view.element);
  paint(view, message, true);
  toEnd();
  abort = new AbortController();
  showButtons();
  try {
    await receive(body, message, repaint);
  } catch (error) {
    if (error.name === "AbortError")
      message.stopped = true;
    else
      message.error = error.message;
  }
  cancelAnimationFrame(frame);
  abort = null;
  const follow = atEnd();
  paint(view, message, false);
  if (follow)
    toEnd();
  showButtons();
  keep();
}

async function ask() {
  const text = parts.input.value.trim();
  if (abort || !text && !images.length)
    return;
  if (!parts.model.value) {
    notice("There is no model yet. Download one first.", "warn");
    return;
  }
  messages.push({role: "user", text, images});
  parts.input.value = "";
  images = [];
  showImages();
  fitInput();
  parts.empty.hidden = true;
  parts.list.append(messageElement(messages.at(-1)).element);
  keep();
  await answer();
}

function stop() {
  abort?.abort();
  parts.input.focus();
}

function clear() {
  stop();
  messages = [];
  showAll();
  keep();
}

// ---- pictures ----

function readImage(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result));
    reader.addEventListener("error", () => reject(reader.error));
    reader.readAsDataURL(file);
  });
}

async function attach(files) {
  for (const file of files) {
    if (!/^image\/(png|jpeg|webp|gif|bmp)$/.test(file.type))
      notice(`${file.name || "This file"} is not a picture that models can read.`, "warn");
    else if (file.size > IMAGE_MAX)
      notice(`${file.name || "This picture"} is larger than 8 MiB.`, "warn");
    else
      images.push(await readImage(file));
  }
  showImages();
}

function showImages() {
  parts.images.replaceChildren(...images.map((src, i) => {
    const remove = h("button.quiet", {type: "button", "aria-label": `Remove picture ${i + 1}`, onclick: () => {
      images.splice(i, 1);
      showImages();
      parts.input.focus();
    }}, "×");
    return h("span.thumb", null, h("img", {src, alt: `Picture ${i + 1}`}), remove);
  }));
}

// ---- the form ----

function fitInput() {
  parts.input.style.height = "auto";
  parts.input.style.height = `${Math.min(parts.input.scrollHeight + 2, 200)}px`;
}

function showButtons() {
  parts.send.hidden = abort !== null;
  parts.stop.hidden = abort === null;
}

function modelChanged() {
  const model = models.find((m) => m.name === parts.model.value);
  parts.attach.hidden = !sees(model);
  if (!sees(model) && images.length) {
    images = [];
    showImages();
  }
  keep();
}

function onKey(event) {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    ask();
  } else if (event.key === "Escape" && abort) {
    event.preventDefault();
    stop();
  }
}

function build() {
  const file = h("input", {type: "file", accept: "image/*", multiple: true, hidden: true, id: "chat-file",
    onchange: () => attach([...file.files]).then(() => { file.value = ""; })});
  parts = {
    list: h("div.messages", {id: "messages", role: "log", "aria-label": "Conversation", tabindex: "0"}),
    empty: h("div.empty", null, h("p", null, "Ask something. The model runs on this computer, and nothing leaves it.")),
    model: h("select", {id: "chat-model", "aria-label": "Model", onchange: modelChanged}),
    system: h("textarea", {id: "chat-system", rows: "2", onchange: () => keep()}),
    input: h("textarea", {id: "chat-input", rows: "1", "aria-label": "Message", placeholder: "Message",
      onkeydown: onKey, oninput: fitInput, onpaste: (event) => {
        const files = [...event.clipboardData.files];
        if (files.length && !parts.attach.hidden) {
          event.preventDefault();
          attach(files);
        }
      }}),
    images: h("div.thumbs"),
    attach: h("button", {type: "button", onclick: () => file.click()}, "Picture"),
    send: h("button.main", {type: "submit"}, "Send"),
    stop: h("button.main", {type: "button", id: "chat-stop", onclick: stop}, "Stop"),
  };
  byId("chat-body").append(
    h("div.row.chat-head", null, parts.model, h("button", {type: "button", id: "chat-new", onclick: clear}, "New chat")),
    h("details.system", null, h("summary", null, "Instructions for the model"),
      h("label.unseen", {for: "chat-system"}, "Instructions for the model"), parts.system),
    parts.empty, parts.list,
    h("form.composer", {onsubmit: (event) => { event.preventDefault(); ask(); }},
      parts.images, h("div.row", null, parts.attach, file, parts.input, parts.send, parts.stop),
      h("p.small", null, "Enter sends, Shift+Enter starts a new line, Esc stops.")));
}

/** The models to choose from; name: the one that a link asks for. */
export function showChat(data, name) {
  const isNew = parts === null;
  if (isNew)
    build();
  const before = recall();
  if (isNew) {
    messages = before.messages ?? [];
    parts.system.value = before.system ?? "";
    showAll();
    showButtons();
  }
  wanted = name ?? wanted;
  models = data.models.filter((model) => model.here && chats(model));
  const names = models.map((model) => model.name);
  const chosen = [wanted, parts.model.value, before.model, data.health[0]?.model_name].find((n) => names.includes(n)) ?? names[0] ?? "";
  if (names.join("\n") !== [...parts.model.options].map((o) => o.value).join("\n"))
    parts.model.replaceChildren(...names.map((n) => h("option", {value: n}, n)));
  if (chosen !== parts.model.value || isNew) {
    parts.model.value = chosen;
    wanted = null;
    modelChanged();
  }
}
