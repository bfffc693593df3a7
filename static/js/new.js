// New cutout: files in, the clip on the stage, the price when its parts change, and an address that keeps it all.

const form = document.getElementById("cutout");
const drop = document.getElementById("drop");
const file = document.getElementById("id_file");
const preview = document.getElementById("preview");
const bill = document.getElementById("bill");
const say = document.getElementById("new-say");
const lost = document.getElementById("price-lost");
const PATIENCE = 5000; // ms between two tries to learn the price
let onStage = null;
let asksAgain = 0; // the timer of the next try, while the price is not known

const clips = new window.Clips({
  list: document.getElementById("clips"),
  shape: document.getElementById("clip-row"),
  form,
  changed,
});

function askPrice() {
  form.dispatchEvent(new Event("price"));
}

/** The old price may be wrong for what is chosen now: it goes, and the buttons with it, until the new one is there. */
function losePrice() {
  form.classList.add("is-unpriced");
  lost.hidden = false;
  clearTimeout(asksAgain);
  asksAgain = setTimeout(askPrice, PATIENCE);
}

function findPrice() {
  form.classList.remove("is-unpriced");
  lost.hidden = true;
  clearTimeout(asksAgain);
}

function player(url) {
  const video = document.createElement("video");
  Object.assign(video, { src: url, controls: true, muted: true, playsInline: true, preload: "metadata" });
  video.setAttribute("aria-label", "Your clip");
  video.addEventListener("error", () => {
    const note = document.createElement("p");
    note.className = "cannot";
    note.textContent = "This browser cannot play this kind of file. That does not matter: we look at the file itself, not at what the browser can play.";
    preview.replaceChildren(note);
    document.dispatchEvent(new Event("stage"));
  });
  return video;
}

function stageLooked() {
  const { looked } = clips;
  form.elements.look.value = looked?.asset ?? "";
  for (const clip of clips.all) {
    const button = clip.row.querySelector("[data-look]");
    button.hidden = clips.all.length < 2;
    button.setAttribute("aria-pressed", String(clip === looked));
  }
  if (onStage === looked) return;
  // The server has put the first clip there already.
  if (looked?.url && (looked.file || onStage)) preview.replaceChildren(player(looked.url));
  else if (!looked?.url) preview.replaceChildren();
  onStage = looked;
  document.dispatchEvent(new Event("stage"));
}

/** Nothing starts while a file is on its way: its clip would be left out. */
function guard() {
  for (const button of bill.querySelectorAll("button[type=submit]")) {
    if (clips.isBusy && !button.disabled) {
      button.disabled = true;
      button.dataset.held = "";
    } else if (!clips.isBusy && "held" in button.dataset) {
      button.disabled = false;
      delete button.dataset.held;
    }
  }
  document.getElementById("on-its-way").hidden = !clips.isBusy;
}

/** A reload, and the way back from where Start leads, find the clips and choices as they are. */
function remember() {
  const sent = new FormData(form);
  const state = new URLSearchParams();
  for (const name of form.dataset.state.split(" ")) {
    for (const value of sent.getAll(name)) if (value) state.append(name, value);
  }
  history.replaceState(history.state, "", `${location.pathname}?${state}${location.hash}`);
}

function changed() {
  const isEmpty = !clips.all.length;
  preview.hidden = isEmpty;
  drop.hidden = !isEmpty;
  document.getElementById("more-clips").hidden = isEmpty;
  stageLooked();
  guard();
  remember();
  askPrice();
}

function add(files) {
  const left = clips.add(files);
  file.value = "";
  if (left.length) window.alert(`At most ${form.dataset.mostClips} clips at once. Left out: ${left.join(", ")}`);
}

file.addEventListener("change", () => { if (file.files.length) add([...file.files]); });

for (const kind of ["dragenter", "dragover"]) {
  window.addEventListener(kind, (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    form.classList.add("is-over");
  });
}
window.addEventListener("dragleave", (event) => { if (!event.relatedTarget) form.classList.remove("is-over"); });
window.addEventListener("drop", (event) => {
  if (!event.dataTransfer?.files.length) return;
  event.preventDefault();
  form.classList.remove("is-over");
  add([...event.dataTransfer.files]);
});

form.addEventListener("click", (event) => {
  if (event.target.closest("[data-add]")) file.click();
  const choice = event.target.closest("[data-choose]");
  if (!choice) return;
  const [name, value] = choice.dataset.choose.split("=");
  const radio = form.querySelector(`[name="${name}"][value="${value}"]`);
  radio.checked = true;
  radio.dispatchEvent(new Event("change", { bubbles: true }));
  radio.focus();
});

/** Enter in a field takes its value over, and opens what is opened by a click; only a button spends. */
form.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !event.target.matches("input")) return;
  event.preventDefault();
  if (event.target.type === "file") event.target.click();
  else event.target.dispatchEvent(new Event("change", { bubbles: true }));
});

form.addEventListener("change", remember);
form.elements.video_url.addEventListener("input", remember);

for (const failure of ["htmx:sendError", "htmx:timeout", "htmx:responseError"]) {
  form.addEventListener(failure, (event) => { if (event.detail.target === bill) losePrice(); });
}
window.addEventListener("online", () => { if (!lost.hidden) askPrice(); });

document.addEventListener("htmx:afterSettle", (event) => {
  if (event.detail.target === bill) findPrice();
  guard();
  remember();
  const tried = document.getElementById("tried");
  if (tried?.dataset.done && !say.textContent) say.textContent = `The free preview is ${tried.dataset.done}.`;
});

window.addEventListener("beforeunload", (event) => {
  if (clips.isBusy) event.preventDefault();
});

onStage = clips.looked;
stageLooked();
remember();
