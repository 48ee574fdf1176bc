// The computer: which backend is used, and why not another one. The answer comes first.
import {h, show, badge, command, action, byId} from "./dom.js";
import {backendId, startBackend, jobFor, isRunning} from "./jobs.js";
import * as words from "./words.js";

const STATES = {proven: "good", usable: "plain", rejected: "warn"};
const STATE_WORDS = {proven: "proven", usable: "ready", rejected: "not available"};

const RUNG_STATES = [[true, "good", "yes"], [false, "bad", "no"], [null, "open", "not known yet"]];

/** The ladder of one choice: six steps at a glance, each with its evidence on request. */
function ladder(choice, name) {
  const steps = words.RUNG_NAMES.map((rung) => {
    const evidence = choice.evidence.find((e) => e.rung === rung);
    const [, kind, said] = RUNG_STATES.find(([ok]) => ok === (evidence?.ok ?? null));
    return {rung, kind, said, detail: evidence?.detail ?? "Not tested yet."};
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
    return h("a", {href: "#backends"}, "Installing and testing …");
  const label = unused ? "Use the CPU for now" : choice.installed ? "Test it now" : "Install and test it now";
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

const KINDS = {discrete: "graphics card", integrated: "integrated GPU", accelerator: "accelerator"};

function gpuCard(gpu, plan, explain) {
  const best = plan.choices.find((c) => c.gpus.includes(gpu.pci) && c.state !== "rejected");
  const shared = gpu.kind === "integrated";
  return h("article.card", null,
    h("header", null, h("h3", null, words.gpuName(gpu)),
      best ? badge(STATES[best.state], `${words.backendName(best.backend)} ${STATE_WORDS[best.state]}`)
        : badge("warn", "cannot be used")),
    facts([
      ["Type", KINDS[gpu.kind] ?? gpu.kind],
      ["Memory", shared ? `${words.memory(gpu.vram_bytes)} dedicated, up to ${words.memory(gpu.gtt_bytes)} shared`
        : words.memory(gpu.vram_bytes)],
      ["gfx target", gpu.gfx && [h("code", null, gpu.gfx), gpu.generation ? ` (${gpu.generation})` : "",
        explain && h("p.small", null, "The instruction set of the chip. A package must contain code for it.")]],
      ["Chip", gpu.asic],
      ["Driver", gpu.driver ?? "none"],
      ["PCI address", h("code", null, gpu.pci)],
    ]),
    gpu.notes.map((note) => h("p.small", null, note)));
}

/** One backend on one device: the best package, the others on request. */
function pathItem(group, data, name) {
  const [best, ...others] = group;
  const device = words.choiceDevice(data.detect, best);
  const remedy = best.state === "rejected" ? words.remedyFor(data.doctor, best) : "";
  return h("article.card.choice", {"data-code": best.code, "data-backend": best.backend},
    h("header", null,
      h("h3", null, words.backendName(best.backend), device && ` on ${device}`),
      badge(STATES[best.state], STATE_WORDS[best.state])),
    h("p", null, best.reason),
    remedy && h("div", null, h("p.small", null, "To fix it:"), command(remedy)),
    best.warnings?.map((text) => h("p.small.warn", null, text)),
    ladder(best, name),
    others.length > 0 && h("details", {"data-name": `others ${name}`},
      h("summary", null, others.length === 1 ? "One more package" : `${others.length} more packages`),
      h("ul.plain", null, others.map((choice) => h("li", null,
        choice.package && h("code", null, choice.package), " ", badge(STATES[choice.state], STATE_WORDS[choice.state]),
        h("p.small", null, choice.reason))))));
}

const SEVERITIES = {block: ["bad", "problem"], warn: ["warn", "warning"], info: ["plain", "note"]};

/** Findings of doctor that are not shown as the reason of a choice already. */
function findings({doctor, plan}) {
  const reasons = new Set(plan.choices.map((choice) => choice.reason));
  const list = (doctor?.findings ?? []).filter((f) => !reasons.has(f.why));
  if (!list.length)
    return null;
  return [h("h2", null, "Problems and notes"), list.map((f) => h("article.card", null,
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
    rejected.length > 0 && [h("h2", null, "Not used, and why"), items(rejected)],
    possible.length > 0 && h("details.more", {"data-name": "possible"},
      h("summary", null, h("h2", null, `Also available (${possible.length})`)), items(possible)),
  ];
}

function hostFacts({detect}) {
  const {host, kfd, vulkan} = detect;
  return h("details.more", {"data-name": "host"}, h("summary", null, h("h2", null, "System")),
    facts([
      ["Operating system", host.distribution ?? host.os],
      ["Kernel", host.kernel],
      ["CPU", host.cpu],
      ["Memory", words.memory(host.memory_bytes)],
      ["C library", host.glibc && `glibc ${host.glibc}`],
      ["Container", host.container],
      ["Compute driver (KFD)", kfd.present ? (kfd.openable ? "available" : kfd.reason ?? "cannot be opened")
        : kfd.reason ?? "missing"],
      ["Vulkan drivers", vulkan.drivers.map((d) => d.software ? `${d.name} (software)` : d.name).join(", ") || "none"],
    ]));
}

export function showComputer(data) {
  const {detect, plan, doctor} = data;
  const running = plan.choices.map((c) => isRunning(jobFor(`backend:${backendId(c)}`)));
  show(byId("computer-body"), [detect, plan, doctor, running], () => [
    hero(data),
    detect.gpus.length > 0 && h("h2", null, detect.gpus.length === 1 ? "GPU" : "GPUs"),
    detect.gpus.length > 0 && h("div.grid", null, detect.gpus.map((gpu, i) => gpuCard(gpu, plan, i === 0))),
    paths(data),
    findings(data),
    hostFacts(data),
  ]);
}
