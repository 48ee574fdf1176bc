// The page shows one section at a time, chosen by the address behind "#", and refreshes it while it is visible.
import {call, callIfThere} from "./api.js";
import {byId, badge, notice} from "./dom.js";
import {allJobs, onJobs, refreshJobs} from "./jobs.js";
import {showComputer} from "./computer.js";
import {loadedModels, readModels, showModels} from "./models.js";
import {showBackends} from "./backends.js";
import {showChat} from "./chat.js";
import {tick} from "./activity.js";
import {shortPath} from "./words.js";

const PLACES = ["computer", "chat", "models", "backends", "activity"];
const TICK_MS = 2000;
const PLAN_MS = 30000;

const data = {detect: null, plan: null, doctor: null, packages: [], models: [], health: []};
let lost = false;

function here() {
  const [place, argument] = location.hash.slice(1).split("/");
  let name = null;
  try {
    name = argument ? decodeURIComponent(argument) : null;
  } catch {
    // A broken address: only the section counts.
  }
  return {place: PLACES.includes(place) ? place : "computer", argument: name};
}

/** Draw the visible section. */
function draw() {
  const {place, argument} = here();
  if (data.plan && place === "computer")
    showComputer(data);
  if (data.plan && place === "backends")
    showBackends(data, refreshAll);
  if (place === "models")
    showModels(data, allJobs(), (onlyDraw) => onlyDraw === true ? draw() : refreshAll());
  if (place === "chat")
    showChat(data, argument);
}

function showPath() {
  const {state, text} = shortPath(data.detect, data.plan);
  byId("path").replaceChildren(badge(state, text));
  byId("path").hidden = false;
}

async function readPlan() {
  const [detect, backends, doctor] = await Promise.all([
    call("/gfxbridge/detect"), call("/gfxbridge/backends"), callIfThere("/gfxbridge/doctor")]);
  Object.assign(data, {detect, plan: backends, packages: backends.packages ?? [], doctor});
  showPath();
}

async function readStores() {
  const [models, health] = await Promise.all([readModels(), loadedModels()]);
  Object.assign(data, {models, health});
}

/** Say once that the server is away, and once that it is back. */
async function attempt(read) {
  try {
    await read();
    if (lost)
      notice("The server answers again.", "good");
    lost = false;
    draw();
  } catch (error) {
    if (!lost)
      notice(error.message, "bad");
    lost = true;
    if (!data.plan)
      byId("computer-title").textContent = "This computer could not be checked";
  }
}

const refreshAll = () => attempt(() => Promise.all([readPlan(), readStores()]));

// ---- going from place to place ----

function go(focus) {
  const {place} = here();
  for (const name of PLACES)
    byId(name).hidden = name !== place;
  for (const link of document.querySelectorAll("nav a"))
    if (link.hash === `#${place}`)
      link.setAttribute("aria-current", "page");
    else
      link.removeAttribute("aria-current");
  document.body.dataset.place = place;
  document.title = place === "computer" ? "gfxbridge" : `${place[0].toUpperCase()}${place.slice(1)} · gfxbridge`;
  draw();
  if (focus) {
    scrollTo(0, 0);
    byId(place === "chat" ? "chat-input" : `${place}-title`)?.focus({preventScroll: true});
  }
}

// ---- light and dark ----

const THEMES = [["", "Theme: system"], ["light", "Theme: light"], ["dark", "Theme: dark"]];

function showTheme() {
  const theme = document.documentElement.dataset.theme ?? "";
  const [, text] = THEMES.find(([name]) => name === theme);
  byId("theme").lastChild.textContent = text;
  byId("theme").setAttribute("aria-label", text);
}

function nextTheme() {
  const theme = document.documentElement.dataset.theme ?? "";
  const [next] = THEMES[(THEMES.findIndex(([name]) => name === theme) + 1) % THEMES.length];
  if (next)
    document.documentElement.dataset.theme = next;
  else
    delete document.documentElement.dataset.theme;
  try {
    localStorage.setItem("gfxbridge-theme", next);
  } catch {
    // Then the choice is valid for this visit only.
  }
  showTheme();
}

// ---- timers: nothing is requested while the page is hidden ----

async function every(milliseconds, run) {
  for (;;) {
    await new Promise((resolve) => { setTimeout(resolve, milliseconds); });
    if (!document.hidden)
      await run();
  }
}

async function pulse() {
  await attempt(async () => {
    data.health = await loadedModels();
    await tick(data, here().place === "activity", refreshAll);
  });
}

byId("theme").addEventListener("click", nextTheme);
addEventListener("hashchange", () => {
  go(true);
  if (here().place === "activity")
    pulse();
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // "#content" is no place
  byId("content").focus();
});
onJobs((ended) => {
  draw();
  if (ended)
    refreshAll();
});
showTheme();
go(false);
await refreshAll();
await refreshJobs();
await pulse();
every(TICK_MS, pulse);
every(PLAN_MS, refreshAll);
