// The page on computers that are not here, answered for by pretend.py: what a Radeon's owner sees.
// page.py starts the servers and gives their addresses.
import {AXE, assert, becomes, equal, picture, ready, run, startBrowser, until, visit} from "./harness.mjs";

const {proven, denied, locked} = JSON.parse(process.env.GFXB_SERVERS);
const PLACES = ["computer", "chat", "models", "backends", "activity"];
const {browser, close} = await startBrowser();

const get = async (base, path) => (await fetch(base + path)).json();
const text = (page, selector) => page.locator(selector).first().innerText();

/** Run check on a page that must have had no trouble in the end. */
async function on(base, options, check) {
  const visitor = await visit(browser, base, options);
  try {
    await check(visitor.page, visitor);
    equal(visitor.trouble.join("\n"), "", "trouble");
  } finally {
    await visitor.close();
  }
}

/** What each place shows once the server's answers are drawn. */
const DRAWN = {computer: ".hero", chat: "#chat-model option", models: ".model", backends: "[data-backend]", activity: ".plot"};

/** Go to a place of the page and wait until it shows what it knows. */
async function go(page, place) {
  await page.evaluate((hash) => { location.hash = hash; }, place);
  await page.locator(`body[data-place=${place}] #${place}-body ${DRAWN[place]}`).first().waitFor({state: "attached"});
}

/** Let the server stop in the middle of answers and jobs, until check has seen what it wants to see. */
async function halfway(base, check) {
  await fetch(`${base}/pretend/hold`, {method: "POST"});
  try {
    await check();
  } finally {
    await fetch(`${base}/pretend/go`, {method: "POST"});
  }
}

// ---- what is seen ----

async function answersFirst() {
  await on(proven, {}, async (page) => {
    await becomes(() => text(page, "h1:visible"), "Your Radeon RX 7900 XTX runs on ROCm, proven today", "the first line");
    await becomes(() => page.locator(".hero .ladder li.good").count(), 6, "rungs that hold");
    equal(await page.locator(".hero .evidence").isVisible(), false, "evidence is shown without being asked for");
    await page.locator(".hero summary").click();
    await until("evidence behind the summary", () => text(page, ".hero .evidence").then((t) => t.includes("matched to the byte")));
  });
}

async function rejectedPath() {
  const plan = await get(denied, "/gfxbridge/plan");
  const doctor = await get(denied, "/gfxbridge/doctor");
  const rocm = plan.choices.find((c) => c.backend === "rocm");
  const {remedy} = doctor.findings.find((f) => f.code === rocm.code);
  await on(denied, {}, async (page) => {
    await becomes(() => text(page, "h1:visible"), "Your Radeon RX 7900 XTX is not used yet", "the first line");
    const card = page.locator(`.choice[data-backend="rocm"][data-code="${rocm.code}"]`);
    assert((await card.innerText()).includes(rocm.reason), "the reason is not there");
    await becomes(() => card.locator(".command code").innerText(), remedy, "the remedy");
    await card.locator(".command button").click();
    await becomes(() => page.evaluate(() => navigator.clipboard.readText()), remedy, "what was copied");
    await picture(page, "page-not-used");
  });
}

async function fitsAnywhere() {
  for (const base of [proven, denied])
    await on(base, {}, async (page) => {
      for (const width of [360, 768, 1440])
        for (const place of PLACES) {
          await page.setViewportSize({width, height: 740});
          await go(page, place);
          const wide = await page.evaluate(() => {
            for (const details of document.querySelectorAll("details"))
              details.open = true;
            return document.documentElement.scrollWidth;
          });
          assert(wide <= width, `${place} is ${wide} wide at ${width}`);
        }
    });
}

/** What axe finds in the page as it is now. */
async function violations(page, name) {
  await page.evaluate(AXE);
  const result = await page.evaluate(() =>
    axe.run({runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]}));
  return result.violations.map((violation) =>
    `${name}: ${violation.id}: ${violation.nodes[0].html} ${violation.nodes[0].failureSummary}`);
}

/** Every place, wide and narrow, with all that can be opened open; an answer; the question for the key. */
async function accessible() {
  const found = [];
  for (const theme of ["light", "dark"]) {
    for (const [base, width] of [[proven, 1000], [denied, 1000], [proven, 360]])
      await on(base, {theme, width}, async (page) => {
        for (const place of PLACES) {
          await go(page, place);
          found.push(...await violations(page, `${place} ${theme} ${width}`));
          await page.evaluate(() => document.querySelectorAll("details").forEach((details) => { details.open = true; }));
          found.push(...await violations(page, `${place} ${theme} ${width}, opened`));
        }
      });
    await on(proven, {theme, hash: "#chat"}, async (page) => {
      await ask(page, "What does ROCm need?");
      await until("the end of the answer", () => text(page, ".message.assistant footer").then((t) => t.includes("tokens/s")));
      // The order of headings within an answer is the model's own.
      found.push(...(await violations(page, `an answer ${theme}`)).filter((v) => !v.includes("heading-order")));
      await page.locator("#chat-new").click();
    });
    const visitor = await visit(browser, locked, {theme});
    await until("the dialog", () => visitor.page.locator("#key[open]").count());
    found.push(...await violations(visitor.page, `the key ${theme}`));
    await visitor.page.locator("#key-value").fill("wrong");
    await visitor.page.locator("#key-value").press("Enter");
    await until("the second try", () => visitor.page.locator("#key-wrong").isVisible());
    found.push(...await violations(visitor.page, `a wrong key ${theme}`));
    await visitor.close();
  }
  equal([...new Set(found)].join("\n"), "", "against the rules of accessible pages");
}

async function lightAndDark() {
  const back = (page) => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  let light, dark;
  await on(proven, {theme: "light"}, async (page) => { light = await back(page); });
  await on(proven, {theme: "dark"}, async (page) => {
    dark = await back(page);
    assert(light !== dark, "the system's wish for dark changes nothing");
    await page.locator("#theme").click();
    await becomes(() => back(page), light, "after choosing light");
    await page.reload();
    await ready(page);
    await becomes(() => back(page), light, "after choosing light and a reload");
    await page.locator("#theme").click();
    await becomes(() => back(page), dark, "after choosing dark");
  });
}

// ---- chat ----

async function ask(page, question) {
  await page.locator("#chat-model option").first().waitFor({state: "attached"});
  await page.locator("#chat-input").fill(question);
  await page.locator("#chat-input").press("Enter");
}

async function chatStreams() {
  await on(proven, {hash: "#chat"}, async (page) => {
    const answer = page.locator(".message.assistant > .text").last();
    const footer = () => text(page, ".message.assistant footer");
    await halfway(proven, async () => {
      await ask(page, "What does ROCm need?");
      await until("the first half of the answer", () => answer.textContent().then((t) => t.includes("Three lines on ROCm")));
      assert(!(await footer()).includes("tokens/s"), "the answer is said to have ended");
    });
    await until("the end of the answer", () => footer().then((t) => t.includes("tokens/s")));
    const about = await footer();
    assert(about.includes("ROCm") && about.includes("RX 7900 XTX"), `no path in: ${about}`);
    for (const [selector, count] of [["strong", 2], ["table tr", 3], ["ol li", 3], ["pre code", 1], ["b", 0]])
      await becomes(() => answer.locator(selector).count(), count, selector);
    const link = answer.locator("a");
    equal(await link.getAttribute("href"), "https://rocm.docs.amd.com", "the link");
    assert((await link.getAttribute("rel")).includes("noopener"), "the link can reach back");
    await picture(page, "page-chat");
    await page.reload();
    await ready(page);
    await becomes(() => page.locator(".message").count(), 2, "messages after a reload");
    await page.locator("#chat-new").click();
    await becomes(() => page.locator(".message").count(), 0, "messages of a new chat");
  });
}

async function stopStops(how) {
  await on(proven, {hash: "#chat"}, async (page) => {
    await ask(page, "Count for a long time.");
    const answer = page.locator(".message.assistant > .text").last();
    await until("the first words", () => answer.textContent().then((t) => t.length > 20));
    const before = (await get(proven, "/gfxbridge/log?after=0")).lines.length;
    await how(page);
    await until("the word that it was stopped", () => page.locator(".message.assistant footer").innerText().then((t) => t.includes("Stopped")));
    const length = (await answer.textContent()).length;
    await until("the server to notice", async () => (await get(proven, `/gfxbridge/log?after=${before}`))
      .lines.some((line) => line.text.includes("the client left")));
    equal((await answer.textContent()).length, length, "letters after the stop");
    await becomes(() => page.locator("form.composer button[type=submit]").isVisible(), true, "a way to go on");
  });
}

async function pictures() {
  await on(proven, {hash: "#chat/gemma-3-12b-it-GGUF"}, async (page) => {
    const png = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==", "base64");
    await becomes(() => page.getByRole("button", {name: "Picture"}).isVisible(), true, "a button for pictures");
    await page.locator("#chat-file").setInputFiles({name: "dot.png", mimeType: "image/png", buffer: png});
    await until("the small picture", () => page.locator(".thumb img").count());
    const sent = page.waitForRequest("**/v1/chat/completions");
    await ask(page, "What is this?");
    const {messages} = (await sent).postDataJSON();
    assert(messages[0].content[1].image_url.url.startsWith("data:image/png;base64,"), "no picture was sent");
    await page.locator("#chat-stop").click();
    await page.locator("#chat-model").selectOption("canary");
    await becomes(() => page.getByRole("button", {name: "Picture"}).isVisible(), false, "a button for pictures without a model that sees");
  });
}

// ---- markdown that means harm ----

const HOSTILE = [
  "<script>document.title='x'</script>", "<img src=x onerror=document.title='x'>",
  "[a](javascript:document.title='x')", "[a](data:text/html,x)", "[a](//evil.example)", "![a](http://evil.example/x.png)",
  "[a](http://ok.example \"t\" onmouseover=\"x)", "<http://a.example/\"onx=1>", "```html\n<b>x</b>\n", "[a](ht\ntp://x)",
  "[" .repeat(50000), "*".repeat(50000), "_a".repeat(30000), "`".repeat(50000), "> ".repeat(20000), "- ".repeat(20000),
  "#".repeat(50000), `${"#".repeat(6)} ${" #".repeat(30000)}x`, "|".repeat(30000), `a|b\n-|-${" ".repeat(50000)}x`,
  "``` ".repeat(20000), `${"`".repeat(4)}${"a".repeat(50000)}\``, `http://a.example/${".".repeat(50000)}x`,
  "[a](http://b.example/(".repeat(5000), "~~".repeat(30000), "1. ".repeat(20000), "*a **b ".repeat(10000), "\\".repeat(50000),
];

async function harmlessMarkdown() {
  await on(proven, {}, async (page) => {
    const wrong = await page.evaluate(async (hostile) => {
      const {render} = await import("/page/markdown.js");
      const tags = new Set("A B BLOCKQUOTE BR BUTTON CODE DEL DIV EM H3 H4 H5 H6 HR LI OL P PRE SPAN STRONG TABLE TBODY TD TH THEAD TR UL".split(" "));
      const attributes = {A: ["href", "rel", "target"], DIV: ["class", "tabindex"], PRE: ["tabindex"], OL: ["start"],
        BUTTON: ["class", "type", "aria-label"], TD: ["class"], TH: ["class"]};
      const bad = [];
      const look = (text) => {
        const target = document.createElement("div");
        for (const part of [text.slice(0, text.length / 2), text]) // as a stream would grow
          render(target, part);
        for (const element of target.querySelectorAll("*")) {
          const extra = [...element.attributes].map((a) => a.name)
            .filter((name) => !(attributes[element.tagName] ?? []).includes(name));
          if (!tags.has(element.tagName) || extra.length)
            bad.push(`${element.tagName} ${extra} of ${text.slice(0, 60)}`);
          if (element.tagName === "A" && !/^https?:$/.test(element.protocol))
            bad.push(`${element.href} of ${text.slice(0, 60)}`);
        }
      };
      hostile.forEach(look);
      const pieces = ["*", "**", "_", "`", "```\n", "[", "](", ")", "http://a.b/", "javascript:", "|", "\n", "- ", "  ", "> ", "# ", "<b>", "\\", "x", "1. ", "---", "~~", "!"];
      let state = 12345;
      for (let round = 0; round < 3000; round++) {
        let text = "";
        for (let i = 0; i < 24; i++) {
          state = (state * 1103515245 + 12345) % 2147483648;
          text += pieces[state % pieces.length];
        }
        look(text);
      }
      return bad.slice(0, 5);
    }, HOSTILE);
    equal(wrong.join("\n"), "", "what became of hostile text");
    equal(await page.title(), "gfxbridge", "a text ran as code");
  });
}

async function rightMarkdown() {
  await on(proven, {}, async (page) => {
    const cases = [
      ["a *b* **c** ***d*** _e_ ~~f~~ snake_case_name", "<p>a <em>b</em> <strong>c</strong> <strong><em>d</em></strong> <em>e</em> <del>f</del> snake_case_name</p>"],
      ["2 * 3 * 4 and 5*6", "<p>2 * 3 * 4 and 5*6</p>"],
      ["`a*b*` ``c`d``", "<p><code>a*b*</code> <code>c`d</code></p>"],
      ["- a\n  - b\n- c", "<ul><li>a<ul><li>b</li></ul></li><li>c</li></ul>"],
      ["1. a\n\n   more\n2. b", "<ol><li>a<p>more</p></li><li>b</li></ol>"],
      ["3. x", "<ol start=\"3\"><li>x</li></ol>"],
      ["# A\ntext\n> q\n\n---", "<h3>A</h3><p>text</p><blockquote><p>q</p></blockquote><hr>"],
      ["one\ntwo", "<p>one<br>two</p>"],
      ["&lt; <i>", "<p>&amp;lt; &lt;i&gt;</p>"],
      ["see (https://a.example/b_c_(d)).", "<p>see (<a href=\"https://a.example/b_c_(d\" target=\"_blank\" rel=\"noopener noreferrer nofollow\">https://a.example/b_c_(d</a>)).</p>"],
    ];
    for (const [source, wanted] of cases)
      equal(await page.evaluate(async (markdown) => {
        const {render} = await import("/page/markdown.js");
        const target = document.createElement("div");
        render(target, markdown);
        return target.innerHTML;
      }, source), wanted, source);
  });
}

// ---- models and backends ----

const modelRow = (page, name) => page.locator(`[data-model="${name}"]`);

async function pullSurvivesReload() {
  const name = "gpt-oss-20b-GGUF";
  await on(proven, {hash: "#models"}, async (page) => {
    const row = modelRow(page, name);
    await until("the fit, before", () => row.innerText().then((t) => t.includes("Needs 13.1 GiB of 24.0 GiB GPU memory")));
    const bar = row.locator("progress");
    const value = () => bar.evaluate((element) => element.value);
    await halfway(proven, async () => {
      await row.getByRole("button", {name: `Download ${name}`}).click();
      await until("progress", async () => await bar.count() && await value() > 0.05);
      const before = await value();
      await page.reload();
      await ready(page);
      await until("progress after the reload", async () => await bar.count() && await value() >= before);
      await until("how much of how much", () => row.innerText().then((t) => t.includes(" of 12.1 GB")));
    });
    await row.getByRole("link", {name: `Chat with ${name}`}).waitFor();
    page.once("dialog", (dialog) => dialog.accept());
    await row.getByRole("button", {name: `Remove ${name}`}).click();
    await row.getByRole("button", {name: `Download ${name}`}).waitFor();
  });
}

async function pullIsCancelled() {
  const name = "Qwen3-Coder-30B-A3B-Instruct-GGUF";
  await on(proven, {hash: "#models"}, async (page) => {
    const row = modelRow(page, name);
    await halfway(proven, async () => {
      await row.getByRole("button", {name: `Download ${name}`}).click();
      await row.getByRole("button", {name: `Cancel ${name}`}).click();
      await until("the word", () => row.innerText().then((t) => t.includes("Cancelled.")));
    });
    await row.getByRole("button", {name: `Dismiss ${name}`}).click();
    await becomes(() => row.locator(".job").count(), 0, "jobs of the model");
    equal(await modelRow(page, "gpt-oss-120b-GGUF").getByRole("button").count(), 0, "buttons of a model that is too large");
  });
}

async function unknownModel() {
  await on(proven, {hash: "#models"}, async (page, visitor) => {
    await page.locator("#pull-name").fill("no/such-model");
    await page.locator("#pull-name").press("Enter");
    await until("the server's sentence", () => page.locator("#notices").innerText().then((t) => t.includes("There is no model called no/such-model.")));
    // Chromium itself notes an answer of 404.
    visitor.trouble = visitor.trouble.splice(0).filter((line) => !line.includes("404"));
  });
}

async function loadAndUnload() {
  await on(proven, {hash: "#models"}, async (page) => {
    const row = modelRow(page, "Qwen3-4B-Instruct-2507-GGUF");
    await row.getByRole("button", {name: "Load"}).click();
    await until("loaded", () => row.innerText().then((t) => t.includes("Runs on ROCm, AMD Radeon RX 7900 XTX")));
    await row.getByRole("button", {name: "Unload"}).click();
    await row.getByRole("button", {name: /^Load/}).waitFor();
    await page.locator("#model-filter").fill("gguf vision");
    await becomes(() => page.locator(".model").count(), 1, "models with vision");
  });
}

async function backends() {
  await on(denied, {hash: "#backends"}, async (page) => {
    const card = page.locator("[data-backend=cpu]");
    await halfway(denied, async () => {
      await card.getByRole("button", {name: "Install and test CPU"}).click();
      await card.locator("progress").waitFor();
    });
    await until("proven", () => card.innerText().then((t) => t.includes("Proven on this computer")));
    await card.getByRole("button", {name: "Always use CPU"}).click();
    await until("preferred", () => card.innerText().then((t) => t.includes("preferred")));
    await card.getByRole("button", {name: "CPU: let gfxbridge choose"}).click();
    await halfway(denied, async () => {
      await card.getByRole("button", {name: "Test CPU again"}).click();
      await card.locator("progress").waitFor();
    });
  });
}

async function activity() {
  await on(proven, {hash: "#activity"}, async (page) => {
    await until("figures", () => page.locator(".plot").first().innerText().then((t) => /\d/.test(t)));
    await until("a line", () => page.locator(".plot .line").nth(1).getAttribute("d").then((d) => d?.includes("L")));
    await until("the log", () => text(page, "#log").then((t) => t.includes("listening on")));
  });
}

// ---- the key, the keyboard, the server away ----

async function keyOnce() {
  const visitor = await visit(browser, locked);
  const {page} = visitor;
  await until("the dialog", () => page.locator("#key[open]").count());
  await page.locator("#key-value").fill("wrong");
  await page.locator("#key-value").press("Enter");
  await until("the second try", () => page.locator("#key-wrong").isVisible());
  await page.locator("#key-value").fill("secret");
  await page.locator("#key-value").press("Enter");
  await until("the answer", () => text(page, "h1:visible").then((t) => t.includes("Radeon")));
  await page.reload();
  await ready(page);
  await until("the answer again", () => text(page, "h1:visible").then((t) => t.includes("Radeon")));
  await becomes(() => page.locator("#key[open]").count(), 0, "dialogs after a reload");
  equal(await page.evaluate(() => JSON.stringify(localStorage).includes("secret")), false, "the key outlives the tab");
  const foreign = visitor.trouble.filter((line) => !line.includes("401"));
  equal(foreign.join("\n"), "", "trouble");
  await visitor.close();
}

async function keyboardOnly() {
  await on(proven, {}, async (page) => {
    const focus = () => page.evaluate(() => {
      const element = document.activeElement;
      const box = element.getBoundingClientRect();
      return {name: element.getAttribute("aria-label") ?? element.innerText ?? "", tag: element.tagName, id: element.id,
        seen: box.width > 0 && box.top < innerHeight && getComputedStyle(element).outlineStyle !== "none"};
    });
    await page.locator(".hero a").first().waitFor();
    await page.keyboard.press("Tab");
    await becomes(() => focus().then((f) => f.name), "Skip to the content", "the first stop");
    await page.keyboard.press("Enter");
    await becomes(() => focus().then((f) => f.id), "content", "where the skip link leads");
    await page.keyboard.press("Tab");
    await becomes(() => focus().then((f) => f.name), "Chat", "the first thing in the content");
    await page.keyboard.press("Enter");
    await becomes(() => focus().then((f) => f.id), "chat-input", "where one can write at once");
    await page.keyboard.type("What does ROCm need?");
    await page.keyboard.press("Shift+Enter");
    await page.keyboard.type("In short.");
    await page.keyboard.press("Enter");
    await until("an answer", () => page.locator(".message.assistant > .text").innerText().then((t) => t.length > 5));
    equal(await page.locator(".message.user .text").innerText(), "What does ROCm need?\nIn short.", "the question");
    // All that can be pressed on every place is reached by Tab, is named and shows where one is.
    for (const place of PLACES) {
      await go(page, place);
      await page.evaluate(() => { document.activeElement.blur(); scrollTo(0, 0); });
      const wanted = await page.locator("button:visible:enabled, a:visible, input:visible, select:visible, textarea:visible, summary:visible").count();
      const reached = new Set();
      for (let i = 0; i < wanted + 25; i++) { // once around, from wherever it begins
        await page.keyboard.press("Tab");
        const {name, tag, id, seen} = await focus();
        if (tag === "BODY")
          continue;
        assert(seen, `${place}: nothing shows that ${tag} ${id} ${name} has the focus`);
        reached.add(await page.evaluate(() => [...document.querySelectorAll("*")].indexOf(document.activeElement)));
      }
      assert(reached.size >= wanted, `${place}: ${reached.size} of ${wanted} are reached by Tab`);
    }
  });
}

async function serverAway() {
  const visitor = await visit(browser, proven);
  const {page, context} = visitor;
  await until("the answer", () => text(page, "h1:visible").then((t) => t.includes("proven")));
  await context.setOffline(true);
  await until("the word", () => page.locator("#notices").innerText().then((t) => t.includes("does not answer")));
  await context.setOffline(false);
  await until("the good word", () => page.locator("#notices").innerText().then((t) => t.includes("answers again")));
  await visitor.close();
}

/** Of a first visit: nothing is cached in a new context. Times are told and not judged here. */
async function firstVisit() {
  const context = await browser.newContext();
  const page = await context.newPage();
  const sizes = [];
  page.on("response", (response) => {
    const {pathname} = new URL(response.url());
    if (pathname === "/" || pathname.startsWith("/page/"))
      sizes.push(Promise.all([response.body(), response.allHeaders()])
        .then(([body, headers]) => body.length + JSON.stringify(headers).length));
  });
  await page.goto(proven);
  await until("the answer", () => text(page, "h1:visible").then((t) => t.includes("proven")));
  const bytes = (await Promise.all(sizes)).reduce((a, b) => a + b);
  const paint = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime);
  await context.close();
  return {files: sizes.length, bytes, paint: Math.round(paint)};
}

async function small() {
  const visits = [];
  for (let i = 0; i < 5; i++)
    visits.push(await firstVisit());
  const [{files, bytes}] = visits;
  console.log(`# ${files} files, ${bytes} bytes in all, first paint after ${visits.map((v) => v.paint).join(" ")} ms`);
  assert(files > 10 && bytes < 150 * 1024, `${bytes} bytes`);
}

/** The pictures of the documents that no other case takes on its way. */
async function documents() {
  if (!process.env.GFXB_PICTURES)
    return;
  for (const [name, options] of [["page-computer", {}], ["page-computer-narrow", {width: 360, height: 740}],
    ["page-models-dark", {hash: "#models", theme: "dark"}]])
    await on(proven, options, async (page) => {
      await go(page, (options.hash ?? "#computer").slice(1));
      await picture(page, name);
    });
  await on(proven, {hash: "#chat", theme: "dark"}, async (page) => {
    await ask(page, "Count for a long time.");
    await go(page, "activity");
    await page.waitForTimeout(60000); // so that there are lines to see
    await picture(page, "page-activity-dark");
  });
}

await run([
  ["the answer comes first, evidence on request", answersFirst],
  ["a path that is not taken shows its reason and its remedy, which can be copied", rejectedPath],
  ["nothing is wider than the window at 360, 768 and 1440", fitsAnywhere],
  ["accessible in light and dark, by axe's rules", accessible],
  ["light and dark follow the system, or a choice that is kept", lightAndDark],
  ["chat streams, with markdown, and says what answered", chatStreams],
  ["the button stops an answer", () => stopStops((page) => page.locator("#chat-stop").click())],
  ["Esc stops an answer", () => stopStops((page) => page.locator("#chat-input").press("Escape"))],
  ["pictures go to models that see, and to no others", pictures],
  ["hostile text makes no code, no foreign link and no hang", harmlessMarkdown],
  ["markdown comes out right", rightMarkdown],
  ["a pull shows progress, survives a reload, and can be taken back", pullSurvivesReload],
  ["a pull can be cancelled; what is too large is not offered", pullIsCancelled],
  ["an unknown model gets the server's sentence", unknownModel],
  ["models load, unload and are found by what they can", loadAndUnload],
  ["backends are installed, proven again, preferred", backends],
  ["activity has figures, lines and the log", activity],
  ["a key is asked for once, and does not outlive the tab", keyOnce],
  ["everything is reached, named and done by keyboard alone", keyboardOnly],
  ["a server that went away is told once, and its return", serverAway],
  ["less than 150 KB in all", small],
  ["pictures for the documents, when asked for", documents],
]);
await close();
