// The program's answers in a person's words. Nothing here touches the page.

/** 25753026560 -> "24.0 GiB": memory, as the command line writes it. */
export function memory(bytes) {
  return bytes ? scaled(bytes, 1024, ["B", "KiB", "MiB", "GiB", "TiB"]) : "unknown";
}

/** 2500000000 -> "2.5 GB": files and downloads. */
export function size(bytes) {
  return bytes ? scaled(bytes, 1000, ["B", "kB", "MB", "GB", "TB"]) : "unknown size";
}

function scaled(value, step, units) {
  let unit = 0;
  while (value >= step * 0.9995 && unit < units.length - 1) {
    value /= step;
    unit++;
  }
  return `${value < 99.95 && unit > 1 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** 4689.3 -> "4,689"; small ones keep a decimal. */
export function number(value) {
  return value.toLocaleString("en", {maximumFractionDigits: value < 100 ? 1 : 0});
}

/** Seconds -> "40 s", "3 min", "1 h 20 min". */
export function duration(seconds) {
  if (seconds < 90)
    return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** "2026-11-24" -> "today", "yesterday", "on 24 November 2026". */
export function day(text, now = new Date()) {
  const [year, month, date] = text.split("-").map(Number);
  const then = new Date(year, month - 1, date);
  const midnight = new Date(now.getFullYear(), now.getMonth(), now.getDate());
  const days = Math.round((midnight - then) / 86400000);
  if (days === 0 || days === -1) // proofs carry the day of UTC, which may be ahead
    return "today";
  if (days === 1)
    return "yesterday";
  return `on ${then.toLocaleDateString("en-GB", {day: "numeric", month: "long", year: "numeric"})}`;
}

const BACKENDS = {
  rocm: ["ROCm", "AMD's own way to compute on its cards, usually the fastest."],
  vulkan: ["Vulkan", "Works with nearly every graphics card through its ordinary driver."],
  cpu: ["Processor", "Needs no graphics card. Slower, and always there."],
  "vulkan-software": ["Software Vulkan", "Vulkan computed by the processor; for tests."],
};

export const backendName = (backend) => BACKENDS[backend]?.[0] ?? backend;
export const backendAbout = (backend) => BACKENDS[backend]?.[1] ?? "";
/** As the object of "runs on". */
export const runsOn = (backend) => backend === "cpu" ? "the processor" : backendName(backend);

/** "AMD Radeon RX 7900 XTX" -> "Radeon RX 7900 XTX"; what there is when the name is unknown. */
export function gpuName(gpu) {
  if (!gpu)
    return "graphics card";
  return (gpu.name ?? gpu.asic ?? `graphics card ${gpu.vendor_id}:${gpu.device_id}`)
    .replace(/^AMD (?=Radeon|Instinct)/, "");
}

export const gpuAt = (detect, pci) => detect.gpus.find((gpu) => gpu.pci === pci);

/** What a choice of the plan computes on. */
export function choiceDevice(detect, choice) {
  if (!choice.gpus.length)
    return choice.backend === "cpu" ? detect.host.cpu ?? "the processor" : "";
  return choice.gpus.map((pci) => gpuName(gpuAt(detect, pci))).join(" and ");
}

const RUNGS = {
  E0: "Recognised",
  E1: "Software fits",
  E2: "Computer ready",
  E3: "Engine sees it",
  E4: "Answers right",
  E5: "Speed measured",
};

export const RUNG_NAMES = Object.keys(RUNGS);
export const rungName = (rung) => RUNGS[rung] ?? rung;

/** The day of a proof, as its sentences have it; null when there is none. */
export function proofDay(choice) {
  const texts = [...choice.evidence].reverse().map((e) => e.detail).concat(choice.reason);
  for (const text of texts) {
    const found = /\b(\d{4}-\d\d-\d\d)\b/.exec(text ?? "");
    if (found)
      return found[1];
  }
  return null;
}

export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** Choices of one backend on one device; the first is the one that speaks for all. */
export function grouped(choices) {
  const groups = new Map();
  for (const choice of choices) {
    const key = `${choice.backend} ${choice.gpus.join(" ")}`;
    groups.set(key, [...groups.get(key) ?? [], choice]);
  }
  return [...groups.values()];
}

const UNPROVEN = "Nothing speaks against it. It is proven before the first answer, or now:";

/** The best choice for a card that is there while something else, or nothing, answers; or null. */
export function unusedCard(plan) {
  const chosen = plan.chosen === null ? null : plan.choices[plan.chosen];
  if (chosen?.gpus.length)
    return null;
  return plan.choices.find((c) => c.state === "rejected" && c.gpus.length) ?? null;
}

/**
 * The answer, before any evidence: {state: "good"|"warn"|"bad", title, text}.
 * A GPU that is there and not used is never passed over.
 */
export function headline(detect, plan) {
  const choice = plan.chosen === null ? null : plan.choices[plan.chosen];
  const unused = unusedCard(plan);
  const date = choice?.state === "proven" ? proofDay(choice) : null;
  const proven = choice?.state === "proven" ? `, proven${date ? ` ${day(date)}` : ""}` : null;
  if (unused)
    return {state: choice ? "warn" : "bad", title: `Your ${choiceDevice(detect, unused)} is not used yet`,
      text: sentence(unused.reason),
      meanwhile: choice ? `Until then the processor answers${proven ?? ""}.` : "Until then nothing here can run a model."};
  if (!choice)
    return {state: "bad", title: "Nothing here can run a model yet",
      text: plan.choices[0]?.reason ?? "No path was found on this computer."};
  if (choice.gpus.length) {
    const title = `Your ${choiceDevice(detect, choice)} ${proven ? "runs" : "should run"} on ${runsOn(choice.backend)}`;
    return proven ? {state: "good", title: title + proven,
      text: "The test model's answers came from the card itself and were right to the letter."}
      : {state: "warn", title, text: UNPROVEN};
  }
  return {state: proven ? "good" : "warn",
    title: `This computer ${proven ? "answers" : "should answer"} on its processor${proven ?? ""}`,
    text: `There is no graphics card in it that could do it.${proven ? "" : ` ${UNPROVEN}`}`};
}

/** The line in the corner: what answers, in three words. */
export function shortPath(detect, plan) {
  const choice = plan.chosen === null ? null : plan.choices[plan.chosen];
  if (!choice)
    return {state: "bad", text: "nothing usable"};
  const state = choice.state === "proven" ? "good" : "warn";
  return {state, text: `${backendName(choice.backend)} · ${choice.state === "proven" ? "proven" : "unproven"}`};
}

/** The remedy that doctor gives for a rejected choice, as a command; "" none. */
export function remedyFor(doctor, choice) {
  const same = doctor?.findings.filter((f) => f.code === choice.code) ?? [];
  const found = same.find((f) => f.why === choice.reason) ??
    same.find((f) => f.what?.startsWith(`${choice.backend} `)) ?? (same.length === 1 ? same[0] : null);
  return found?.remedy ?? "";
}
