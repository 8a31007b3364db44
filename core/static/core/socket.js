// A socket that comes back (docs/protocol.md): ticket, hello, order, acks, heartbeat, retries.
// It hands over what changed, in order and once; `tell(kind, words)` says how it is.

const SLOWEST_RETRY = 30_000; // ms
const OPENING = 15_000; // ms for the handshake and the first frame
const STABLE = 10_000; // ms; a connection that lived so long was a good one: the next retry is quick
const STOPPED = {
  4504: "There are too many open connections.",
  4506: "You are signed out.",
  4507: "This inbox was opened elsewhere.",
};

async function getTicket() {
  const token = document.cookie.match(/(?:^|; )csrftoken=([^;]*)/)?.[1] ?? "";
  const headers = { "X-CSRFToken": token };
  const answer = await fetch("/api/v1/auth/ws-ticket", { method: "POST", headers, signal: AbortSignal.timeout(10_000) });
  if (answer.ok) return (await answer.json()).ticket;
  throw Object.assign(new Error(`no ticket: ${answer.status}`), { signedOut: [401, 403].includes(answer.status) });
}

export class Connection {
  live = false; // welcomed and not lost
  #stopped = false;
  #socket = null;
  #attempt = 0; // only the newest one may act
  #tries = 0;
  #position = null; // {epoch, seq} of the last change handed over
  #resuming = false;
  #welcome = null;
  #bye = null;
  #heardAt = 0;
  #owed = 0;
  #timers = {};
  #commands = 0;
  // randomUUID exists only under https.
  #device = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

  constructor({ url, sync, event, result, tell }) {
    Object.assign(this, { url, sync, event, result, tell });
    addEventListener("online", () => this.#wake());
    document.addEventListener("visibilitychange", () => {
      const fresh = this.live && Date.now() - this.#heardAt < this.#silence();
      if (document.visibilityState === "visible" && !fresh) this.#wake();
    });
    this.#connect();
  }

  /** False when there is no connection to send it on. The change comes back as an event. */
  command(name, args) {
    return this.live && this.#send({ type: "command", id: `${this.#device}-${++this.#commands}`, name, args });
  }

  async #connect() {
    clearTimeout(this.#timers.retry);
    const mine = ++this.#attempt;
    try {
      const ticket = await getTicket();
      if (mine === this.#attempt) this.#open(mine, ticket);
    } catch (error) {
      if (mine === this.#attempt) this.#lost(error.signedOut ? 4506 : 0);
    }
  }

  #open(mine, ticket) {
    this.#socket = new WebSocket(this.url, "bellhop.v1.json");
    this.#watch(OPENING);
    this.#socket.onopen = () => {
      const visible = document.visibilityState === "visible";
      this.#send({ type: "hello", ticket, device: this.#device, position: this.#position, visible });
    };
    this.#socket.onmessage = ({ data }) => mine === this.#attempt && this.#receive(JSON.parse(data));
    this.#socket.onclose = (close) => mine === this.#attempt && this.#lost(this.#bye?.code ?? close.code, close.reason);
  }

  #send(frame) {
    const open = this.#socket?.readyState === WebSocket.OPEN;
    if (open) this.#socket.send(JSON.stringify(frame));
    return open;
  }

  #receive(frame) {
    this.#heardAt = Date.now();
    switch (frame.type) {
      case "welcome":
        this.#welcome = { ...frame, at: this.#heardAt };
        this.live = true;
        break;
      case "sync":
        this.#position = { epoch: this.#welcome.epoch, seq: frame.to };
        this.#resuming = false;
        this.sync(frame);
        this.tell("connected", "connected");
        this.#owe(1);
        break;
      case "event": this.#events([frame]); break;
      case "events": this.#events(frame.events); break;
      case "ping": this.#send({ type: "pong", seq: this.#position?.seq ?? 0 }); break;
      case "lag": this.#ack(); break;
      case "expiring": getTicket().then((ticket) => this.#send({ type: "refresh", ticket }), () => {}); break;
      case "result": this.result(frame); break;
      case "bye": this.#bye = frame; break;
    }
    if (this.live) this.#watch(this.#silence());
  }

  #events(events) {
    for (const event of events) {
      const expected = this.#position.seq + 1;
      if (event.seq < expected) continue;
      if (event.seq > expected) {
        // A hole must not happen; if it does, the difference from here fills it.
        if (!this.#resuming) this.#send({ type: "resume", seq: this.#position.seq });
        this.#resuming = true;
        return;
      }
      this.#position.seq = event.seq;
      this.event(event);
      this.#owe(1);
    }
  }

  #owe(count) {
    this.#owed += count;
    if (this.#owed >= this.#welcome.ack.every) this.#ack();
    else this.#timers.ack ??= setTimeout(() => this.#ack(), this.#welcome.ack.within_ms);
  }

  #ack() {
    clearTimeout(this.#timers.ack);
    this.#timers.ack = undefined;
    this.#owed = 0;
    if (this.live && this.#position) this.#send({ type: "ack", seq: this.#position.seq });
  }

  /** Longer than the server's heartbeat: then the connection is dead, though nobody closed it. */
  #silence() {
    return (this.#welcome.heartbeat + 10) * 1000;
  }

  #watch(within) {
    clearTimeout(this.#timers.silence);
    this.#timers.silence = setTimeout(() => { this.#abandon(); this.#lost(); }, within);
  }

  /** Forget this socket at once: a close handshake with nobody takes long. */
  #abandon() {
    this.#attempt++;
    this.#socket?.close();
  }

  #lost(code = 0, reason = "") {
    const good = this.live && Date.now() - this.#welcome.at >= STABLE;
    this.#tries = good ? 0 : this.#tries + 1;
    this.live = this.#resuming = false;
    clearTimeout(this.#timers.silence);
    // Full jitter, so that a restarted server does not meet everybody at once; `bye` may set the range.
    const [least, most] = this.#bye?.retry_ms ?? [0, Math.min(SLOWEST_RETRY, 500 * 2 ** this.#tries)];
    this.#bye = null;
    if (code >= 4500 && code <= 4999) {
      this.#stopped = true;
      const why = STOPPED[code] ?? `The server ended the connection: ${reason || "no reason given"} (${code}).`;
      this.tell("stopped", `stopped. ${why}`);
    } else {
      this.tell("offline", "offline, catching up as soon as the connection is back");
      this.#timers.retry = setTimeout(() => this.#connect(), least + Math.random() * (most - least));
    }
  }

  /** The network is back, or somebody looks at the page again: no waiting for a timer. */
  #wake() {
    if (this.#stopped) return;
    this.#abandon();
    this.live = false;
    this.#connect();
  }
}
