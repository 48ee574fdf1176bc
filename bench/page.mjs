// A first visit's first contentful paint, in ms, for each address of GFXB_ADDRESSES ({name: url}),
// interleaved; GFXB_ROUNDS rounds after one that does not count. Prints {name: [ms...]} as JSON.
import {startBrowser} from "../tests/web/harness.mjs";

const addresses = Object.entries(JSON.parse(process.env.GFXB_ADDRESSES));
const rounds = Number(process.env.GFXB_ROUNDS);
const {browser, close} = await startBrowser();
const paints = Object.fromEntries(addresses.map(([name]) => [name, []]));
for (let round = 0; round <= rounds; round++)
  for (const [name, url] of addresses) {
    const context = await browser.newContext({viewport: {width: 1440, height: 900}});
    const page = await context.newPage();
    await page.waitForTimeout(2000); // a new window first loads pages of the browser's own
    await page.goto(url, {waitUntil: "networkidle"});
    const paint = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0].startTime);
    if (round > 0)
      paints[name].push(paint);
    await context.close();
  }
await close();
console.log(JSON.stringify(paints));
