// The engine packages: install, test again, prefer, remove.
import {post} from "./api.js";
import {h, show, badge, action, byId} from "./dom.js";
import {backendId, jobFor, isRunning, progress, startBackend, updateProgress} from "./jobs.js";
import * as words from "./words.js";

const BACKENDS = ["rocm", "vulkan", "cpu"];
const STATES = {proven: ["good", "proven"], usable: ["plain", "ready"], rejected: ["warn", "not available"]};

const jobOf = (choice) => choice && jobFor(`backend:${backendId(choice)}`);

function packageLine(p) {
  return h("li", null,
    h("code", null, p.id), p.version ? ` ${p.version}` : "", p.pinned && [" ", badge("plain", "preferred")],
    h("span.small", null, ` ${words.size(p.bytes)}`),
    h("details", {"data-name": `package ${p.digest}`}, h("summary", null, "Details"),
      h("dl.facts", null,
        h("div", null, h("dt", null, "Source"), h("dd", null, p.source)),
        h("div", null, h("dt", null, "sha256"), h("dd", null, h("code.long", null, p.digest))),
        p.gfx.length > 0 && h("div", null, h("dt", null, "Contains code for"), h("dd", null, p.gfx.join(" "))))));
}

function buttons(backend, best, packages, chosen, refresh) {
  const name = words.backendName(backend);
  const request = (verb, body) => async () => {
    await post(`/gfxbridge/backends/${verb}`, {backend: backendId(best), ...body});
    await refresh();
  };
  if (!packages.length)
    return best?.state === "usable" && action("Install and test", () => startBackend("install", backendId(best)),
      {main: chosen, id: `install-${backend}`, name: `Install and test ${name}`});
  const pinned = packages.some((p) => p.pinned);
  return [
    action("Test again", () => startBackend("verify", backendId(best)), {id: `verify-${backend}`, name: `Test ${name} again`}),
    pinned ? action("Let gfxbridge choose", request("use", {digest: "none"}), {id: `use-${backend}`, name: `${name}: let gfxbridge choose`})
      : action("Always use this", request("use"), {id: `use-${backend}`, name: `Always use ${name}`}),
    action("Remove", async () => {
      if (confirm(`Remove ${name}'s ${packages.length === 1 ? "package" : "packages"} from this computer?`))
        await request("remove")();
    }, {id: `remove-${backend}`, name: `Remove ${name}`}),
  ];
}

function backendCard(backend, data, refresh) {
  const choices = data.plan.choices.filter((c) => c.backend === backend);
  const best = choices[0];
  const packages = data.packages.filter((p) => p.backend === backend);
  const chosen = data.plan.chosen !== null && data.plan.choices[data.plan.chosen].backend === backend;
  const job = jobOf(best);
  const [kind, text] = STATES[best?.state] ?? ["warn", "not available"];
  return h("article.card", {"data-backend": backend},
    h("header", null, h("h2", null, words.backendName(backend)),
      h("span", null, chosen && badge("plain", "in use"), " ", badge(kind, text))),
    h("p.small", null, words.backendAbout(backend)),
    best && h("p", null, best.reason),
    packages.length > 0 && h("ul.plain", null, packages.map(packageLine)),
    job && progress(job),
    !isRunning(job) && h("p.actions", null, buttons(backend, best, packages, chosen, refresh)));
}

export function showBackends(data, refresh) {
  const target = byId("backends-body");
  const states = BACKENDS.map((backend) => jobOf(data.plan.choices.find((c) => c.backend === backend)))
    .map((job) => [job?.status, isRunning(job)]);
  show(target, [data.plan, data.packages, states], () => [
    h("p.lead", null, "A backend runs models on a GPU or on the CPU. gfxbridge uses the best one that is " +
      "proven on this computer. If it fails, gfxbridge falls back to the next one."),
    BACKENDS.map((backend) => backendCard(backend, data, refresh)),
  ]);
  for (const box of target.querySelectorAll("[data-job]"))
    if (jobFor(box.dataset.job))
      updateProgress(box, jobFor(box.dataset.job));
}
