// The web chat: speaks the API under /api, and puts what others say on the page as text, never as markup.
const $ = (id) => document.getElementById(id);
const make = (tag, props = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), props);
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
};
const log = $("log");
let me = null;
let session = null;
let running = false;
let calls = new Map();
let speech = null;

async function api(path, options = {}) {
  const { body, method = body === undefined ? "GET" : "POST", ...rest } = options;
  const answer = await fetch(`/api/${path}`, {
    method, ...rest,
    headers: body === undefined ? {} : { "content-type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (answer.ok) return answer;
  if (answer.status === 401 && me?.user) { await begin(); }
  const text = await answer.text();
  let reason = text;
  try { reason = JSON.parse(text).error ?? text; } catch { /* it is no JSON, so it is shown as it is */ }
  throw new Error(reason || `the server answered ${answer.status}`);
}

// ── Words ────────────────────────────────────────────────────────────────────────────────────────────────────────

function inline(text) {
  const parts = [];
  for (const piece of text.split(/(\*\*[^*\n]+\*\*|`[^`\n]+`)/)) {
    if (/^\*\*[^*]+\*\*$/.test(piece)) parts.push(make("strong", {}, piece.slice(2, -2)));
    else if (/^`[^`]+`$/.test(piece)) parts.push(make("code", {}, piece.slice(1, -1)));
    else if (piece) parts.push(piece);
  }
  return parts;
}

/** The little of Markdown that models write most: paragraphs, lists, headings, bold, code. */
function render(target, text) {
  const nodes = [];
  let list = null;
  let lines = null;
  let code = null;
  const close = () => { list = null; lines = null; };
  for (const line of text.split("\n")) {
    if (code) {
      if (line.startsWith("```")) code = null; else code.textContent += `${line}\n`;
      continue;
    }
    const item = line.match(/^\s*(?:[-*]|(\d+)[.)])\s+(.*)$/);
    const heading = line.match(/^#{1,6}\s+(.*)$/);
    if (line.startsWith("```")) {
      close();
      code = make("pre");
      nodes.push(code);
    } else if (item) {
      const tag = item[1] ? "OL" : "UL";
      if (list?.tagName !== tag) { close(); list = make(tag.toLowerCase()); nodes.push(list); }
      list.append(make("li", {}, ...inline(item[2])));
    } else if (heading) {
      close();
      nodes.push(make("p", {}, make("strong", {}, ...inline(heading[1]))));
    } else if (!line.trim()) {
      close();
    } else if (lines) {
      lines.append(make("br"), ...inline(line));
    } else {
      close();
      lines = make("p", {}, ...inline(line));
      nodes.push(lines);
    }
  }
  target.replaceChildren(...nodes);
}

const near = () => log.scrollHeight - log.scrollTop - log.clientHeight < 120;
function add(node) {
  const follow = near();
  log.append(node);
  if (follow) log.scrollTop = log.scrollHeight;
  return node;
}

function mine(text) { add(make("div", { className: "say mine" }, text)); log.scrollTop = log.scrollHeight; }

function say(text) {
  if (!speech) {
    // it is read out when it is whole, and not each time that it grows
    const node = add(make("div", { className: "say", ariaBusy: "true" }));
    speech = { node, text: "", due: false };
  }
  speech.text += text;
  if (!speech.due) {
    const current = speech;
    current.due = true;
    requestAnimationFrame(() => {
      const follow = near();
      current.due = false;
      render(current.node, current.text);
      if (follow) log.scrollTop = log.scrollHeight;
    });
  }
}

/** What is said from now on is something else. */
function hush() {
  const said = speech;
  speech = null;
  // behind the frame that renders the last of it
  if (said) requestAnimationFrame(() => { said.node.ariaBusy = null; });
}

function note(text, bad = false) { add(make("p", { className: bad ? "note bad" : "note" }, text)); }

// ── Calls, approvals, questions ──────────────────────────────────────────────────────────────────────────────────

const brief = (value) => (typeof value === "string" ? value : JSON.stringify(value));
const args = (input) => Object.entries(input ?? {}).map(([name, value]) => `${name}: ${brief(value)}`).join(", ");
const pretty = (value) => JSON.stringify(value, null, 2);

function showCall(call) {
  hush();
  const mark = make("span", { className: "mark busy", textContent: "◌" });
  mark.setAttribute("aria-label", "running");
  const inside = make("div", { className: "inside" }, make("h3", {}, "Input"), make("pre", {}, pretty(call.input)));
  const node = make("details", { className: "call" },
    make("summary", {}, mark, make("span", { className: "what" }, call.title || call.name), make("span", { className: "args" }, args(call.input))),
    inside);
  calls.set(call.id, { node, mark, inside });
  add(node);
}

function showResult(result) {
  const call = calls.get(result.id);
  if (!call) return;
  call.mark.className = `mark ${result.isError ? "bad" : "good"}`;
  call.mark.textContent = result.isError ? "✗" : "✓";
  call.mark.setAttribute("aria-label", result.isError ? "failed" : "done");
  const took = result.tookMs === undefined ? "" : ` (${result.tookMs} ms)`;
  call.inside.append(make("h3", {}, `${result.isError ? "What went wrong" : "Result"}${took}`),
    make("pre", {}, result.structured ? pretty(result.structured) : result.text));
}

const reasons = { destructive: "It changes something.", policy: "The owner of this agent wants you to be asked." };

function fields(input) {
  const list = make("dl");
  for (const [name, value] of Object.entries(input ?? {})) list.append(make("dt", {}, name), make("dd", {}, brief(value)));
  return list;
}

/** All calls that wait are decided together: the turn goes on when the last one is. */
function askAll(waiting) {
  hush();
  const decisions = new Map();
  waiting.forEach((call, index) => {
    const why = make("input", { placeholder: "Why not? (optional)", ariaLabel: "Why not" });
    const yes = make("button", { type: "button" }, "Allow");
    const no = make("button", { type: "button", className: "no" }, "Don’t allow");
    const heading = make("h2", { tabIndex: -1 }, `May I? ${call.title || call.name}`);
    const card = make("section", { className: "card" },
      heading, fields(call.input),
      make("p", { className: "note" }, [reasons[call.reason], `The tool ${call.name} of ${call.server || "a server"}.`].filter(Boolean).join(" ")),
      make("div", { className: "row" }, yes, no, why));
    card.setAttribute("aria-label", `Decision: ${call.title || call.name}`);
    const decide = (approve) => {
      decisions.set(call.id, { id: call.id, approve, note: approve ? undefined : why.value.trim() || undefined });
      card.replaceWith(make("p", { className: "note" }, `${approve ? "Allowed" : "Not allowed"}: ${call.title || call.name} (${args(call.input)})`));
      if (decisions.size === waiting.length) take({ decide: [...decisions.values()] });
      else {
        hold();
        log.querySelector(".card h2")?.focus();
      }
    };
    yes.onclick = () => decide(true);
    no.onclick = () => decide(false);
    log.append(card);
    // not on a button: whoever is typing must not decide by that
    if (index === 0 && (document.activeElement !== words || !words.value)) heading.focus({ preventScroll: true });
  });
  hold();
  log.querySelector(".card").scrollIntoView({ block: "start" });
}

/** What has just come under the pointer, or under a key that is held, does not take it. */
function hold() {
  const buttons = [...log.querySelectorAll(".card button")];
  buttons.forEach((button) => { button.disabled = true; });
  setTimeout(() => buttons.forEach((button) => { button.disabled = false; }), 500);
}

/** The values that a schema lets be chosen, each with its words. */
const choices = (schema) => schema.enum?.map((value, at) => [value, schema.enumNames?.[at] ?? value])
  ?? (schema.oneOf ?? schema.anyOf ?? []).map((one) => [one.const, one.title ?? one.const]);

/** Several of some values. */
function several(name, label, schema, required) {
  const { minItems: least = required ? 1 : 0, maxItems: most = Infinity } = schema;
  const boxes = choices(schema.items ?? {}).map(([value, text]) => {
    const box = make("input", { type: "checkbox", value, checked: schema.default?.includes(value) ?? false });
    return { box, line: make("label", {}, box, ` ${text}`) };
  });
  const read = () => {
    const chosen = boxes.filter(({ box }) => box.checked).map(({ box }) => box.value);
    return chosen.length || required ? chosen : undefined;
  };
  const check = () => {
    const count = boxes.filter(({ box }) => box.checked).length;
    const wrong = !count && !required ? "" : count < least ? `Choose at least ${least}.` : count > most ? `Choose at most ${most}.` : "";
    boxes[0]?.box.setCustomValidity(wrong);
  };
  const line = make("fieldset", { onchange: check }, make("legend", {}, label), ...boxes.map((box) => box.line));
  check();
  return { name, line, read };
}

function field(name, schema, required) {
  const label = `${schema.title || name}${required ? "" : " (optional)"}`;
  if (schema.type === "array") {
    const list = several(name, label, schema, required);
    if (schema.description) list.line.append(make("div", { className: "note" }, schema.description));
    return list;
  }
  let input;
  if (schema.type === "boolean") input = make("input", { type: "checkbox", checked: schema.default === true });
  else if (schema.enum || schema.oneOf) {
    input = make("select", {}, ...(required ? [] : [make("option", { value: "" }, "–")]), ...choices(schema).map(([value, text]) => make("option", { value }, text)));
    if (schema.default !== undefined) input.value = schema.default;
  } else {
    const type = { number: "number", integer: "number" }[schema.type] ?? { email: "email", date: "date", uri: "url" }[schema.format] ?? "text";
    input = make("input", { type, required, value: schema.default ?? "" });
    if (schema.type === "number") input.step = "any";
  }
  const read = () => {
    if (schema.type === "boolean") return input.checked;
    if (input.value === "") return undefined;
    return schema.type === "number" || schema.type === "integer" ? Number(input.value) : input.value;
  };
  const line = schema.type === "boolean" ? make("label", {}, input, ` ${label}`) : make("label", {}, `${label} `, input);
  if (schema.description) line.append(make("div", { className: "note" }, schema.description));
  return { name, line, read };
}

function askQuestion(question) {
  hush();
  const required = question.schema?.required ?? [];
  const inputs = Object.entries(question.schema?.properties ?? {}).map(([name, schema]) => field(name, schema, required.includes(name)));
  const link = question.url && /^https?:/.test(question.url)
    ? make("p", {}, make("a", { href: question.url, target: "_blank", rel: "noopener noreferrer" }, question.url)) : null;
  const no = make("button", { type: "button", className: "no" }, "Decline");
  const heading = make("h2", { tabIndex: -1 }, `${question.server} asks`);
  const form = make("form", { className: "card" }, heading, make("p", {}, question.message), link,
    ...inputs.map((input) => input.line), make("div", { className: "row" }, make("button", {}, "Answer"), no));
  const reply = async (body) => {
    form.replaceWith(make("p", { className: "note" }, `${question.message} — ${body.action === "accept" ? "answered" : "declined"}`));
    try { await api(`conversations/${session}/replies`, { body: { question: question.id, ...body } }); } catch (error) { note(error.message, true); }
  };
  form.onsubmit = (event) => {
    event.preventDefault();
    const content = Object.fromEntries(inputs.map((input) => [input.name, input.read()]).filter(([, value]) => value !== undefined));
    reply({ action: "accept", content: question.url ? undefined : content });
  };
  no.onclick = () => reply({ action: "decline" });
  add(form);
  hold();
  if (document.activeElement !== words || !words.value) heading.focus({ preventScroll: true });
}

// ── A turn ───────────────────────────────────────────────────────────────────────────────────────────────────────

async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    for (let end; (end = rest.indexOf("\n\n")) >= 0; rest = rest.slice(end + 2)) {
      const data = rest.slice(0, end).split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim());
      if (data.length) yield JSON.parse(data.join("\n"));
    }
  }
}

function busy(on) {
  running = on;
  $("send").hidden = on;
  $("stop").hidden = !on;
  // there is nothing to stop before it has begun
  $("stop").disabled = true;
  $("status").textContent = on ? "Working…" : "";
  $("hints").hidden = on || log.querySelector(".say.mine") !== null;
}

const endings = {
  stopped: "Stopped.", budget: "Ended early", cut: "The answer was cut", filtered: "The answer was withheld", failed: "This did not work",
};

async function take(wish) {
  if (running) return;
  busy(true);
  hush();
  const waiting = [];
  let ended = false;
  try {
    const answer = await api(`conversations/${session}/turns`, { body: wish });
    for await (const event of events(answer)) {
      switch (event.type) {
        case "began": $("stop").disabled = false; break;
        case "text": say(event.text); break;
        case "again": speech?.node.remove(); hush(); $("status").textContent = `${event.reason}; trying again`; break;
        case "sources": note(`Looked up: ${event.sources.join(", ")}`); break;
        case "call": showCall(event); $("status").textContent = `${event.title || event.name}…`; break;
        case "progress": $("status").textContent = event.text; break;
        case "result": showResult(event); hush(); $("status").textContent = "Working…"; break;
        case "approval": waiting.push(event); break;
        case "question": askQuestion(event); break;
        case "note": note(event.text); break;
        case "ended":
          ended = true;
          if (endings[event.outcome]) note([endings[event.outcome], event.detail].filter(Boolean).join(": "), event.outcome !== "stopped");
          break;
      }
    }
    if (!ended) note("The connection broke. What was done so far is kept; load the conversation again.", true);
  } catch (error) {
    note(error.message, true);
  }
  hush();
  busy(false);
  if (waiting.length) askAll(waiting);
  else if (document.activeElement === document.body || document.activeElement === log) $("words").focus();
  log.dataset.turns = Number(log.dataset.turns ?? 0) + 1;
  await refresh();
}

// ── Conversations ────────────────────────────────────────────────────────────────────────────────────────────────

async function refresh() {
  try {
    const listed = await (await api("conversations")).json();
    $("list").replaceChildren(...listed.map((one) => {
      const title = one.title || "(empty)";
      const open = make("button", { type: "button", title, onclick: () => { if (!running) { drawer(false); show(one.session); } } }, title);
      const forget = make("button", { type: "button", className: "forget", ariaLabel: `Delete ${title}`, onclick: () => remove(one.session, title) }, "✕");
      const item = make("li", {}, open, forget);
      if (one.session === session) item.setAttribute("aria-current", "true");
      return item;
    }));
  } catch (error) { note(error.message, true); }
}

async function remove(name, title) {
  if (running || !confirm(`Delete “${title}”?`)) return;
  try {
    await api(`conversations/${name}`, { method: "DELETE" });
    if (name === session) fresh(); else await refresh();
  } catch (error) { note(error.message, true); }
}

function greet() {
  log.replaceChildren();
  calls = new Map();
  hush();
  add(make("div", { className: "say" }, me.face.greeting.replaceAll("{user}", me.user)));
  $("hints").replaceChildren(...me.face.suggestions.map((text) => make("button", { type: "button", onclick: () => send(text) }, text)));
  $("hints").hidden = false;
}

function fresh() {
  session = crypto.randomUUID?.() ?? Math.random().toString(36).slice(2);
  history.replaceState(null, "", `#${session}`);
  greet();
  refresh();
  $("words").disabled = false;
  $("words").focus();
}

async function show(name) {
  session = name;
  history.replaceState(null, "", `#${session}`);
  greet();
  try {
    const view = await (await api(`conversations/${name}`)).json();
    for (const message of view.messages) {
      for (const block of message.blocks) {
        if (block.type === "text" && message.role === "user") mine(block.text);
        else if (block.type === "text") { hush(); say(block.text); }
        else if (block.type === "call") showCall(block);
        else if (block.type === "result") showResult(block);
      }
      hush();
    }
    busy(false);
    $("words").disabled = false;
    if (view.standing === "waiting") {
      for (const call of view.asked) { calls.get(call.id)?.node.remove(); }
      askAll(view.asked);
    }
    if (view.standing === "interrupted") {
      const go = make("button", { type: "button", onclick: () => { card.remove(); take({ resume: {} }); } }, "Go on");
      const card = add(make("section", { className: "card" }, make("h2", {}, "The last turn was interrupted."), go));
      go.focus();
    }
    if (view.standing === "running") { $("status").textContent = "This conversation is being worked on…"; setTimeout(() => { if (session === name && !running) show(name); }, 1500); }
  } catch (error) { note(error.message, true); }
  await refresh();
}

// ── The frame ────────────────────────────────────────────────────────────────────────────────────────────────────

function drawer(open) { $("side").classList.toggle("open", open); $("menu").setAttribute("aria-expanded", String(open)); }

function send(text) {
  if (running || !text.trim()) return;
  // calls that wait are not made when something else is said
  log.querySelectorAll(".card").forEach((card) => card.remove());
  mine(text.trim());
  take({ say: text.trim() });
}

const words = $("words");
const grow = () => { words.style.height = "auto"; words.style.height = `${Math.min(words.scrollHeight + 2, 160)}px`; };
words.addEventListener("input", grow);
words.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); $("form").requestSubmit(); }
});
$("form").onsubmit = (event) => {
  event.preventDefault();
  if (running) return;
  const text = words.value;
  words.value = "";
  grow();
  send(text);
};
$("stop").onclick = async () => {
  $("stop").disabled = true;
  try { await api(`conversations/${session}/stop`, { body: {} }); } catch (error) { if (running) note(error.message, true); }
};
$("new").onclick = () => { if (!running) { drawer(false); fresh(); } };
$("menu").onclick = () => drawer(!$("side").classList.contains("open"));
$("out").onclick = async () => { await fetch("/api/sign-out", { method: "POST" }); history.replaceState(null, "", "#"); begin(); };
document.addEventListener("keydown", (event) => { if (event.key === "Escape") drawer(false); });

async function begin() {
  me = await (await fetch("/api/me")).json();
  document.title = me.face.title;
  $("title").textContent = me.face.title;
  $("notice").hidden = !me.notice;
  $("notice").textContent = me.notice ?? "";
  $("who").hidden = !me.user;
  $("user").textContent = me.user ?? "";
  $("out").hidden = !me.choices.length;
  $("words").disabled = true;
  if (!me.user) {
    log.replaceChildren();
    $("list").replaceChildren();
    $("hints").replaceChildren();
    if (!me.choices.length) { note("You are not signed in, and this page cannot sign you in: whoever runs it decides who may use it.", true); return; }
    $("names").replaceChildren(...me.choices.map((user) => make("button", { type: "button", onclick: async () => {
      await api("sign-in", { body: { user } });
      $("sign").close();
      begin();
    } }, user)));
    if (!$("sign").open) $("sign").showModal();
    return;
  }
  const name = location.hash.slice(1);
  if (/^[\w-]{1,100}$/.test(name)) await show(name); else fresh();
}
$("sign").addEventListener("cancel", (event) => event.preventDefault());
begin().catch((error) => note(`The page cannot reach its server: ${error.message}`, true));
