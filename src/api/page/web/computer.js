// What this computer is, which path it takes, and why not another: the answer first.
import {h, show, badge, command, action, byId} from "./dom.js";
import {backendId, startBackend, jobFor, isRunning} from "./jobs.js";
import * as words from "./words.js";

const STATES = {proven: "good", usable: "plain", rejected: "warn"};
const STATE_WORDS = {proven: "proven", usable: "possible", rejected: "not possible"};

const RUNG_STATES = [[true, "good", "yes"], [false, "bad", "no"], [null, "open", "not known yet"]];

/** The ladder of one choice: six steps at a glance, each with its evidence on request. */
function ladder(choice, name) {
  const steps = words.RUNG_NAMES.map((rung) => {
    const evidence = choice.evidence.find((e) => e.rung === rung);
    const [, kind, said] = RUNG_STATES.find(([ok]) => ok === (evidence?.ok ?? null));
    return {rung, kind, said, detail: evidence?.detail ?? "Not tried yet."};
  });
  return [
    h("ol.ladder", {"aria-label": "What was checked"}, steps.map((step) =>
      h(`li.${step.kind}`, null, words.rungName(step.rung), h("span.unseen", null, `: ${step.said}`)))),
    h("details", {"data-name": `evidence ${name}`},
      h("summary", null, "Evidence"),
      h("dl.evidence", null, steps.map((step) =>
        [h("dt", null, h("code", null, step.rung), ` ${words.rungName(step.rung)}`),
          h("dd", null, step.detail)]))),
  ];
}

function heroButtons(choice, unused) {
  if (choice.state === "proven")
    return [h("a.button.main", {href: "#chat"}, "Chat"), h("a.button", {href: "#models"}, "Get a model")];
  if (isRunning(jobFor(`backend:${backendId(choice)}`)))
    return h("a", {href: "#backends"}, "Being installed and proven …");
  const label = unused ? "Use the processor for now" : choice.installed ? "Prove it now" : "Install and prove it now";
  return action(label, () => startBackend(choice.installed ? "verify" : "install", backendId(choice)),
    {main: !unused, id: "prove-now"});
}

function hero({detect, plan, doctor}) {
  const head = words.headline(detect, plan);
  const choice = plan.chosen === null ? null : plan.choices[plan.chosen];
  const unused = words.unusedCard(plan);
  const remedy = unused ? words.remedyFor(doctor, unused) : "";
  byId("computer-title").textContent = head.title;
  return h(`div.hero.${head.state}`, null,
    h("p.lead", null, head.text),
    remedy && command(remedy),
    head.meanwhile && h("p", null, head.meanwhile),
    choice && h("p.actions", null, heroButtons(choice, unused)),
    choice && !unused && ladder(choice, "chosen"),
    choice?.warnings?.map((text) => h("p.small.warn", null, text)));
}

function facts(pairs) {
  return h("dl.facts", null, pairs.filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))));
}

const KINDS = {discrete: "card", integrated: "part of the processor", accelerator: "accelerator"};

function gpuCard(gpu, plan, explain) {
  const best = plan.choices.find((c) => c.gpus.includes(gpu.pci) && c.state !== "rejected");
  const shared = gpu.kind === "integrated";
  return h("article.card", null,
    h("header", null, h("h3", null, words.gpuName(gpu)),
      best ? badge(STATES[best.state], `${words.backendName(best.backend)} ${STATE_WORDS[best.state]}`)
        : badge("warn", "not usable now")),
    facts([
      ["Kind", KINDS[gpu.kind] ?? gpu.kind],
      ["Memory", shared ? `${words.memory(gpu.vram_bytes)} of its own, up to ${words.memory(gpu.gtt_bytes)} shared`
        : words.memory(gpu.vram_bytes)],
      ["Code name", gpu.gfx && [h("code", null, gpu.gfx), gpu.generation ? ` (${gpu.generation})` : "",
        explain && h("p.small", null, "The instruction set of the chip. Software must hold code for exactly this one.")]],
      ["Chip", gpu.asic],
      ["Driver", gpu.driver ?? "none"],
      ["Address", h("code", null, gpu.pci)],
    ]),
    gpu.notes.map((note) => h("p.small", null, note)));
}

/** One backend on one device: the first package speaks, the others are there on request. */
function pathItem(group, data, name) {
  const [best, ...others] = group;
  const device = words.choiceDevice(data.detect, best);
  const remedy = best.state === "rejected" ? words.remedyFor(data.doctor, best) : "";
  return h("article.card.choice", {"data-code": best.code, "data-backend": best.backend},
    h("header", null,
      h("h3", null, words.backendName(best.backend), device && ` on ${device}`),
      badge(STATES[best.state], STATE_WORDS[best.state])),
    h("p", null, best.reason),
    remedy && h("div", null, h("p.small", null, "What helps:"), command(remedy)),
    best.warnings?.map((text) => h("p.small.warn", null, text)),
    ladder(best, name),
    others.length > 0 && h("details", {"data-name": `others ${name}`},
      h("summary", null, others.length === 1 ? "One more package" : `${others.length} more packages`),
      h("ul.plain", null, others.map((choice) => h("li", null,
        choice.package && h("code", null, choice.package), " ", badge(STATES[choice.state], STATE_WORDS[choice.state]),
        h("p.small", null, choice.reason))))));
}

const SEVERITIES = {block: ["bad", "stands in the way"], warn: ["warn", "worth knowing"], info: ["plain", "note"]};

/** What is not said already as the reason of a path. */
function findings({doctor, plan}) {
  const reasons = new Set(plan.choices.map((choice) => choice.reason));
  const list = (doctor?.findings ?? []).filter((f) => !reasons.has(f.why));
  if (!list.length)
    return null;
  return [h("h2", null, "What doctor found"), list.map((f) => h("article.card", null,
    h("header", null, h("h3", null, words.sentence(f.what)), badge(...SEVERITIES[f.severity] ?? SEVERITIES.info)),
    h("p", null, words.sentence(f.why)), f.remedy && command(f.remedy)))];
}

function paths(data) {
  const groups = words.grouped(data.plan.choices);
  const chosen = data.plan.chosen === null ? null : data.plan.choices[data.plan.chosen];
  const rest = groups.map((group) => group.filter((choice) => choice !== chosen)).filter((g) => g.length);
  const named = (group) => `${group[0].backend} ${group[0].gpus.join(" ")}`;
  const items = (list) => list.map((group) => pathItem(group, data, named(group)));
  const possible = rest.filter((group) => group[0].state !== "rejected");
  const rejected = rest.filter((group) => group[0].state === "rejected");
  return [
    rejected.length > 0 && [h("h2", null, "Paths that are not taken, and why"), items(rejected)],
    possible.length > 0 && h("details.more", {"data-name": "possible"},
      h("summary", null, h("h2", null, `Also possible (${possible.length})`)), items(possible)),
  ];
}

function hostFacts({detect}) {
  const {host, kfd, vulkan} = detect;
  return h("details.more", {"data-name": "host"}, h("summary", null, h("h2", null, "The rest of this computer")),
    facts([
      ["System", host.distribution ?? host.os],
      ["Kernel", host.kernel],
      ["Processor", host.cpu],
      ["Memory", words.memory(host.memory_bytes)],
      ["C library", host.glibc && `glibc ${host.glibc}`],
      ["Container", host.container],
      ["Compute driver (KFD)", kfd.present ? (kfd.openable ? "there, opens" : kfd.reason ?? "there, does not open")
        : kfd.reason ?? "not there"],
      ["Vulkan drivers", vulkan.drivers.map((d) => d.software ? `${d.name} (software)` : d.name).join(", ") || "none"],
    ]));
}

export function showComputer(data) {
  const {detect, plan, doctor} = data;
  const running = plan.choices.map((c) => isRunning(jobFor(`backend:${backendId(c)}`)));
  show(byId("computer-body"), [detect, plan, doctor, running], () => [
    hero(data),
    detect.gpus.length > 0 && h("h2", null, detect.gpus.length === 1 ? "The card" : "The cards"),
    detect.gpus.length > 0 && h("div.grid", null, detect.gpus.map((gpu, i) => gpuCard(gpu, plan, i === 0))),
    paths(data),
    findings(data),
    hostFacts(data),
  ]);
}
