// Activity: speed, memory, the loaded models, and the log.
import {callIfThere, post} from "./api.js";
import {h, show, badge, action, byId} from "./dom.js";
import {Plot} from "./plot.js";
import {takeTokens} from "./chat.js";
import * as words from "./words.js";

const LOG_LINES = 500;
const GIB = 1024 ** 3;

const gib = (value) => `${value.toFixed(1)} GiB`;
const percent = (value) => `${Math.round(value)} %`;

let plots = null;
let before = null;
let logNext = 0;
let logThere = true;

function build() {
  plots = {
    tokens: new Plot({title: "Tokens per second", format: (v) => words.number(v)}),
    gpu: new Plot({title: "GPU", format: percent, limit: 100}),
    vram: new Plot({title: "GPU memory", format: gib}),
    cpu: new Plot({title: "CPU", format: percent, limit: 100}),
    memory: new Plot({title: "Memory", format: gib}),
  };
  const follow = h("input", {type: "checkbox", id: "log-follow", checked: true});
  byId("activity-body").append(
    h("div.plots", null, Object.values(plots).map((plot) => plot.element)),
    h("h2", null, "Loaded models"), h("div", {id: "at-work"}),
    h("div.row.spread", null, h("h2", null, "Log"), h("label", null, follow, " Follow")),
    h("pre.log", {id: "log", role: "log", "aria-label": "Log of the server and its engines", "aria-live": "off", tabindex: "0"}));
}

/** Tokens since the last look: those that this page saw arrive, or the server's count, whichever is more. */
function tokenRate(stats, now) {
  const seen = takeTokens();
  const total = stats?.output_tokens_total ?? null;
  const last = before;
  before = {total, now};
  if (!last)
    return null;
  const seconds = (now - last.now) / 1000;
  const counted = total !== null && last.total !== null ? Math.max(0, total - last.total) : 0;
  return Math.max(seen, counted) / seconds;
}

async function measure(detect) {
  const [system, stats] = await Promise.all([callIfThere("/api/v1/system-stats"), callIfThere("/api/v1/stats")]);
  const gpu = detect?.gpus.find((g) => g.gfx) ?? detect?.gpus[0];
  plots.tokens.add(tokenRate(stats, performance.now()));
  plots.cpu.add(system?.cpu_percent);
  plots.memory.add(system?.memory_gb, detect?.host.memory_bytes ? detect.host.memory_bytes / GIB : null);
  plots.gpu.add(system?.gpu_percent);
  plots.vram.add(system?.vram_gb, gpu?.vram_bytes ? gpu.vram_bytes / GIB : null);
  plots.gpu.element.hidden = plots.vram.element.hidden = !gpu;
}

function workRow(model, refresh) {
  return h("tr", null,
    h("th", {scope: "row"}, model.model_name),
    h("td", null, badge(model.status === "ready" ? "good" : "warn", model.is_busy ? "answering" : model.status ?? "loaded")),
    h("td", null, model.backend ? words.backendName(model.backend) : model.device ?? "", model.device_name && h("p.small", null, model.device_name)),
    h("td", null, action("Unload", async () => {
      await post("/api/v1/unload", {model_name: model.model_name});
      await refresh();
    }, {name: `Unload ${model.model_name}`})));
}

function showWork(health, refresh) {
  show(byId("at-work"), health.map((m) => [m.model_name, m.status, m.is_busy, m.backend]), () => health.length
    ? h("div.wide", {tabindex: "0"}, h("table", null,
      h("thead", null, h("tr", null, ["Model", "State", "Runs on", h("span.unseen", null, "Actions")].map((t) => h("th", {scope: "col"}, t)))),
      h("tbody", null, health.map((model) => workRow(model, refresh)))))
    : h("p", null, "No model is loaded. The first request loads one."));
}

async function readLog() {
  if (!logThere)
    return;
  const answer = await callIfThere(`/gfxbridge/log?after=${logNext}`);
  const log = byId("log");
  logThere = answer !== null;
  log.hidden = !logThere;
  if (!answer?.lines.length)
    return;
  logNext = answer.next;
  for (const line of answer.lines)
    log.append(h(`span.${line.level}`, null,
      `${new Date(line.time * 1000).toLocaleTimeString("en-GB")}  ${line.text}\n`));
  while (log.childElementCount > LOG_LINES)
    log.firstChild.remove();
  if (byId("log-follow").checked)
    log.scrollTop = log.scrollHeight;
}

/** One look at everything; visible tells whether the page shows it. */
export async function tick(data, visible, refresh) {
  if (!plots)
    build();
  await measure(data.detect);
  if (!visible)
    return;
  showWork(data.health, refresh);
  await readLog();
}
