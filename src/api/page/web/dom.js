// Builds elements without HTML text: the strings of models and file names become text nodes.

/** h("p.note", {title: "x", onclick: f}, "text", node, [more], null) */
export function h(selector, props, ...children) {
  const [tag, ...classes] = selector.split(".");
  const element = document.createElement(tag);
  if (classes.length)
    element.className = classes.join(" ");
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false)
      continue;
    if (name.startsWith("on"))
      element.addEventListener(name.slice(2), value);
    else
      element.setAttribute(name, value === true ? "" : value);
  }
  add(element, children);
  return element;
}

/** Append texts, nodes and lists of them; null and false are left out. */
export function add(element, children) {
  for (const child of children.flat(Infinity))
    if (child !== null && child !== undefined && child !== false)
      element.append(child);
}

export function byId(id) {
  return document.getElementById(id);
}

const shown = new WeakMap();

/** Replace the content, unless it would be the same: focus and open details survive a refresh. */
export function show(element, key, make) {
  const state = JSON.stringify(key);
  if (shown.get(element) === state)
    return;
  shown.set(element, state);
  const open = new Set([...element.querySelectorAll("details[open][data-name]")]
    .map((details) => details.dataset.name));
  const focused = element.contains(document.activeElement) && document.activeElement.id;
  element.replaceChildren();
  add(element, [make()]);
  for (const details of element.querySelectorAll("details[data-name]"))
    details.open ||= open.has(details.dataset.name);
  if (focused)
    byId(focused)?.focus();
}

/** A word or two with a colour and a shape of its own: good, warn, bad, plain. */
export function badge(kind, text) {
  return h(`span.badge.${kind}`, null, text);
}

/** A message at the bottom for some seconds; screen readers read it. */
export function notice(text, kind = "plain") {
  const box = byId("notices");
  const close = h("button.quiet", {type: "button", "aria-label": "Close this message",
    onclick: () => line.remove()}, "×");
  const line = h(`div.notice.${kind}`, null, h("span", null, text), close);
  box.append(line);
  while (box.children.length > 3)
    box.firstChild.remove();
  if (kind !== "bad")
    setTimeout(() => line.remove(), 8000);
}

/** A command with a button that copies it. */
export function command(text) {
  const button = h("button.quiet", {type: "button", "aria-label": `Copy ${text}`}, "Copy");
  button.addEventListener("click", () => copy(text, button));
  return h("div.command", null, h("code", {tabindex: "0"}, text), button);
}

export async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  } catch {
    notice("The browser does not allow copying. Select the text instead.", "warn");
  }
}

/** A button that is disabled while its action runs, and that shows the error of the action. */
export function action(label, run, {main = false, id = null, name = null} = {}) {
  const button = h(main ? "button.main" : "button", {type: "button", id, "aria-label": name}, label);
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await run();
    } catch (error) {
      notice(error.message, "bad");
    } finally {
      button.disabled = false;
    }
  });
  return button;
}

export function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes))
    element.setAttribute(name, value);
  element.append(...children);
  return element;
}
