// A job's page: say what changes, and compare the result with the original in one frame.

const say = document.getElementById("job-say");
const ownTitle = document.title;
let lastSaid = "";

function clock(seconds) {
  const tenths = Math.round((seconds || 0) * 10);
  return `${Math.floor(tenths / 600)}:${String(Math.floor((tenths % 600) / 10)).padStart(2, "0")}.${tenths % 10}`;
}

// Loaded before it is shown, so that nothing flickers.
async function showNewest(url) {
  const figure = document.getElementById("newest");
  if (!url || !figure) return;
  const coming = new Image();
  coming.alt = figure.dataset.alt;
  coming.src = url;
  try {
    await coming.decode();
  } catch {
    return; // the job went on to its end meanwhile
  }
  figure.replaceChildren(coming);
}

function announce(job) {
  const { saying, percent, newest } = (document.getElementById("progress") || job).dataset;
  showNewest(newest);
  if (saying !== lastSaid) say.textContent = lastSaid = saying;
  document.title = percent ? `${percent} % · ${ownTitle}` : ownTitle;
}

/** Tells of every move of what was pressed down on, for as long as it is held. `starts` may say that this one is not meant. */
function onDrag(element, move, starts = () => true) {
  let [x, y] = [0, 0];
  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !starts(event)) return;
    [x, y] = [event.clientX, event.clientY];
    element.setPointerCapture(event.pointerId);
  });
  element.addEventListener("pointermove", (event) => {
    if (!element.hasPointerCapture(event.pointerId)) return;
    move(event, event.clientX - x, event.clientY - y);
    [x, y] = [event.clientX, event.clientY];
  });
}

function isBroken(video) {
  return Boolean(video.error);
}

class Compare {
  constructor(box) {
    this.box = box;
    this.result = box.querySelector(".result video");
    this.original = box.querySelector(".original video"); // null once it is deleted
    this.offset = Number(box.dataset.offset || 0);
    this.transport = document.getElementById("transport");
    this.join();
    this.bindTransport();
    this.bindSteps();
    this.bindBackdrops();
    this.bindZoom();
    const dropOriginal = () => this.withoutOriginal();
    if (!this.original) return;
    if (isBroken(this.original)) dropOriginal();
    else this.original.addEventListener("error", dropOriginal, { once: true });
  }

  join() {
    const frame = document.createElement("div");
    frame.className = "frame";
    frame.dataset.backdrop = "checker";
    frame.append(...this.box.children);
    const view = document.createElement("div");
    view.className = "view";
    view.append(frame);
    this.box.append(view);
    this.view = view;
    this.box.classList.add("is-live");
    this.frame = frame;
    view.style.setProperty("--ratio", this.result.getAttribute("width") / this.result.getAttribute("height"));
    if (this.original) {
      this.addHandle(frame);
      this.placeOriginal();
    }
    for (const video of [this.result, this.original].filter(Boolean)) {
      video.controls = false;
      video.loop = false;
    }
  }

  // On a canvas of its own the cutout lies elsewhere than in the clip: the original goes exactly beneath it.
  placeOriginal() {
    if (!this.original.dataset.place) return;
    const [left, top, width, height] = this.original.dataset.place.split(" ").map((side) => `${side}%`);
    Object.assign(this.original.style, { position: "absolute", left, top, width, height, objectFit: "fill" });
  }

  addHandle(frame) {
    const range = document.createElement("input");
    Object.assign(range, { type: "range", min: 0, max: 100, step: 0.5, value: 50, className: "compare-range" });
    range.setAttribute("aria-label", "How much of the original to show");
    const handle = document.createElement("div");
    handle.className = "handle";
    frame.append(range, handle);
    const place = () => {
      frame.style.setProperty("--cut", `${range.value}%`);
      range.setAttribute("aria-valuetext", `${Math.round(range.value)} % original`);
    };
    range.addEventListener("input", place);
    // A finger that scrolls the page has pressed the range first; it is called off as soon as the page moves.
    let before;
    range.addEventListener("pointerdown", () => (before = range.value));
    range.addEventListener("pointercancel", () => {
      range.value = before;
      place();
    });
    onDrag(handle, (event) => {
      const { left, width } = frame.getBoundingClientRect();
      range.value = ((event.clientX - left) / width) * 100;
      place();
    });
    place();
    this.original.muted = true;
  }

  withoutOriginal() {
    this.frame.querySelector(".compare-range").remove();
    this.frame.querySelector(".handle").remove();
    this.frame.querySelector(".original").remove();
    document.getElementById("no-original").hidden = false;
    this.original = null;
  }

  both(act) {
    act(this.result);
    if (this.original) act(this.original);
  }

  seek(seconds) {
    this.result.currentTime = seconds;
    if (this.original) this.original.currentTime = seconds + this.offset;
  }

  // The original follows: gently by its speed, or by a jump when it is far off.
  follow() {
    if (!this.original) return;
    const ahead = this.original.currentTime - this.offset - this.result.currentTime;
    if (Math.abs(ahead) > 0.3) this.original.currentTime = this.result.currentTime + this.offset;
    else this.original.playbackRate = Math.min(1.1, Math.max(0.9, 1 - ahead));
  }

  bindTransport() {
    const { result, transport } = this;
    const play = transport.querySelector("[data-play]");
    const mute = transport.querySelector("[data-mute]");
    const scrub = transport.querySelector("input[type=range]");
    const time = transport.querySelector(".time");
    const show = () => {
      scrub.max = result.duration || 0;
      scrub.value = result.currentTime;
      time.textContent = `${clock(result.currentTime)} / ${clock(result.duration)}`;
      scrub.setAttribute("aria-valuetext", time.textContent);
    };
    const showState = () => {
      play.setAttribute("aria-label", `${result.paused ? "Play" : "Pause"}${this.original ? " both" : ""}`);
      play.dataset.state = result.paused ? "paused" : "playing";
    };
    play.addEventListener("click", () => {
      if (result.paused) this.both((video) => video.play().catch(() => {}));
      else this.both((video) => video.pause());
    });
    result.addEventListener("play", showState);
    result.addEventListener("pause", showState);
    result.addEventListener("ended", () => {
      this.seek(0);
      this.both((video) => video.play().catch(() => {}));
    });
    result.addEventListener("timeupdate", () => { show(); this.follow(); });
    result.addEventListener("loadedmetadata", show);
    scrub.addEventListener("input", () => this.seek(Number(scrub.value)));
    mute.addEventListener("click", () => {
      result.muted = !result.muted;
      mute.setAttribute("aria-pressed", String(result.muted));
    });
    transport.hidden = false;
    show();
    showState();
  }

  // To the middle of a frame: at its first instant rounding could show its neighbour.
  step(count) {
    const fps = Number(this.box.dataset.fps);
    if (!fps) return;
    this.both((video) => video.pause());
    const last = Math.max(0, Math.round(this.result.duration * fps) - 1);
    const number = Math.floor(this.result.currentTime * fps + 1e-6) + count;
    this.seek((Math.min(last, Math.max(0, number)) + 0.5) / fps);
  }

  bindSteps() {
    for (const button of this.transport.querySelectorAll("[data-step]")) {
      button.addEventListener("click", () => this.step(Number(button.dataset.step)));
    }
    document.addEventListener("keydown", (event) => {
      if (!this.box.isConnected || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.target.matches("input:not([type=range]), textarea, select")) return;
      const count = { ",": -1, ".": 1 }[event.key];
      if (count) this.step(count);
      else if (event.key === "k") this.transport.querySelector("[data-play]").click();
    });
  }

  bindBackdrops() {
    document.getElementById("looks").hidden = false;
    const chooser = document.getElementById("backdrops");
    if (!chooser) return;
    const showOver = (name) => {
      this.frame.dataset.backdrop = name;
      for (const radio of chooser.querySelectorAll("input[type=radio]")) radio.checked = radio.value === name;
    };
    chooser.addEventListener("input", (event) => {
      const { type, value, files } = event.target;
      if (type === "color") this.frame.style.setProperty("--own", value);
      if (type === "file") {
        if (!files.length) return;
        URL.revokeObjectURL(this.picture);
        this.picture = URL.createObjectURL(files[0]);
        this.frame.style.setProperty("--picture", `url("${this.picture}")`);
      }
      showOver({ color: "own", file: "picture" }[type] || value);
    });
  }

  // The middle of what is seen stays the middle. A drag moves the picture then, and only the handle compares; a finger pans by itself.
  bindZoom() {
    const { view, frame } = this;
    const pan = (_, x, y) => view.scrollBy(-x, -y);
    const isOnPicture = ({ target, pointerType }) => pointerType !== "touch" && target !== view && !target.closest(".handle");
    onDrag(view, pan, (event) => view.classList.contains("is-zoomed") && isOnPicture(event));
    document.getElementById("zoom").addEventListener("change", (event) => {
      const x = (view.scrollLeft + view.clientWidth / 2) / view.scrollWidth;
      const y = (view.scrollTop + view.clientHeight / 2) / view.scrollHeight;
      const zoom = Number(event.target.value);
      if (zoom > 1 && !view.style.height) view.style.height = `${view.clientHeight}px`;
      if (zoom === 1) view.style.height = "";
      frame.style.setProperty("--zoom", zoom);
      view.classList.toggle("is-zoomed", zoom > 1);
      view.tabIndex = zoom > 1 ? 0 : -1;
      view.scrollLeft = x * view.scrollWidth - view.clientWidth / 2;
      view.scrollTop = y * view.scrollHeight - view.clientHeight / 2;
    });
  }
}

// The report under the result: its moments and its chart lead to the place in the video.
class Quality {
  constructor(section, job, compare) {
    this.section = section;
    this.compare = compare;
    this.duration = Number(section.dataset.duration);
    this.video = compare ? compare.result : job.querySelector(".result video, .original video");
    this.offset = this.video && this.video.closest(".original") ? Number(section.dataset.offset) : 0;
    if (!this.video || !this.duration) return;
    section.classList.add("is-live");
    this.video.addEventListener("timeupdate", () => this.show());
    this.show();
    section.addEventListener("click", (event) => {
      const link = event.target.closest("[data-seek]");
      const track = event.target.closest("[data-track]");
      if (link) {
        event.preventDefault();
        this.seek(Number(link.dataset.seek));
      } else if (track) {
        const { left, width } = track.getBoundingClientRect();
        this.seek(((event.clientX - left) / width) * this.duration);
      }
    });
  }

  seek(seconds) {
    if (this.compare) this.compare.seek(seconds);
    else this.video.currentTime = seconds + this.offset;
    this.video.closest(".view, .layer").scrollIntoView({ block: "nearest" });
    say.textContent = `At ${clock(seconds)}`;
    this.show(seconds);
  }

  show(seconds = this.video.currentTime - this.offset) {
    const share = Math.min(1, Math.max(0, seconds / this.duration));
    this.section.style.setProperty("--at", `${share * 100}%`);
  }
}

// Safari plays WebM without its alpha: asked with a film of one frame in which nothing is solid.
async function showsAlpha(url) {
  const video = document.createElement("video");
  Object.assign(video, { muted: true, playsInline: true, preload: "auto", src: url });
  const loaded = await new Promise((done) => {
    video.addEventListener("loadeddata", () => done(true), { once: true });
    video.addEventListener("error", () => done(false), { once: true });
    setTimeout(() => done(false), 20000);
    video.load();
  });
  if (!loaded) return false;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [1, 1];
  const pen = canvas.getContext("2d");
  pen.drawImage(video, 0, 0);
  return pen.getImageData(0, 0, 1, 1).data[3] < 128;
}

// Where the result or its alpha cannot be shown, its small copy is.
async function playSpare(box) {
  const video = box.querySelector("video[data-spare]");
  if (!video) return;
  const isStacked = video.hasAttribute("data-spare-stacked");
  const use = () => {
    if (box.dataset.shows === "spare") return;
    box.dataset.shows = "spare";
    video.src = video.dataset.spare;
    if (!isStacked) return;
    const [player, place] = [document.createElement("stacked-player"), document.createComment("")];
    video.replaceWith(place);
    player.append(video);
    place.replaceWith(player);
  };
  if (isBroken(video)) use();
  else video.addEventListener("error", use, { once: true });
  if (!isStacked) return;
  if (await showsAlpha(box.dataset.seeThrough)) box.dataset.shows ||= "result";
  else use();
}

function enliven() {
  const job = document.getElementById("job");
  if (!job) return;
  announce(job);
  const box = job.querySelector("[data-compare]:not(.is-live)");
  const compare = box ? new Compare(box) : null;
  const shown = job.querySelector(".compare:not([data-asked])");
  if (shown) {
    shown.dataset.asked = "";
    playSpare(shown);
  }
  const quality = job.querySelector("#quality:not(.is-live)");
  if (quality) new Quality(quality, job, compare);
}

document.addEventListener("htmx:afterSettle", enliven);
enliven();
