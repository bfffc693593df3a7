// New cutout: a local preview at once, the upload with progress, the price when its parts change.

const { PartsUpload } = window; // upload.js, which the page loads first
const form = document.getElementById("cutout");
const drop = document.getElementById("drop");
const file = document.getElementById("id_file");
const preview = document.getElementById("preview");
const source = document.getElementById("source");
const line = document.getElementById("upload-line");
const bar = line.querySelector("progress");
const said = line.querySelector("[data-said]");
let running = null;
let localUrl = null;

drop.classList.add("is-live");

function megabytes(bytes) {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(bytes < 1e8 ? 1 : 0)} MB`;
}

function showLocally(chosen) {
  if (localUrl) URL.revokeObjectURL(localUrl);
  localUrl = URL.createObjectURL(chosen);
  const video = document.createElement("video");
  video.src = localUrl;
  video.controls = true;
  video.muted = true;
  video.playsInline = true;
  video.setAttribute("aria-label", "The clip you chose");
  video.addEventListener("error", () => {
    const note = document.createElement("p");
    note.className = "cannot";
    note.textContent = "This browser cannot play this kind of file. That does not matter: we look at the file itself, not at what the browser can play.";
    preview.replaceChildren(note);
  });
  preview.replaceChildren(video);
  preview.hidden = false;
  drop.hidden = true;
}

function startOver() {
  running?.cancel();
  running = null;
  line.hidden = true;
  preview.hidden = true;
  preview.replaceChildren();
  source.replaceChildren();
  drop.hidden = false;
  file.value = "";
  askPrice();
}

function askPrice() {
  form.dispatchEvent(new Event("price"));
}

function showAnswer(html) {
  source.innerHTML = html; // our own server's fragment
  if (!source.querySelector("[name=asset]")) {
    preview.hidden = true;
    drop.hidden = false;
  }
  window.htmx.process(source);
  askPrice();
}

const SAYS = {
  sending: ({ loaded, total }, name) => `Uploading ${name}: ${megabytes(loaded)} of ${megabytes(total)}`,
  waiting: ({ loaded }, name) => `The connection is gone. ${name} goes on from ${megabytes(loaded)} when it is back.`,
  looking: () => "Looking into the file…",
};

async function upload(chosen) {
  if (chosen.size > Number(form.dataset.maxBytes)) {
    failed(`${chosen.name} has ${megabytes(chosen.size)}, and at most ${megabytes(form.dataset.maxBytes)} are taken.`);
    return;
  }
  running?.cancel();
  showLocally(chosen);
  source.replaceChildren();
  line.hidden = false;
  bar.removeAttribute("value");
  said.textContent = `Uploading ${chosen.name}…`;
  const sending = new PartsUpload(chosen, {
    address: form.dataset.upload,
    token: form.elements.csrfmiddlewaretoken.value,
    project: form.elements.project.value,
    told: (progress) => {
      [bar.max, bar.value] = [progress.total, progress.loaded];
      const text = SAYS[progress.state](progress, chosen.name);
      if (said.textContent !== text) said.textContent = text;
    },
  });
  running = sending;
  let answer = "";
  try {
    answer = await sending.run();
  } catch (error) {
    if (running !== sending) return;
    if (error instanceof PartsUpload.Canceled) {
      running = null;
      return;
    }
    if (!(error instanceof PartsUpload.Refused)) {
      running = null;
      failed("The server did not answer as expected.");
      return;
    }
    answer = error.message;
  }
  if (running !== sending) return;
  running = null;
  line.hidden = true;
  file.value = "";
  showAnswer(answer);
}

function failed(why) {
  line.hidden = true;
  const note = document.createElement("p");
  note.className = "note bad";
  note.setAttribute("role", "alert");
  note.textContent = `${why} Nothing was kept; choose a file again.`;
  source.replaceChildren(note);
  preview.hidden = true;
  drop.hidden = false;
  file.value = "";
}

file.addEventListener("change", () => { if (file.files.length) upload(file.files[0]); });

for (const kind of ["dragenter", "dragover"]) {
  window.addEventListener(kind, (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    drop.classList.add("is-over");
  });
}
window.addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("is-over"); });
window.addEventListener("drop", (event) => {
  if (!event.dataTransfer?.files.length) return;
  event.preventDefault();
  drop.classList.remove("is-over");
  upload(event.dataTransfer.files[0]);
});

form.addEventListener("click", (event) => {
  if (event.target.closest("[data-start-over]")) {
    event.preventDefault();
    startOver();
  }
});

// A picked swatch and the colour field are two ways of saying the same thing.
form.addEventListener("input", (event) => {
  const swatch = event.target.closest("[data-swatch]");
  if (swatch) form.elements.bg_color.value = swatch.value;
});

window.addEventListener("beforeunload", (event) => {
  if (running) event.preventDefault();
});
