// The list of clips: what the browser knows of a file at once, its upload, and what the server says of it.

const AT_ONCE = 2; // files; each of them sends three parts at a time
const FRAMES = 8; // enough to tell how many come in a second
const PATIENCE = 2000; // ms to find that out: the server will say it anyway

function bytes(count) {
  return count < 1e6 ? `${Math.ceil(count / 1e3)} kB` : `${(count / 1e6).toFixed(count < 1e8 ? 1 : 0)} MB`;
}

function clock(seconds) {
  const tenths = Math.round(seconds * 10);
  return `${Math.floor(tenths / 600)}:${String(Math.floor((tenths % 600) / 10)).padStart(2, "0")}.${tenths % 10}`;
}

function heard(video, event, within) {
  return new Promise((done) => {
    video.addEventListener(event, () => done(true), { once: true });
    video.addEventListener("error", () => done(false), { once: true });
    setTimeout(() => done(false), within);
  });
}

/** Frames a second by the time between a few of them; 0 where this browser does not tell. */
async function rateOf(video) {
  if (!video.requestVideoFrameCallback) return 0;
  const times = [];
  const enough = new Promise((done) => {
    const seen = (_, { mediaTime }) => {
      times.push(mediaTime);
      if (times.length >= FRAMES) done();
      else video.requestVideoFrameCallback(seen);
    };
    video.requestVideoFrameCallback(seen);
    setTimeout(done, PATIENCE);
  });
  await video.play().catch(() => {});
  await enough;
  video.pause();
  const gaps = times.slice(1).map((time, at) => time - times[at]).filter((gap) => gap > 0).sort((a, b) => a - b);
  // The smallest: frames that this machine had no time to show leave larger ones.
  return gaps.length >= FRAMES / 2 ? Math.round(100 / gaps[0]) / 100 : 0;
}

/** What this browser can tell of a film without the server; tells as soon as it knows. */
async function lookAt(url, tell) {
  const video = document.createElement("video");
  Object.assign(video, { muted: true, playsInline: true, preload: "auto", src: url });
  if (!await heard(video, "loadedmetadata", 10 * PATIENCE) || !video.videoWidth) return;
  const facts = [`${video.videoWidth} × ${video.videoHeight}`];
  if (Number.isFinite(video.duration)) facts.unshift(clock(video.duration));
  tell(facts);
  const rate = await rateOf(video);
  if (rate) facts.push(`${rate} fps`);
  if (video.mozHasAudio || video.audioTracks?.length || video.webkitAudioDecodedByteCount) facts.push("with sound");
  tell(facts);
  video.removeAttribute("src");
  video.load();
}

const SAYS = {
  sending: ({ loaded, total }) => `Uploading: ${bytes(loaded)} of ${bytes(total)}`,
  waiting: ({ loaded }) => `The connection is gone. It goes on from ${bytes(loaded)} when it is back.`,
  looking: () => "Looking into the file…",
};

/** One line of the list. A clip that has arrived has an `asset`; one from this browser has a `file`. */
class Clip {
  constructor(row, file = null) {
    Object.assign(this, { row, file, sending: null, isOver: !file });
    this.url = file ? URL.createObjectURL(file) : row.dataset.src ?? "";
  }

  get asset() { return this.row.dataset.asset ?? ""; }

  facts(facts) {
    const list = this.row.querySelector(".facts-line");
    if (this.asset) return; // the server knows better
    list.replaceChildren(...[...facts, bytes(this.file.size)].map((text) => {
      const entry = document.createElement("li");
      entry.textContent = text;
      return entry;
    }));
  }

  say(text, share = null) {
    const [said, bar] = [this.row.querySelector(".clip-said"), this.row.querySelector("progress")];
    if (said.textContent !== text) said.textContent = text;
    bar.hidden = this.isOver;
    if (share === null) bar.removeAttribute("value");
    else bar.value = share;
  }

  /** What went wrong stays in the list with its reason, and the other clips go on. */
  fail(text, canAgain) {
    this.isOver = true;
    this.row.classList.add("is-refused");
    this.row.querySelector("[data-again]").hidden = !canAgain;
    this.say(text);
  }

  arrive(html) {
    const shell = document.createElement("template");
    shell.innerHTML = html; // our own server's fragment
    const row = shell.content.querySelector(".clip");
    if (!row) {
      this.fail(shell.content.textContent.replace(/\s+/g, " ").trim(), false);
      return;
    }
    this.isOver = true;
    this.row.replaceWith(row);
    this.row = row;
  }

  leave() {
    this.sending?.cancel();
    this.isOver = true;
    if (this.file) URL.revokeObjectURL(this.url);
    this.row.remove();
  }
}

class Clips {
  constructor({ list, shape, form, changed }) {
    Object.assign(this, { list, shape, form, changed, running: 0, looking: Promise.resolve() });
    this.all = [...list.querySelectorAll(".clip")].map((row) => new Clip(row));
    this.looked = this.all[0] ?? null;
    list.addEventListener("click", (event) => this.pressed(event));
  }

  get isBusy() { return this.all.some((clip) => !clip.isOver); }

  get hasRoom() { return this.all.length < Number(this.form.dataset.mostClips); }

  add(files) {
    const left = [];
    for (const file of files) {
      if (this.hasRoom) this.take(file);
      else left.push(file.name);
    }
    this.pump();
    this.changed();
    return left;
  }

  take(file) {
    const row = this.shape.content.cloneNode(true).querySelector(".clip");
    row.querySelector(".clip-name").textContent = file.name;
    for (const name of row.querySelectorAll("[data-name]")) name.textContent = ` ${file.name}`;
    this.list.append(row);
    const clip = new Clip(row, file);
    this.all.push(clip);
    this.looked ??= clip;
    clip.facts([]);
    const most = Number(this.form.dataset.maxBytes);
    if (file.size > most) {
      clip.fail(`It has ${bytes(file.size)}, and at most ${bytes(most)} are taken.`, false);
      return;
    }
    clip.say("Waits for its turn", 0);
    // One after the other: each of them plays a moment.
    this.looking = this.looking.then(() => lookAt(clip.url, (facts) => clip.facts(facts))).catch(() => {});
  }

  pump() {
    for (const clip of this.all) {
      if (this.running >= AT_ONCE) return;
      if (!clip.isOver && !clip.sending) this.send(clip);
    }
  }

  async send(clip) {
    this.running += 1;
    clip.sending = new window.PartsUpload(clip.file, {
      address: this.form.dataset.upload,
      token: this.form.elements.csrfmiddlewaretoken.value,
      project: this.form.elements.project.value,
      told: (progress) => {
        const share = progress.state === "looking" ? null : progress.loaded / progress.total;
        clip.say(SAYS[progress.state](progress), share);
      },
    });
    try {
      clip.arrive(await clip.sending.run());
    } catch (error) {
      this.broken(clip, error);
    }
    clip.sending = null;
    this.running -= 1;
    this.pump();
    this.changed();
  }

  broken(clip, error) {
    if (error instanceof window.PartsUpload.Canceled) clip.isOver = true;
    else if (error instanceof window.PartsUpload.Refused) clip.arrive(error.message);
    else clip.fail("The server did not answer as expected.", true);
  }

  again(clip) {
    clip.isOver = false;
    clip.row.classList.remove("is-refused");
    clip.row.querySelector("[data-again]").hidden = true;
    clip.say("Waits for its turn", 0);
    this.pump();
    this.changed();
  }

  remove(clip) {
    const at = this.all.indexOf(clip);
    this.all.splice(at, 1);
    clip.leave();
    if (this.looked === clip) this.looked = this.all[Math.min(at, this.all.length - 1)] ?? null;
    this.changed();
    // Whoever works with the keyboard is not thrown back to the top of the page.
    const next = this.looked?.row.querySelector("[data-remove]") ?? document.getElementById("id_file");
    next.focus();
  }

  pressed(event) {
    const clip = this.all.find((one) => one.row.contains(event.target));
    const button = event.target.closest("[data-look], [data-remove], [data-again]");
    if (!clip || !button) return;
    event.preventDefault();
    if ("remove" in button.dataset) this.remove(clip);
    else if ("again" in button.dataset) this.again(clip);
    else {
      this.looked = clip;
      this.changed();
    }
  }
}

// Not exported: static files get their version into their names, which an import would have to know.
window.Clips = Clips;
