// Downloads and tests belong to the server: they go on when this page is closed, and are shown again
// when it is opened.
import {callIfThere, post} from "./api.js";
import {h, action, notice} from "./dom.js";
import {backendName, duration, size} from "./words.js";

const POLL_MS = 500;
const IDLE_MS = 5000;

let jobs = [];
let timer = null;
let listeners = [];
const rates = new Map(); // id -> {at, bytes, rate}

export const allJobs = () => jobs;
export const jobFor = (id) => jobs.find((job) => job.id === id);
export const isRunning = (job) => job?.running || job?.status === "downloading";

/** Called whenever something changed; ended is true when a job has come to its end. */
export function onJobs(listener) {
  listeners.push(listener);
}

function measure(job) {
  const bytes = job.overall_bytes_downloaded ?? job.bytes_downloaded ?? 0;
  const now = performance.now();
  const last = rates.get(job.id);
  if (!last || bytes < last.bytes) {
    rates.set(job.id, {at: now, bytes, rate: 0});
  } else if (now - last.at > 400) {
    const rate = (bytes - last.bytes) / (now - last.at) * 1000;
    rates.set(job.id, {at: now, bytes, rate: last.rate ? 0.7 * last.rate + 0.3 * rate : rate});
  }
}

function settle(before, after) {
  const ended = before.filter((job) => isRunning(job) && !isRunning(after.find((a) => a.id === job.id)));
  for (const job of ended) {
    const now = after.find((a) => a.id === job.id);
    if (now?.status === "error")
      notice(`${jobTitle(job)}: ${now.error ?? "it failed"}`, "bad");
    else if (now?.status === "completed" || !now)
      notice(`${jobTitle(job)}: done`, "good");
  }
  return ended.length > 0;
}

const jobTitle = (job) => job.type === "backend" ? backendName(job.model_name.split(":")[1]) : job.model_name;

export async function refreshJobs() {
  clearTimeout(timer);
  try {
    const answer = await callIfThere("/api/v1/downloads") ?? [];
    const ended = settle(jobs, answer);
    jobs = answer;
    jobs.forEach(measure);
    for (const listener of listeners)
      listener(ended);
  } catch {
    // The server is away; the other parts of the page say so.
  }
  clearTimeout(timer);
  timer = setTimeout(refreshJobs, jobs.some(isRunning) ? POLL_MS : IDLE_MS);
}

export async function startPull(name) {
  await post("/api/v1/pull", {model_name: name, stream: true, subscribe: false});
  await refreshJobs();
}

// KIND:BACKEND of a choice of the plan: how its packages are installed and removed.
export const backendId = (choice) => `${choice.engine}:${choice.backend}`;

export async function startBackend(verb, id) {
  await post(`/gfxbridge/backends/${verb}`, {backend: id, stream: true, subscribe: false});
  await refreshJobs();
}

const control = (job, verb) => post("/api/v1/downloads/control", {id: job.id, action: verb})
  .then(refreshJobs);

function amounts(job) {
  const total = job.total_download_size || job.bytes_total;
  const done = job.overall_bytes_downloaded ?? job.bytes_downloaded ?? 0;
  return {done, total, share: total ? Math.min(1, done / total) : null};
}

function progressText(job) {
  const {done, total, share} = amounts(job);
  const rate = rates.get(job.id)?.rate ?? 0;
  const parts = [];
  if (job.step)
    parts.push(job.step);
  if (share !== null)
    parts.push(`${Math.floor(share * 100)} %`, `${size(done)} of ${size(total)}`);
  else if (done)
    parts.push(size(done));
  if (rate > 0 && isRunning(job)) {
    parts.push(`${size(rate)}/s`);
    if (total > done)
      parts.push(`${duration((total - done) / rate)} left`);
  }
  return parts.join(" · ") || "starting";
}

/** The bar of a job with what can be done about it; it is updated in place by `updateProgress`. */
export function progress(job) {
  const box = h("div.job", {"data-job": job.id},
    h("progress", {max: "1", "aria-label": `Progress of ${jobTitle(job)}`}),
    h("p.small"), h("p.actions"));
  updateProgress(box, job);
  return box;
}

export function updateProgress(box, job) {
  const [bar, text, buttons] = box.children;
  const {share} = amounts(job);
  const state = `${job.status} ${isRunning(job)}`;
  bar.hidden = job.status === "error" || job.status === "cancelled";
  if (share === null)
    bar.removeAttribute("value");
  else
    bar.value = share;
  text.textContent = job.status === "error" ? job.error ?? "It failed."
    : job.status === "cancelled" ? "Cancelled. The downloaded part is kept."
      : job.status === "paused" ? `Paused · ${progressText(job)}` : progressText(job);
  text.classList.toggle("bad", job.status === "error");
  if (buttons.dataset.state === state)
    return;
  buttons.dataset.state = state;
  buttons.replaceChildren(...jobButtons(job));
}

function jobButtons(job) {
  const name = jobTitle(job);
  if (isRunning(job))
    return [action("Cancel", () => control(job, "cancel"), {name: `Cancel ${name}`})];
  const dismiss = action("Dismiss", () => control(job, "remove"), {name: `Dismiss ${name}`});
  if (job.type === "model" && job.status !== "completed")
    return [action("Resume", () => startPull(job.model_name), {name: `Resume ${name}`}), dismiss];
  return job.status === "completed" ? [] : [dismiss];
}
