// A file sent in parts: three at a time, each again after a lost connection, and taken up after a reload.

const AT_ONCE = 3;
const LONGEST_PAUSE = 15_000; // ms between two tries
const KEPT = "uploads";

/** `message` is the server's fragment that says why. */
class Refused extends Error {}

class Canceled extends Error {}

/** Sends `file` and `run` resolves to the server's fragment about it. `told` hears {loaded, total, state}. */
class PartsUpload {
  static Refused = Refused;
  static Canceled = Canceled;

  constructor(file, { address, token, project, told }) {
    Object.assign(this, { file, address, token, project, told });
    this.mark = [file.name, file.size, file.lastModified].join("/");
    this.sending = new Set();
    this.sizes = new Map(); // part number → bytes of it that are surely or just now there
    this.isOver = false;
  }

  async run() {
    this.begun = await this.find() ?? await this.begin();
    remember(this.mark, this.begun.upload_id);
    try {
      for (let tries = 0; ; tries += 1) {
        await this.send(this.begun);
        this.tell("looking");
        const answer = await this.again(() => this.ask(`${this.begun.upload_id}/complete`, {}));
        if (answer.status !== 202) {
          forget(this.mark);
          return await answer.text();
        }
        // An earlier request, whose answer was lost, is still at it; or a part got lost.
        await this.pause(tries);
        this.begun = await this.again(() => this.state(this.begun.upload_id));
      }
    } catch (error) {
      if (error instanceof Refused) forget(this.mark);
      throw error;
    } finally {
      this.isOver = true;
      for (const request of this.sending) request.abort();
    }
  }

  async send({ parts = [], missing = [] }) {
    const queue = missing.slice();
    if (!queue.length) return;
    for (const part of parts) this.sizes.set(part.number, part.size);
    this.tell("sending");
    const worker = async () => { while (queue.length) await this.part(queue.shift()); };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
  }

  /** Stops at once; what has arrived is removed. */
  cancel() {
    this.isOver = true;
    for (const request of this.sending) request.abort();
    forget(this.mark);
    if (this.begun) this.ask(`${this.begun.upload_id}/cancel`, {}).catch(() => {});
  }

  async find() {
    const id = recall(this.mark);
    if (!id) return null;
    const state = await this.again(() => this.state(id));
    return state.status === "gone" || state.status === "failed" ? null : state;
  }

  async state(id) {
    const answer = await fetch(`${this.address}/${id}`);
    mustBeSignedIn(answer);
    if (answer.status === 404) return { status: "gone" };
    if (!answer.ok) throw new Error(`${id}: ${answer.status}`);
    return answer.json();
  }

  async begin() {
    const body = { filename: this.file.name, size: this.file.size, project: this.project };
    const answer = await this.again(() => this.ask("", body));
    return answer.json();
  }

  async part(number) {
    const { part_size: size } = this.begun;
    const bytes = this.file.slice((number - 1) * size, number * size);
    for (let tries = 0; ; tries += 1) {
      if (this.isOver) throw new Canceled();
      try {
        await this.put(await this.urlOf(number), bytes, number);
        return;
      } catch (error) {
        this.sizes.delete(number);
        if (error instanceof Refused || error instanceof Canceled) throw error;
        this.tell("waiting");
        await this.pause(tries);
      }
    }
  }

  /** Asked for just before it is used, so that no address is old. */
  async urlOf(number) {
    const answer = await this.ask(`${this.begun.upload_id}/parts/${number}`, {});
    return (await answer.json()).url;
  }

  put(url, bytes, number) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest(); // fetch does not tell how much has been sent
      this.sending.add(request);
      request.open("PUT", url);
      request.upload.addEventListener("progress", (event) => {
        this.sizes.set(number, event.loaded);
        this.tell("sending");
      });
      request.addEventListener("loadend", () => {
        this.sending.delete(request);
        if (request.status === 200) {
          this.sizes.set(number, bytes.size);
          this.tell("sending");
          resolve();
        } else if (this.isOver) {
          reject(new Canceled());
        } else {
          reject(new Error(`part ${number}: ${request.status}`));
        }
      });
      request.send(bytes);
    });
  }

  /** One request until it is answered; a refusal is an answer. */
  async again(ask) {
    for (let tries = 0; ; tries += 1) {
      if (this.isOver) throw new Canceled();
      try {
        return await ask();
      } catch (error) {
        if (error instanceof Refused || error instanceof Canceled) throw error;
        this.tell("waiting");
        await this.pause(tries);
      }
    }
  }

  async ask(path, fields) {
    const answer = await fetch(path ? `${this.address}/${path}` : this.address, {
      method: "POST",
      headers: { "X-CSRFToken": this.token },
      body: new URLSearchParams(fields),
    });
    mustBeSignedIn(answer);
    const isHtml = answer.headers.get("Content-Type")?.startsWith("text/html");
    if (isHtml && [200, 404].includes(answer.status)) throw new Refused(await answer.text());
    if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
    return answer;
  }

  /** Longer each time, and over at once when the browser says that it is online again. */
  pause(tries) {
    const time = Math.min(LONGEST_PAUSE, 500 * 2 ** tries);
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        window.removeEventListener("online", done);
        resolve();
      };
      const timer = setTimeout(done, time);
      window.addEventListener("online", done);
    });
  }

  tell(state) {
    let loaded = 0;
    for (const size of this.sizes.values()) loaded += size;
    if (!this.isOver) this.told({ loaded: Math.min(loaded, this.file.size), total: this.file.size, state });
  }
}

/** Signed out meanwhile: the page itself asks to sign in, and the same file chosen again goes on from here. */
function mustBeSignedIn(answer) {
  if (!answer.redirected) return;
  window.location.reload();
  throw new Canceled();
}

function kept() {
  try {
    return JSON.parse(localStorage.getItem(KEPT)) ?? {};
  } catch {
    return {}; // no storage, or something else in it: then a reload starts anew
  }
}

function keep(all) {
  try {
    localStorage.setItem(KEPT, JSON.stringify(all));
  } catch {
    // As above.
  }
}

function recall(mark) {
  return kept()[mark];
}

function remember(mark, id) {
  keep({ ...kept(), [mark]: id });
}

function forget(mark) {
  const { [mark]: gone, ...rest } = kept();
  keep(rest);
}

// Not exported: static files get their version into their names, which an import would have to know.
window.PartsUpload = PartsUpload;
