// Markdown of models -> elements. There is no HTML in between: every piece of text becomes a text
// node, every element is one of those made here, and a link leads to http or https only.
import {h, copy} from "./dom.js";

const DEPTH = 8; // emphasis in emphasis, lists in lists; what is deeper stays as it was written

// ---- inline ----

const SPECIAL = /[\\`*_~[!\n]|https?:\/\//g;
const LINK = /\[((?:[^[\]\\]|\\.|\[[^[\]]*\])*)\]\(\s*<?([^\s<>()]*(?:\([^\s()]*\)[^\s<>()]*)*)>?(?:\s+"[^"]*")?\s*\)/y;
const ADDRESS = /https?:\/\/[^\s<>"'`\\^{|}]+/y;
const WORD = /[\p{L}\p{N}]/u;

function link(address, children) {
  if (!/^https?:\/\/[^\s]/i.test(address) || !URL.canParse(address))
    return children;
  return h("a", {href: address, target: "_blank", rel: "noopener noreferrer nofollow"}, children);
}

function codeSpan(text, at) {
  const ticks = /`+/y;
  ticks.lastIndex = at;
  const fence = ticks.exec(text)[0];
  let end = text.indexOf(fence, at + fence.length);
  while (end >= 0 && (text[end + fence.length] === "`" || text[end - 1] === "`"))
    end = text.indexOf(fence, end + fence.length + 1);
  if (end < 0)
    return {node: fence, next: at + fence.length};
  const inside = text.slice(at + fence.length, end).replace(/\n/g, " ");
  return {node: h("code", null, /^ .* $/.test(inside) ? inside.slice(1, -1) : inside),
    next: end + fence.length};
}

/** Where emphasis that opens here closes; -1 nowhere. closed: marks that have no end any more. */
function closing(text, mark, from, closed) {
  if (closed.has(mark) || /\s/.test(text[from] ?? " "))
    return -1;
  const c = mark[0];
  for (let end = text.indexOf(mark, from); end >= 0; end = text.indexOf(mark, end + 1)) {
    const flanked = end > from && !/\s/.test(text[end - 1]) && text[end - 1] !== "\\";
    const whole = text[end + mark.length] !== c && (mark.length > 1 || text[end - 1] !== c);
    if (flanked && whole && (c !== "_" || !WORD.test(text[end + mark.length] ?? "")))
      return end;
  }
  closed.add(mark);
  return -1;
}

function emphasis(text, at, depth, closed) {
  const c = text[at];
  let run = 1;
  while (text[at + run] === c)
    run++;
  const inWord = c === "_" && at > 0 && WORD.test(text[at - 1]);
  const marks = c === "~" ? {2: "del"} : {1: "em", 2: "strong", 3: "strong"};
  const tag = marks[run];
  if (tag && !inWord && depth < DEPTH) {
    const end = closing(text, c.repeat(run), at + run, closed);
    if (end >= 0) {
      const inside = inline(text.slice(at + run, end), depth + 1);
      return {node: h(tag, null, run === 3 ? h("em", null, inside) : inside), next: end + run};
    }
  }
  return {node: c.repeat(run), next: at + run};
}

function bracket(text, at, depth) {
  const picture = text[at] === "!";
  LINK.lastIndex = at + (picture ? 1 : 0);
  const found = depth < DEPTH && LINK.exec(text);
  if (!found)
    return {node: text[at], next: at + 1};
  const next = LINK.lastIndex; // before what is inside is looked at by the same pattern
  // A picture would be a request to somewhere else: its words are shown, as a link.
  const words = picture ? [found[1] || "picture"] : inline(found[1], depth + 1);
  return {node: link(found[2], words), next};
}

function bareAddress(text, at) {
  ADDRESS.lastIndex = at;
  const found = ADDRESS.exec(text)?.[0] ?? "";
  let n = found.length; // the end of a sentence is not the address's
  while (".,:;!?*_~)]".includes(found[n - 1]))
    n--;
  if (n < 11)
    return {node: text[at], next: at + 1};
  return {node: link(found.slice(0, n), [found.slice(0, n)]), next: at + n};
}

/** One paragraph's text -> nodes. */
function inline(text, depth = 0) {
  const nodes = [];
  const closed = new Set();
  let at = 0;
  while (at < text.length) {
    SPECIAL.lastIndex = at;
    const next = SPECIAL.exec(text)?.index ?? text.length;
    if (next > at)
      nodes.push(text.slice(at, next));
    if (next === text.length)
      break;
    const c = text[next];
    let piece;
    if (c === "\n")
      piece = {node: h("br"), next: next + 1};
    else if (c === "\\" && /[!-/:-@[-`{-~]/.test(text[next + 1] ?? ""))
      piece = {node: text[next + 1], next: next + 2};
    else if (c === "`")
      piece = codeSpan(text, next);
    else if (c === "*" || c === "_" || c === "~")
      piece = emphasis(text, next, depth, closed);
    else if (c === "[" || c === "!" && text[next + 1] === "[")
      piece = bracket(text, next, depth);
    else if (c === "h")
      piece = bareAddress(text, next);
    else
      piece = {node: c, next: next + 1};
    nodes.push(piece.node);
    at = piece.next;
  }
  return nodes;
}

// ---- blocks ----

// Every pattern takes time in proportion to the line: none has two ways to match the same blanks.
const FENCE = /^( {0,3})(`{3,}|~{3,})(.*)$/;
const HEADING = /^ {0,3}(#{1,6}) +(.*)$/;
const RULE = /^ {0,3}([-*_])[ \t]*(?:\1[ \t]*){2,}$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])(?:[ \t]+(.*)|)$/;
const DELIMITER = /^\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?$/;

const blank = (line) => line.trim() === "";
const indent = (line) => /^ */.exec(line)[0].length;

/** "```js" -> what opens a block of code, null for other lines. */
function fenceOf(line) {
  const found = FENCE.exec(line);
  if (!found || found[2][0] === "`" && found[3].includes("`"))
    return null;
  return {indent: found[1].length, marks: found[2], language: found[3].trim().split(" ")[0]};
}

function closesFence(line, fence) {
  const marks = line.trim();
  return indent(line) < 4 && marks.length >= fence.marks.length &&
    marks === fence.marks[0].repeat(marks.length);
}

const startsBlock = (line) => fenceOf(line) !== null || HEADING.test(line) || RULE.test(line) ||
  QUOTE.test(line) || ITEM.test(line);
const startsTable = (lines, i) => lines[i].includes("|") && i + 1 < lines.length &&
  lines[i + 1].includes("-") && lines[i + 1].includes("|") && DELIMITER.test(lines[i + 1].trim());

/** How many lines, from the first on, belong to the block that starts there. */
function extent(lines, i) {
  const fence = fenceOf(lines[i]);
  let end = i + 1;
  if (fence) {
    while (end < lines.length && !closesFence(lines[end], fence))
      end++;
    return Math.min(end + 1, lines.length);
  }
  if (HEADING.test(lines[i]) || RULE.test(lines[i]))
    return end;
  if (QUOTE.test(lines[i])) {
    while (end < lines.length && !blank(lines[end]) && (QUOTE.test(lines[end]) || !startsBlock(lines[end])))
      end++;
    return end;
  }
  if (ITEM.test(lines[i]))
    return listExtent(lines, i);
  if (startsTable(lines, i)) {
    end = i + 2;
    while (end < lines.length && lines[end].includes("|") && !blank(lines[end]))
      end++;
    return end;
  }
  while (end < lines.length && !blank(lines[end]) && !startsBlock(lines[end]) && !startsTable(lines, end))
    end++;
  return end;
}

/** A list goes on through blank lines when what follows is indented or another item. */
function listExtent(lines, i) {
  const first = ITEM.exec(lines[i]);
  const ordered = /\d/.test(first[2]);
  let end = i + 1;
  while (end < lines.length) {
    let next = end;
    while (next < lines.length && blank(lines[next]))
      next++;
    if (next === lines.length)
      break;
    const item = ITEM.exec(lines[next]);
    const deeper = indent(lines[next]) >= first[1].length + 2;
    const sibling = item && !RULE.test(lines[next]) && item[1].length >= first[1].length &&
      /\d/.test(item[2]) === ordered;
    if (!deeper && !sibling && (next > end || startsBlock(lines[next])))
      break;
    end = next + 1;
  }
  return end;
}

function codeBlock(lines) {
  const fence = fenceOf(lines[0]);
  const closed = lines.length > 1 && closesFence(lines.at(-1), fence);
  const inside = lines.slice(1, closed ? -1 : undefined)
    .map((line) => line.slice(Math.min(fence.indent, indent(line)))).join("\n");
  const button = h("button.quiet", {type: "button", "aria-label": "Copy this code"}, "Copy");
  button.addEventListener("click", () => copy(inside, button));
  return h("div.code", null,
    h("div.code-head", null, h("span", null, fence.language || "text"), button),
    h("pre", {tabindex: "0"}, h("code", null, inside)));
}

function listBlock(lines, depth) {
  const first = ITEM.exec(lines[0]);
  const ordered = /\d/.test(first[2]);
  const items = [];
  for (const line of lines) {
    const item = ITEM.exec(line);
    if (item && item[1].length <= first[1].length + 1 && /\d/.test(item[2]) === ordered)
      items.push({width: item[1].length + item[2].length + 1, lines: [item[3] ?? ""]});
    else
      items.at(-1).lines.push(line.slice(Math.min(indent(line), items.at(-1).width)));
  }
  const start = ordered ? Number.parseInt(first[2], 10) : 1;
  return h(ordered ? "ol" : "ul", {start: ordered && start !== 1 ? start : null},
    items.map((item) => h("li", null, listItem(item.lines, depth))));
}

/** An item of one paragraph has no paragraph of its own around it. */
function listItem(lines, depth) {
  const nodes = blocks(lines).map((block) => element(block, depth + 1));
  return nodes.flatMap((node, i) => node.tagName === "P" && (i === 0 || nodes.length === 1)
    ? [...node.childNodes] : [node]);
}

function cells(line) {
  const inside = line.trim().replace(/^\|/, "").replace(/(^|[^\\])\|$/, "$1");
  return inside.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

function tableBlock(lines) {
  const sides = cells(lines[1]).map((cell) =>
    cell.endsWith(":") ? (cell.startsWith(":") ? "centre" : "right") : null);
  const row = (tag, line) => h("tr", null, sides.map((side, i) =>
    h(side ? `${tag}.${side}` : tag, null, inline(cells(line)[i] ?? ""))));
  return h("div.wide", {tabindex: "0"}, h("table", null,
    h("thead", null, row("th", lines[0])),
    h("tbody", null, lines.slice(2).map((line) => row("td", line)))));
}

function element(block, depth = 0) {
  const {lines} = block;
  const heading = HEADING.exec(lines[0]);
  if (depth > DEPTH)
    return h("p", null, lines.join("\n"));
  if (fenceOf(lines[0]))
    return codeBlock(lines);
  if (heading) // the page has its own first and second level
    return h(`h${Math.min(heading[1].length + 2, 6)}`, null, inline(heading[2].trim()));
  if (RULE.test(lines[0]))
    return h("hr");
  if (QUOTE.test(lines[0]))
    return h("blockquote", null, blocks(lines.map((line) => line.replace(QUOTE, "")))
      .map((inner) => element(inner, depth + 1)));
  if (ITEM.test(lines[0]))
    return listBlock(lines, depth);
  if (startsTable(lines, 0))
    return tableBlock(lines);
  return h("p", null, inline(lines.map((line) => line.trim()).join("\n")));
}

function blocks(lines) {
  const found = [];
  for (let i = 0; i < lines.length;) {
    if (blank(lines[i])) {
      i++;
      continue;
    }
    const end = extent(lines, i);
    found.push({lines: lines.slice(i, end)});
    i = end;
  }
  return found;
}

/** Show text in an element; a text that grew keeps the elements of the blocks that did not. */
export function render(target, text) {
  const found = blocks(text.replace(/\r\n?/g, "\n").replaceAll("\t", "    ").split("\n"));
  const before = target.markdown ?? [];
  let same = 0;
  const sources = found.map((block) => block.lines.join("\n"));
  while (same < sources.length && same < before.length && sources[same] === before[same])
    same++;
  while (target.children.length > same)
    target.lastChild.remove();
  for (const block of found.slice(same))
    target.append(element(block));
  target.markdown = sources;
}
