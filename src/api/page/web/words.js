// The program's answers in plain words. Nothing here touches the page.

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
  rocm: ["ROCm", "AMD's compute platform for its GPUs. Usually the fastest."],
  vulkan: ["Vulkan", "Works on almost every GPU with its normal driver."],
  cpu: ["CPU", "Needs no GPU. Slower, but always available."],
  "vulkan-software": ["Software Vulkan", "Vulkan on the CPU. For tests only."],
};

export const backendName = (backend) => BACKENDS[backend]?.[0] ?? backend;
export const backendAbout = (backend) => BACKENDS[backend]?.[1] ?? "";
/** As the object of "runs on". */
export const runsOn = (backend) => backend === "cpu" ? "the CPU" : backendName(backend);

/** "AMD Radeon RX 7900 XTX" -> "Radeon RX 7900 XTX"; without a name the chip or the PCI id. */
export function gpuName(gpu) {
  if (!gpu)
    return "GPU";
  return (gpu.name ?? gpu.asic ?? `GPU ${gpu.vendor_id}:${gpu.device_id}`)
    .replace(/^AMD (?=Radeon|Instinct)/, "");
}

export const gpuAt = (detect, pci) => detect.gpus.find((gpu) => gpu.pci === pci);

/** The device that a choice of the plan uses. */
export function choiceDevice(detect, choice) {
  if (!choice.gpus.length)
    return choice.backend === "cpu" ? detect.host.cpu ?? "the CPU" : "";
  return choice.gpus.map((pci) => gpuName(gpuAt(detect, pci))).join(" and ");
}

const RUNGS = {
  E0: "Recognised",
  E1: "Supported",
  E2: "System ready",
  E3: "Engine finds it",
  E4: "Answers correct",
  E5: "Speed measured",
};

export const RUNG_NAMES = Object.keys(RUNGS);
export const rungName = (rung) => RUNGS[rung] ?? rung;

/** The day of a proof, taken from its sentences; null when there is none. */
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

/** Choices grouped by backend and device. The first of a group is the best. */
export function grouped(choices) {
  const groups = new Map();
  for (const choice of choices) {
    const key = `${choice.backend} ${choice.gpus.join(" ")}`;
    groups.set(key, [...groups.get(key) ?? [], choice]);
  }
  return [...groups.values()];
}

const UNPROVEN = "Ready. It is tested before the first answer, or now:";

/** The best choice for a GPU that is found but not used; null when there is none. */
export function unusedCard(plan) {
  const chosen = plan.chosen === null ? null : plan.choices[plan.chosen];
  if (chosen?.gpus.length)
    return null;
  return plan.choices.find((c) => c.state === "rejected" && c.gpus.length) ?? null;
}

/**
 * The answer, before any evidence: {state: "good"|"warn"|"bad", title, text}.
 * A GPU that is found and not used is always mentioned.
 */
export function headline(detect, plan) {
  const choice = plan.chosen === null ? null : plan.choices[plan.chosen];
  const unused = unusedCard(plan);
  const date = choice?.state === "proven" ? proofDay(choice) : null;
  const proven = choice?.state === "proven" ? `, proven${date ? ` ${day(date)}` : ""}` : null;
  if (unused)
    return {state: choice ? "warn" : "bad", title: `Your ${choiceDevice(detect, unused)} is not used yet`,
      text: sentence(unused.reason),
      meanwhile: choice ? `Until then, the CPU runs models${proven ?? ""}.` : "Until then, this computer cannot run models."};
  if (!choice)
    return {state: "bad", title: "This computer cannot run models yet",
      text: plan.choices[0]?.reason ?? "No backend was found."};
  if (choice.gpus.length) {
    const title = `Your ${choiceDevice(detect, choice)} ${proven ? "runs on" : "is ready for"} ${runsOn(choice.backend)}`;
    return proven ? {state: "good", title: title + proven,
      text: "The test model ran on the GPU itself, and its answers were correct to the byte."}
      : {state: "warn", title, text: UNPROVEN};
  }
  return {state: proven ? "good" : "warn",
    title: `This computer ${proven ? "runs" : "can run"} models on its CPU${proven ?? ""}`,
    text: `No usable GPU was found.${proven ? "" : ` ${UNPROVEN}`}`};
}

/** The line in the corner: the backend and its state. */
export function shortPath(detect, plan) {
  const choice = plan.chosen === null ? null : plan.choices[plan.chosen];
  if (!choice)
    return {state: "bad", text: "no backend"};
  const state = choice.state === "proven" ? "good" : "warn";
  return {state, text: `${backendName(choice.backend)} · ${choice.state === "proven" ? "proven" : "not tested yet"}`};
}

/** The remedy that doctor gives for a rejected choice, as a command; "" none. */
export function remedyFor(doctor, choice) {
  const same = doctor?.findings.filter((f) => f.code === choice.code) ?? [];
  const found = same.find((f) => f.why === choice.reason) ??
    same.find((f) => f.what?.startsWith(`${choice.backend} `)) ?? (same.length === 1 ? same[0] : null);
  return found?.remedy ?? "";
}
