// The page on the real server: what it says is what the program says, what it starts really runs.
// real.py starts the servers and the hub.
import {execFileSync} from "node:child_process";
import {readFile} from "node:fs/promises";
import {createServer} from "node:http";
import {join, normalize} from "node:path";
import {assert, becomes, equal, picture, ready, run, startBrowser, until, visit} from "./harness.mjs";

const {open, locked} = JSON.parse(process.env.GFXB_SERVERS);
const REPOSITORY = process.env.GFXB_REPOSITORY;
const {browser, close} = await startBrowser();

const get = async (base, path) => (await fetch(base + path)).json();
const text = (page, selector) => page.locator(selector).first().innerText();

async function on(base, options, check) {
  const visitor = await visit(browser, base, options);
  try {
    await check(visitor.page, visitor);
    equal(visitor.trouble.join("\n"), "", "trouble");
  } finally {
    await visitor.close();
  }
}

async function files() {
  const page = {headers: {accept: "text/html,*/*;q=0.8"}};
  const root = await fetch(open, page);
  const policy = root.headers.get("content-security-policy");
  for (const part of ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"])
    assert(policy.includes(part), `the policy lacks ${part}: ${policy}`);
  equal(root.headers.get("x-content-type-options"), "nosniff", "sniffing");
  const tag = root.headers.get("etag");
  const again = await fetch(open, {headers: {...page.headers, "if-none-match": `"other", W/${tag}`}});
  equal(again.status, 304, "asked for what it has");
  equal((await again.text()).length, 0, "bytes of it");
  equal((await fetch(open, {...page, method: "HEAD"})).status, 200, "HEAD");
  for (const [name, type] of [["app.js", "text/javascript"], ["icon.svg", "image/svg+xml"]])
    assert((await fetch(`${open}/page/${name}`)).headers.get("content-type").startsWith(type), name);
  for (const name of ["nothing.js", "../serve.h", "%2e%2e/index.html", ""])
    assert((await fetch(`${open}/page/${name}`)).status >= 400, `/page/${name}`);
  equal(await (await fetch(open)).text(), "Ollama is running", "what Ollama's clients hear");
}

/** From nothing to proven: the engine is fetched, installed and proven because somebody clicked. */
async function proveByClick() {
  await on(open, {}, async (page) => {
    await becomes(() => text(page, "h1:visible"), "This computer can run models on its CPU", "the first line");
    await page.locator("#prove-now").click();
    await page.goto(`${open}/#backends`);
    const card = page.locator("article[data-backend=cpu]");
    await card.locator("progress").waitFor();
    await page.reload();
    await ready(page);
    await until("the end", () => card.innerText().then((t) => t.includes("Proven on this computer")), 600000);
    await becomes(() => card.locator("header .badge.good").innerText(), "proven", "the badge");
    await page.goto(`${open}/#computer`);
    await until("the first line", () => text(page, "h1:visible")
      .then((t) => t.startsWith("This computer runs models on its CPU, proven")));
  });
}

async function rejectedPath() {
  const {choices} = await get(open, "/gfxbridge/plan");
  const rejected = choices.filter((c) => c.state === "rejected");
  assert(rejected.length >= 2, "ROCm and Vulkan have no reason here");
  await on(open, {}, async (page) => {
    for (const choice of rejected)
      assert((await page.locator(`.choice[data-backend="${choice.backend}"]`).innerText()).includes(choice.reason), choice.reason);
  });
}

/** The list says it before a byte is downloaded, and the page says what the list says. */
async function fits() {
  const offered = (await get(open, "/api/v1/models?show_all=true")).data.filter((m) => !m.downloaded);
  assert(offered.length > 10, "hardly any model is offered");
  await on(open, {hash: "#models"}, async (page) => {
    for (const model of [offered.find((m) => m.fit.ok), offered.find((m) => !m.fit.ok)].filter(Boolean)) {
      const row = page.locator(`[data-model="${model.id}"]`);
      const words = await row.innerText();
      assert(words.includes("Needs") && words.includes(model.fit.ok ? "fits" : "too large"), words);
      equal(await row.getByRole("button", {name: "Download"}).count(), model.fit.ok ? 1 : 0, "buttons");
    }
  });
}

async function ask(page, question) {
  await page.locator("#chat-model option").first().waitFor({state: "attached"});
  await page.locator("#chat-input").fill(question);
  await page.locator("#chat-input").press("Enter");
}

const foot = (page) => page.locator(".message.assistant footer").last();

async function chatStreams() {
  await on(open, {hash: "#chat/canary"}, async (page) => {
    await ask(page, "Which gfx is the Radeon RX 7900 XT?");
    await until("the end", () => foot(page).innerText().then((t) => t.includes("tokens/s")));
    assert((await page.locator(".message.assistant > .text").innerText()).includes("gfx1100"), "a wrong answer");
    await until("what answered", () => foot(page).innerText().then((t) => t.startsWith("CPU")));
  });
}

/** The engine is held, so that the answer cannot end: only a stop that stops can free its slot. */
async function stopStops() {
  const engine = execFileSync("pgrep", ["-P", process.env.GFXB_SERVER_PID]).toString().trim().split("\n")[0];
  await on(open, {hash: "#chat/canary"}, async (page) => {
    process.kill(Number(engine), "SIGSTOP");
    try {
      await ask(page, "Which gfx is the Radeon RX 7900 XT?");
      const active = async () => (await get(open, "/api/v1/health")).all_models_loaded[0].active;
      await until("the request at the engine", async () => await active() === 1);
      await page.locator("#chat-stop").click();
      await until("the word", () => foot(page).innerText().then((t) => t.includes("Stopped")));
      await until("the server to let go", async () => await active() === 0);
    } finally {
      process.kill(Number(engine), "SIGCONT");
    }
    await ask(page, "Which gfx is the Radeon RX 6800?");
    await until("another answer", () => foot(page).innerText().then((t) => t.includes("tokens/s")));
  });
}

async function pullSurvivesReload() {
  await on(open, {hash: "#models"}, async (page) => {
    await page.locator("#pull-name").fill(REPOSITORY);
    await page.locator("#pull-name").press("Enter");
    const bar = page.locator("#models-list progress");
    const value = () => bar.evaluate((element) => element.value);
    await until("progress", async () => await bar.count() && await value() > 0.1);
    const before = await value();
    await page.reload();
    await ready(page);
    const row = page.locator(`[data-model^="${REPOSITORY}"]`);
    await until("progress after the reload, or its end", async () =>
      await row.count() || await bar.count() && await value() >= before);
    await row.waitFor();
    await row.getByRole("button", {name: "Load"}).click();
    await until("loaded", () => row.innerText().then((t) => t.includes("Runs on the CPU")));
    await row.getByRole("link", {name: "Chat"}).click();
    await ask(page, "Which gfx is the Radeon RX 7900 XT?");
    await until("its answer", () => foot(page).innerText().then((t) => t.includes("tokens/s")));
    await page.goto(`${open}/#models`);
    await row.getByRole("button", {name: "Unload"}).click();
    await row.getByRole("button", {name: /^Load/}).waitFor();
    page.once("dialog", (dialog) => dialog.accept());
    await row.getByRole("button", {name: "Remove"}).click();
    await becomes(() => row.count(), 0, "rows of the removed model");
  });
}

async function activity() {
  const body = JSON.stringify({model_name: "canary"});
  equal((await fetch(`${open}/api/v1/load`, {method: "POST", body, headers: {"content-type": "application/json"}})).status, 200, "load");
  await on(open, {hash: "#activity"}, async (page) => {
    await until("a line of memory", () => page.locator(".plot:visible .line").last().getAttribute("d").then((d) => d?.includes("L")));
    await until("the model at work", () => text(page, "#at-work").then((t) => t.includes("canary")));
    await until("the log", () => text(page, "#log")
      .then((t) => t.includes("listening on") && t.includes("canary runs on cpu")));
    await picture(page, "page-activity-real");
  });
}

async function keyOnce() {
  const visitor = await visit(browser, locked);
  const {page} = visitor;
  await page.locator("#key-value").fill("wrong");
  await page.locator("#key-value").press("Enter");
  await until("the second try", () => page.locator("#key-wrong").isVisible());
  await page.locator("#key-value").fill("secret");
  await page.locator("#key-value").press("Enter");
  await until("the answer", () => text(page, "h1:visible").then((t) => t.startsWith("This computer")));
  await page.reload();
  await ready(page);
  await until("the answer again", () => text(page, "h1:visible").then((t) => t.startsWith("This computer")));
  equal(visitor.trouble.filter((line) => !line.includes("401")).join("\n"), "", "trouble");
  await visitor.close();
}

/** What a page of another local program does: the libraries of OpenAI and Anthropic, loaded from its own address. */
async function librariesInAPage() {
  const modules = join(process.env.GFXB_NODE_MODULES, "node_modules");
  const absent = "data:text/javascript,export class Webhook {}; export const context = {}, trace = {}, propagation = {}, SpanKind = {}, SpanStatusCode = {}";
  const imports = {imports: {"standardwebhooks": absent, "@opentelemetry/api": absent}};
  const page = `<!doctype html><link rel="icon" href="data:,"><script type="importmap">${JSON.stringify(imports)}</script>`;
  const files = createServer(async (request, reply) => {
    const path = new URL(request.url, "http://x").pathname;
    const text = path === "/" ? page : await readFile(join(modules, normalize(path))).catch(() => null);
    reply.writeHead(text === null ? 404 : 200, {"content-type": path === "/" ? "text/html" : "text/javascript"}).end(text);
  });
  await new Promise((listening) => { files.listen(0, "127.0.0.1", listening); });
  const context = await browser.newContext();
  try {
    const other = await context.newPage();
    await other.goto(`http://127.0.0.1:${files.address().port}/`);
    const said = await other.evaluate(async ([base, question]) => {
      const OpenAI = (await import("/openai/index.mjs")).default, Anthropic = (await import("/@anthropic-ai/sdk/index.mjs")).default;
      const options = {apiKey: "any", dangerouslyAllowBrowser: true, maxRetries: 0};
      const messages = [{role: "user", content: question}];
      const openai = new OpenAI({...options, baseURL: `${base}/v1`}), anthropic = new Anthropic({...options, baseURL: base});
      const chat = await openai.chat.completions.create({model: "canary", messages}).withResponse();
      const message = await anthropic.messages.stream({model: "canary", max_tokens: 64, messages}).finalMessage();
      const models = await openai.models.list();
      return [chat.data.choices[0].message.content, message.content[0].text, models.data[0].id,
        chat.response.headers.get("x-gfxbridge-backend") !== null];
    }, [open, "Which gfx is the Radeon RX 7900 XT?"]);
    equal(said.join("|"), ["The Radeon RX 7900 XT is gfx1100.", "The Radeon RX 7900 XT is gfx1100.", "canary", true].join("|"), "answers");
  } finally {
    await context.close();
    files.close();
  }
}

await run([
  ["the files: policy, tags, types, nothing else; Ollama's clients hear their words", files],
  ["from nothing to proven by one click, through a reload", proveByClick],
  ["every path that is not taken shows the program's reason", rejectedPath],
  ["whether a model would fit is said before it is downloaded", fits],
  ["chat streams from the real engine and says what answered", chatStreams],
  ["stop stops, though the engine hangs", stopStops],
  ["a pull survives a reload; load, chat, unload, remove", pullSurvivesReload],
  ["activity shows memory, the model at work and the log", activity],
  ["a key is asked for once", keyOnce],
  ["the libraries of OpenAI and Anthropic in a page of another local address", librariesInAPage],
]);
await close();
