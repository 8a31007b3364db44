// The inbox demo: a list that follows the socket. Nothing changes here but by what the server says.

import { safeLink } from "./links.js";
import { Connection } from "./socket.js";

const find = (id) => document.getElementById(id);

// --- What the server said -------------------------------------------------------------------------

const items = new Map(); // id -> notification
let unread = 0;

function keep(item) {
  if (item.deleted) items.delete(item.id);
  else if (item.rev >= (items.get(item.id)?.rev ?? 0)) items.set(item.id, item);
}

function readUpTo(seq, at) {
  for (const item of items.values()) if (item.rev <= seq) item.read_at ??= at;
}

function sync(frame) {
  if (frame.mode === "reset") {
    items.clear();
    find("older").hidden = !frame.more;
  }
  frame.items.forEach(keep);
  for (const mark of frame.read_all) readUpTo(mark.seq, mark.at);
  unread = frame.counts.unread;
  render();
}

function event(frame) {
  if (frame.change === "read_all") readUpTo(frame.seq, frame.at);
  else if (frame.notification) keep(frame.notification);
  if (frame.change === "created") find("news").textContent = `New: ${frame.notification.title}`;
  unread = frame.counts.unread;
  render();
}

// --- The list: text is always set as text ---------------------------------------------------------

function fill(row, item) {
  const part = (selector) => row.querySelector(selector);
  row.dataset.id = item.id;
  row.classList.toggle("unread", !item.read_at);
  part("h2").textContent = item.title;
  part(".text").textContent = item.body;
  part(".text").hidden = !item.body;
  part("time").dateTime = item.created_at;
  part("time").textContent = new Date(item.created_at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  part(".category").textContent = item.category;
  part(".tags").replaceChildren(...item.tags.map((tag) => Object.assign(document.createElement("li"), { textContent: tag })));
  const href = safeLink(item.action_url);
  part("a").hidden = !href;
  if (href) part("a").href = href;
  part(".read").dataset.command = item.read_at ? "mark_unread" : "mark_read";
  part(".read").textContent = item.read_at ? "Mark unread" : "Mark read";
  for (const action of part(".actions").children) action.ariaLabel = `${action.textContent}: ${item.title}`;
}

const rows = new Map(); // id -> its <li>; kept, so that the keyboard's focus stays where it is
const newestFirst = (a, b) =>
  b.created_at.localeCompare(a.created_at) || b.id.localeCompare(a.id, "en", { numeric: true });

function render() {
  const shown = [...items.values()].filter((item) => !item.archived_at).sort(newestFirst);
  for (const [id, row] of rows) {
    if (items.has(id) && !items.get(id).archived_at) continue;
    const near = row.nextElementSibling ?? row.previousElementSibling;
    if (row.contains(document.activeElement)) (near?.querySelector(".archive") ?? find("heading")).focus();
    row.remove();
    rows.delete(id);
  }
  shown.forEach((item, index) => {
    const row = rows.get(item.id) ?? find("line").content.firstElementChild.cloneNode(true);
    const version = `${item.rev} ${Boolean(item.read_at)}`;
    if (row.dataset.version !== version) fill(row, item);
    row.dataset.version = version;
    rows.set(item.id, row);
    const there = find("list").children[index] ?? null;
    if (there !== row) find("list").insertBefore(row, there);
  });
  find("empty").hidden = shown.length > 0;
  find("unread").hidden = find("read-all").hidden = !unread;
  find("unread").textContent = `${unread} unread`;
  document.title = unread ? `(${unread}) Bellhop` : "Bellhop";
}

// --- The connection -------------------------------------------------------------------------------

function tell(kind, words) {
  find("state").dataset.kind = kind;
  if (find("state").textContent !== words) find("state").textContent = words;
  find("reload").hidden = kind !== "stopped";
  if (kind === "connected") complain("");
}

function complain(words) {
  find("problem").textContent = words;
  find("problem").hidden = !words;
}

const { wsUrl, wsPort } = find("inbox").dataset;
const scheme = location.protocol === "https:" ? "wss:" : "ws:";
const connection = new Connection({
  url: wsUrl || `${scheme}//${location.hostname}:${wsPort}/ws/notifications/`,
  sync,
  event,
  tell,
  result: (frame) => complain(frame.ok ? "" : frame.error.message),
});

function command(name, args) {
  if (!connection.command(name, args)) complain("Not connected: nothing was changed.");
}
find("read-all").addEventListener("click", () => command("mark_all_read", {}));
find("list").addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (button) command(button.dataset.command, { ids: [button.closest("[data-id]").dataset.id] });
});
