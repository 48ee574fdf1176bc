// Chromium, cases and TAP for the tests of the page.
import {execFileSync} from "node:child_process";
import {mkdirSync, mkdtempSync, rmSync} from "node:fs";
import {tmpdir} from "node:os";
import {join} from "node:path";
import {createRequire} from "node:module";

// The packages are beside no source file: npm.py installs them into the build directory.
const require = createRequire(join(process.env.GFXB_NODE_MODULES, "package.json"));
const {chromium} = require("playwright-core");

export const AXE = require("axe-core").source;

const FLAGS = ["--no-sandbox", "--headless", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
  // Whatever is asked for beyond loopback goes nowhere, and is seen.
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"];

// Up to so many milliseconds before an answer: finds questions that do not wait for it.
const SLOW = Number(process.env.GFXB_SLOW ?? 0);

const sleep = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });

export async function startBrowser() {
  const home = mkdtempSync(join(tmpdir(), "gfxbridge-chromium-"));
  const browser = await chromium.launch({executablePath: process.env.GFXB_CHROMIUM ?? "/usr/bin/chromium",
    args: FLAGS, env: {...process.env, HOME: home, XDG_CONFIG_HOME: home, XDG_CACHE_HOME: home}});
  return {browser, async close() {
    await browser.close();
    rmSync(home, {recursive: true, force: true});
  }};
}

/** Until the page's program runs, and knows what this computer is or asks for the key. What it draws of that
 * may come later. */
export function ready(page) {
  return page.waitForFunction(() => document.querySelector(".path")?.hidden === false || document.querySelector("#key[open]"));
}

/** A page of a new visitor. trouble holds what must not be: errors, and requests to elsewhere. */
export async function visit(browser, base, {hash = "", width = 1440, height = 900, theme = "light", key = null} = {}) {
  const context = await browser.newContext({viewport: {width, height}, colorScheme: theme, locale: "en-GB",
    permissions: ["clipboard-read", "clipboard-write"]});
  const page = await context.newPage();
  page.setDefaultTimeout(120000);
  const trouble = [];
  const requests = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type()))
      trouble.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => trouble.push(`error: ${error.message}`));
  context.on("request", (request) => {
    requests.push(request.url());
    if (!request.url().startsWith(`${base}/`) && !/^(data|blob):/.test(request.url()))
      trouble.push(`a request left: ${request.url()}`);
  });
  if (SLOW)
    await context.route(/\/(api|gfxbridge)\//, async (route) => {
      await sleep(Math.random() * SLOW);
      await route.continue().catch(() => {}); // the page may be gone
    });
  if (key)
    await context.addInitScript((value) => sessionStorage.setItem("gfxbridge-key", value), key);
  await page.goto(`${base}/${hash}`);
  await ready(page);
  return {page, context, trouble, requests, close: () => context.close()};
}

export function assert(condition, text) {
  if (!condition)
    throw new Error(text);
}

export function equal(actual, wanted, what) {
  assert(actual === wanted, `${what}: ${JSON.stringify(actual)}, wanted ${JSON.stringify(wanted)}`);
}

/** Until a look gives something true, which is returned; the deadline is for hangs, not for speed. */
export async function until(what, look, milliseconds = 120000) {
  const end = Date.now() + milliseconds;
  for (;;) {
    const seen = await look();
    if (seen)
      return seen;
    assert(Date.now() < end, `it never came: ${what}`);
    await sleep(50);
  }
}

/** Until a look gives what is wanted: what follows an action on the page follows it some time later. */
export async function becomes(look, wanted, what, milliseconds = 120000) {
  const end = Date.now() + milliseconds;
  let seen = await look();
  while (seen !== wanted && Date.now() < end) {
    await sleep(50);
    seen = await look();
  }
  equal(seen, wanted, what);
}

/** All cases, or those with the words of the command line in their names. */
export async function run(all) {
  const words = process.argv.slice(2).join(" ");
  const cases = all.filter(([name]) => name.includes(words));
  let failed = 0;
  console.log(`1..${cases.length}`);
  for (const [index, [name, check]] of cases.entries()) {
    try {
      await check();
      console.log(`ok ${index + 1} - ${name}`);
    } catch (error) {
      failed++;
      console.log(`not ok ${index + 1} - ${name}`);
      console.log(String(error.stack ?? error).split("\n").map((line) => `# ${line}`).join("\n"));
    }
  }
  process.exitCode = failed ? 1 : 0;
}

/** A picture for the documents, when they are asked for. */
export async function picture(page, name) {
  const folder = process.env.GFXB_PICTURES;
  if (!folder)
    return;
  const path = join(folder, `${name}.png`);
  mkdirSync(folder, {recursive: true});
  await page.screenshot({path});
  execFileSync("pngquant", ["--force", "--strip", "--speed", "1", "--output", path, "64", path]);
}
