// The support table as a page (tests/web/support.py).
import {execFileSync} from "node:child_process";

import {AXE, assert, equal, picture, run, startBrowser} from "./harness.mjs";

const {browser, close} = await startBrowser();

async function open(check, {theme = "light", width = 1440, hash = ""} = {}) {
  const context = await browser.newContext({viewport: {width, height: 900}, colorScheme: theme});
  const page = await context.newPage();
  const trouble = [];
  page.on("console", (message) => {
    if (message.type() === "error")
      trouble.push(message.text());
  });
  page.on("pageerror", (error) => trouble.push(error.message));
  page.on("request", (request) => {
    if (!request.url().startsWith(process.env.GFXB_BASE))
      trouble.push(`a request left: ${request.url()}`);
  });
  await page.goto(`${process.env.GFXB_BASE}/${hash}`);
  await check(page);
  equal(trouble.filter((text) => !text.includes("favicon")).join("\n"), "", "trouble");
  await context.close();
}

const search = (page) => page.getByLabel("Card, gfx target, chip or PCI id");
const found = (page) => page.locator("tbody th").allTextContents();

async function ask(page, query) {
  await search(page).fill(query);
  return (await found(page)).sort().join(" ");
}

/** What `explain` answers, in the same form. */
function explained(query) {
  const answers = JSON.parse(execFileSync(process.env.GFXB_PROGRAM, ["explain", "--json", query])).answers;
  return answers.map((answer) => answer.gfx ?? "none").sort().join(" ");
}

const QUERIES = ["7900 xt", "RX 7900 XTX", "8060s", "Radeon 8060S Graphics", "gfx1151", "gfx110X", "1002:744c", "744c", "0x73bf",
  "PCI\\VEN_1002&DEV_744C&REV_C8", "780m", "AMD Radeon 890M", "RX 580", "rx6700xt", "Radeon VII", "MI300X", "Navi 31", "Strix Halo",
  "Vega 64", "RX 9070 XT", "W7900", "HD 7970", "R9 390", "6900 xt"];

async function findsWhatExplainFinds() {
  await open(async (page) => {
    for (const query of QUERIES)
      equal(await ask(page, query), explained(query), query);
  });
}

async function findsMisspelled() {
  await open(async (page) => {
    for (const [query, gfx] of [["raedon rx 7900 xt", "gfx1100"], ["rx7900tx", "gfx1100"], ["radeon viii", "gfx906"], ["stirx halo", "gfx1151"],
      ["insinct mi300x", "gfx942"], ["vega fronteir edition", "gfx900"]]) {
      const seen = await ask(page, query);
      assert(seen.split(" ").includes(gfx), `${query}: ${seen}, wanted ${gfx}`);
      assert((await page.locator("#told").textContent()).startsWith("Similar names"), `${query} is not called similar`);
    }
    equal(await ask(page, "geforce rtx 4090"), "", "another maker's card");
    assert((await page.locator("#told").textContent()).includes("No card found"), "it says that nothing was found");
  });
}

async function filters() {
  await open(async (page) => {
    const all = (await found(page)).length;
    await page.getByLabel("Generation").selectOption("RDNA3");
    const some = await found(page);
    assert(some.length > 0 && some.length < all && some.includes("gfx1100") && !some.includes("gfx1030"), some.join(" "));
    await page.getByLabel("ROCm package").selectOption("none");
    assert(!(await found(page)).includes("gfx1100"), "gfx1100 has packages");
    await page.getByLabel("Generation").selectOption("");
    await page.getByLabel("ROCm package").selectOption("linux");
    await page.getByLabel("Vulkan").selectOption("no");
    const accelerators = await found(page);
    assert(accelerators.includes("gfx942") && !accelerators.includes("gfx1100"), accelerators.join(" "));
  });
}

/** A link to a question, and a table that is no code. */
async function linked() {
  await open(async (page) => {
    equal(await search(page).inputValue(), "rx 7600", "the question of the link");
    equal((await found(page)).join(" "), "gfx1102", "its answer");
  }, {hash: "#rx%207600"});
}

async function accessible() {
  for (const theme of ["light", "dark"])
    await open(async (page) => {
      await page.evaluate(AXE);
      for (const query of ["", "7900 xt", "nothing like this"]) {
        await ask(page, query);
        const {violations} = await page.evaluate(() => axe.run({runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]}));
        equal(violations.map((violation) => `${violation.id} ${violation.nodes[0].html}`).join("\n"), "", `${theme} "${query}"`);
      }
    }, {theme});
  for (const width of [360, 768, 1440])
    await open(async (page) => {
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      assert(wide <= width, `the page is ${wide} wide in a window of ${width}`);
    }, {width});
}

async function keyboard() {
  await open(async (page) => {
    await page.keyboard.press("Tab");
    await page.keyboard.type("rx 6800");
    equal((await found(page)).join(" "), "gfx1030", "typed without a mouse");
    await page.keyboard.press("Enter");
    equal((await found(page)).join(" "), "gfx1030", "and Enter changes nothing");
  });
}

async function documents() {
  await open(async (page) => {
    await ask(page, "7900 xt");
    await picture(page, "support-table");
  }, {width: 1200});
  await open(async (page) => {
    await page.setContent(execFileSync(process.env.GFXB_PROGRAM, ["plan", "--svg", "--sysroot", process.env.GFXB_MACHINE], {encoding: "utf8"}));
    assert(await page.locator("svg rect.bad").count() > 0, "a path that stopped");
    await picture(page, "plan");
  }, {width: 1110});
}

await run([
  ["it finds what explain finds", findsWhatExplainFinds],
  ["it finds misspelled names, and says so", findsMisspelled],
  ["filters leave what they say", filters],
  ["a link carries its question", linked],
  ["accessible in light and dark, and in any window", accessible],
  ["by keyboard alone", keyboard],
  ["a picture for the documents, when asked for", documents],
]);
await close();
