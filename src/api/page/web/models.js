// Models: the ones on this computer, the ones that would fit, and downloads.
import {call, post} from "./api.js";
import {h, show, badge, action, byId, notice} from "./dom.js";
import {jobFor, isRunning, progress, startPull, updateProgress} from "./jobs.js";
import * as words from "./words.js";

const LABELS = {vision: "vision", tools: "tools", "tool-calling": "tools", reasoning: "reasoning", coding: "coding",
  embeddings: "embeddings", embedding: "embeddings", reranking: "reranking"};

/** One model as this page needs it. */
function fromList(m) {
  return {name: m.id, here: m.downloaded, bytes: m.size ? m.size * 1e9 : null, labels: m.labels ?? [],
    task: m.task ?? null, licence: m.licence ?? null, origin: m.origin ?? null, ours: m.ours ?? true, fit: m.fit ?? null};
}

export const readModels = async () => (await call("/api/v1/models?show_all=true")).data.map(fromList);

export const sees = (model) => model?.labels.includes("vision") ?? false;
export const chats = (model) => model.task ? model.task === "chat" || model.task === "completion"
  : !model.labels.some((l) => l.startsWith("embedding") || l === "reranking");

const WHERE = {gpu: ["good", "fits on the GPU"], part: ["warn", "fits partly, slower"], cpu: ["plain", "fits in memory"]};

function fitBadge(fit) {
  if (!fit)
    return null;
  return fit.ok ? badge(...WHERE[fit.where] ?? WHERE.gpu) : badge("bad", "too large");
}

function fitText(fit) {
  if (!fit)
    return null;
  const need = words.memory(fit.need_bytes);
  const have = words.memory(fit.have_bytes);
  if (!fit.ok)
    return `Needs at least ${need}. This computer has ${have}.`;
  return {gpu: `Needs ${need} of ${have} GPU memory.`, part: `Needs ${need}. The GPU has ${have}.`,
    cpu: `Needs ${need} of ${have} memory.`}[fit.where];
}

const labelsOf = (model) => [...new Set(model.labels.map((label) => LABELS[label]).filter(Boolean))];

function modelButtons(model, loaded, refresh) {
  const name = model.name;
  const request = (path) => async () => {
    await post(path, {model_name: name});
    await refresh();
  };
  const id = (verb) => `${verb} ${name}`;
  if (!model.here)
    return model.fit?.ok === false ? [] : [action("Download", () => startPull(name), {id: id("pull"), name: `Download ${name}`})];
  return [
    chats(model) && h("a.button", {href: `#chat/${encodeURIComponent(name)}`, "aria-label": `Chat with ${name}`}, "Chat"),
    loaded ? action("Unload", request("/api/v1/unload"), {id: id("load"), name: `Unload ${name}`})
      : action("Load", request("/api/v1/load"), {id: id("load"), name: `Load ${name}`}),
    model.ours && model.origin !== "builtin" && action("Remove", async () => {
      if (confirm(`Remove ${name} from this computer?`))
        await request("/api/v1/delete")();
    }, {id: id("remove"), name: `Remove ${name}`}),
  ];
}

const ORIGINS = {builtin: "built in", ollama: "from Ollama", lmstudio: "from LM Studio", llamacpp: "from llama.cpp",
  lemonade: "from Lemonade", local: "your file"};

function modelRow(model, health, refresh) {
  const loaded = health.find((m) => m.model_name === model.name);
  const job = jobFor(`model:${model.name}`);
  const about = [model.bytes ? words.size(model.bytes) : null, ...labelsOf(model), ORIGINS[model.origin], model.licence];
  return h("li.model", {"data-model": model.name},
    h("div", null, h("h3", null, model.name, " ", loaded && badge("good", loaded.status === "loading" ? "loading" : "loaded"),
      " ", !loaded && fitBadge(model.fit)),
    h("p.small", null, about.filter(Boolean).join(" · ")),
    !model.here && fitText(model.fit) && h("p.small", null, fitText(model.fit)),
    loaded?.backend && h("p.small", null,
      `Runs on ${words.runsOn(loaded.backend)}${loaded.device_name ? `, ${loaded.device_name}` : ""}.`)),
    job && job.status !== "completed" && progress(job),
    !isRunning(job) && h("p.actions", null, modelButtons(model, loaded, refresh)));
}

/** Downloads of models that are in no list yet: they are shown after a reload, too. */
function strangers(models, jobs) {
  const known = new Set(models.map((model) => model.name));
  return jobs.filter((job) => job.type === "model" && job.status !== "completed" && !known.has(job.model_name));
}

function pullForm(refresh) {
  const input = h("input", {id: "pull-name", placeholder: "org/repo:Q4_K_M", autocomplete: "off", spellcheck: "false", required: true});
  return h("form.pull", {onsubmit: async (event) => {
    event.preventDefault();
    try {
      await startPull(input.value.trim());
      input.value = "";
      await refresh();
    } catch (error) {
      notice(error.message, "bad");
    }
  }},
  h("label", {for: "pull-name"}, "Download another model"),
  h("div.row", null, input, h("button", {type: "submit"}, "Download")),
  h("p.small", null, "A name from the list, or a Hugging Face repository."));
}

let filter = "";

function matches(model) {
  const text = `${model.name} ${labelsOf(model).join(" ")} ${model.task ?? ""}`.toLowerCase();
  return filter.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

function build(refresh) {
  const body = byId("models-body");
  if (body.children.length)
    return;
  const search = h("input", {id: "model-filter", type: "search", placeholder: "Find a model", "aria-label": "Find a model",
    oninput: () => {
      filter = search.value;
      refresh(true);
    }});
  body.append(search, h("div", {id: "models-list"}), pullForm(refresh));
}

export function showModels(data, jobs, refresh) {
  build(refresh);
  const list = byId("models-list");
  const {models, health} = data;
  const here = models.filter((model) => model.here && matches(model));
  const offered = models.filter((model) => !model.here && matches(model));
  const states = jobs.map((job) => [job.id, job.status, isRunning(job)]);
  const rows = (some) => h("ul.models", null, some.map((model) => modelRow(model, health, refresh)));
  show(list, [models, health.map((m) => [m.model_name, m.status, m.backend]), states, filter], () => [
    strangers(models, jobs).map((job) => h("article.card", null, h("h3", null, job.model_name), progress(job))),
    h("h2", null, `On this computer (${here.length})`),
    here.length ? rows(here) : h("p", null, filter ? "No model matches." : "No models yet."),
    offered.length > 0 && [h("h2", null, `Available to download (${offered.length})`), rows(offered)],
  ]);
  for (const box of list.querySelectorAll("[data-job]"))
    if (jobFor(box.dataset.job))
      updateProgress(box, jobFor(box.dataset.job));
}

export const loadedModels = async () => (await call("/api/v1/health")).all_models_loaded ?? [];
