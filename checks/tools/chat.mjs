// Uses the web chat in Chromium as a person does, with the mouse, on a phone and with the keyboard alone. What it sees is
// told as lines of JSON; the test decides. Screenshots go to the directory that is named.
import { createRequire } from "node:module";

const [url, shots, tools] = process.argv.slice(2);
const { chromium } = createRequire(`${tools}/`)("playwright-core");
const tell = (what, value) => console.log(JSON.stringify({ what, value }));
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });

const problems = [];
async function page(options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  page.on("console", (message) => { if (message.type() === "error") problems.push(message.text()); });
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("request", (request) => { if (!request.url().startsWith(url) && !request.url().startsWith("data:")) problems.push(`asked ${request.url()}`); });
  await page.goto(url);
  return page;
}
const turns = (page) => page.evaluate(() => Number(document.getElementById("log").dataset.turns ?? 0));
/** Does something, and waits until the turn that it begins has ended. */
async function turn(page, act) {
  const before = await turns(page);
  await act();
  await page.waitForFunction((before) => Number(document.getElementById("log").dataset.turns ?? 0) > before, before);
}
const last = async (page) => (await page.locator("#log .say:not(.mine)").last().innerText()).trim();
const ask = (page, words) => turn(page, async () => {
  await page.fill("#words", words);
  await page.press("#words", "Enter");
});

// at a desk
const desk = await page({ viewport: { width: 1200, height: 860 } });
await desk.getByRole("button", { name: "Max" }).click();
tell("greeting", await last(desk));
tell("user", await desk.locator("#user").innerText());
tell("notice", await desk.locator("#notice").innerText());
await ask(desk, "What cars can I rent?");
tell("cars", await last(desk));
await desk.locator("details.call summary").first().click();
tell("opened", await desk.locator("details.call[open] pre").allInnerTexts());
await desk.locator("details.call summary").first().click();
await ask(desk, "Book me a trip to Paris");
tell("paris", await last(desk));
await ask(desk, "Then Dallas, three days starting next Monday, and a car. It is for business.");
tell("decisions", await desk.locator(".card h2").allInnerTexts());
await desk.screenshot({ path: `${shots}/chat-approval.png` });
// what waits for a decision is still there when the page is loaded again
await desk.reload();
await desk.locator(".card").first().waitFor();
tell("decisions again", await desk.locator(".card h2").allInnerTexts());
await turn(desk, async () => {
  await desk.getByRole("button", { name: "Allow", exact: true }).first().click();
  await desk.locator(".card").nth(1).waitFor({ state: "detached" });
  await desk.getByRole("button", { name: "Allow", exact: true }).click();
});
tell("dallas", await last(desk));
await desk.screenshot({ path: `${shots}/chat-desktop.png` });
await ask(desk, "Can I rent a Mercedes?");
await turn(desk, async () => {
  await desk.getByPlaceholder("Why not?").fill("too flashy");
  await desk.getByRole("button", { name: "Don’t allow" }).click();
});
tell("mercedes", await last(desk));
tell("conversations", await desk.locator("#list li").count());

// somebody else, on a phone
const phone = await page({ viewport: { width: 390, height: 780 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true, colorScheme: "dark" });
await phone.getByRole("button", { name: "Alice" }).tap();
await ask(phone, "What have I booked?");
tell("alice", await last(phone));
await ask(phone, "Dallas, please");
tell("wide", await phone.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth));
await phone.screenshot({ path: `${shots}/chat-phone.png` });
await phone.getByRole("button", { name: "Conversations" }).tap();
tell("alice's conversations", await phone.locator("#list li").count());
await phone.keyboard.press("Escape");

// with the keyboard alone
const keys = await page({ viewport: { width: 1000, height: 700 } });
await keys.locator("#sign[open]").waitFor();
await keys.keyboard.press("Tab");
for (let tries = 0; tries < 6 && (await keys.evaluate(() => document.activeElement.textContent)) !== "Bob"; tries += 1) await keys.keyboard.press("Tab");
await keys.keyboard.press("Enter");
await keys.waitForFunction(() => document.activeElement?.id === "words");
await keys.keyboard.type("Dallas, three days");
await keys.keyboard.press("Enter");
await keys.locator(".card").first().waitFor();
// the decision is announced; a key that was meant for the message does not take it
await keys.waitForFunction(() => document.activeElement?.textContent === "May I? Book a car");
await keys.keyboard.press("Enter");
tell("decided by a stray key", 2 - (await keys.locator(".card").count()));
const allow = async (left) => {
  await keys.waitForFunction((left) => document.querySelectorAll(".card").length === left && !document.querySelector(".card button").disabled, left);
  await keys.keyboard.press("Tab");
  await keys.keyboard.press("Enter");
};
await allow(2);
await turn(keys, () => allow(1));
tell("by keyboard", await last(keys));

// a stop in the middle of an answer
await turn(keys, async () => {
  // as soon as it can be: the answer is short
  await keys.evaluate(() => {
    const stop = document.getElementById("stop");
    new MutationObserver(() => { if (!stop.disabled) stop.click(); }).observe(stop, { attributes: true });
  });
  await keys.fill("#words", "what else can you do");
  await keys.press("#words", "Enter");
});
tell("stopped", await keys.locator(".note").last().innerText());

// a question of a server, with choices of several; no server of the demo asks that, so the page is told that one does
const asked = await page({ viewport: { width: 600, height: 700 } });
await asked.getByRole("button", { name: "Bob" }).click();
const schema = {
  type: "object", required: ["meals"],
  properties: {
    meals: { type: "array", title: "Meals", minItems: 1, maxItems: 2, items: { type: "string", enum: ["breakfast", "lunch", "dinner"] } },
    seats: { type: "array", title: "Seats", items: { anyOf: [{ const: "w", title: "Window" }, { const: "a", title: "Aisle" }] }, default: ["a"] },
  },
};
const told = [
  { type: "began", session: "s", model: "m" },
  { type: "text", text: "One moment." },
  { type: "question", id: "q", server: "kitchen", message: "What do you want?", schema },
  { type: "ended", outcome: "answered" },
];
await asked.route("**/turns", (route) => route.fulfill({ contentType: "text/event-stream", body: told.map((event) => `data: ${JSON.stringify(event)}\n\n`).join("") }));
const replied = new Promise((resolve) => {
  asked.route("**/replies", (route) => { resolve(route.request().postDataJSON()); return route.fulfill({ json: {} }); });
});
await ask(asked, "What is there to eat?");
tell("read out whole", await asked.locator("#log .say:not(.mine)").last().getAttribute("aria-busy"));
const answer = asked.getByRole("button", { name: "Answer" });
await answer.click();
for (const meal of ["breakfast", "lunch", "dinner"]) await asked.getByLabel(meal).check();
await answer.click();
await asked.getByLabel("lunch").uncheck();
tell("still asked", await asked.locator("form.card").count());
await asked.screenshot({ path: `${shots}/chat-question.png` });
await answer.click();
tell("several", (await replied).content);

tell("problems", problems);
await browser.close();
