// The background's colour by a swatch, from anywhere on the screen, or from the clip; and its picture before it is sent.

const form = document.getElementById("cutout");
const stage = document.getElementById("preview");
let picker = null;
let shownPicture = "";

function choose(colour) {
  const input = form.elements.bg_color;
  input.value = colour;
  input.dispatchEvent(new Event("change", { bubbles: true }));
}

function told(text) {
  form.querySelector("[data-pick-told]").textContent = text;
}

function hex(pixel) {
  return `#${[...pixel.slice(0, 3)].map((value) => value.toString(16).padStart(2, "0")).join("")}`;
}

/** The colour under a point of the stage; null beside the picture. A few pixels together, because films are grainy. */
function colourAt(video, { clientX, clientY }) {
  const box = video.getBoundingClientRect();
  const { videoWidth: width, videoHeight: height } = video;
  const scale = Math.min(box.width / width, box.height / height);
  const x = (clientX - box.left - (box.width - width * scale) / 2) / scale;
  const y = (clientY - box.top - (box.height - height * scale) / 2) / scale;
  if (!(x >= 0 && y >= 0 && x < width && y < height)) return null;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [1, 1];
  const pen = canvas.getContext("2d");
  const [left, top] = [Math.min(Math.max(x - 1, 0), width - 3), Math.min(Math.max(y - 1, 0), height - 3)];
  pen.drawImage(video, left, top, 3, 3, 0, 0, 1, 1);
  return hex(pen.getImageData(0, 0, 1, 1).data);
}

function stopPicking() {
  picker?.remove();
  picker = null;
  form.querySelector("[data-pick]").setAttribute("aria-pressed", "false");
  told("");
}

function startPicking(button) {
  const video = stage.querySelector("video");
  picker = document.createElement("div");
  picker.className = "picker";
  picker.addEventListener("click", (event) => {
    let colour = null;
    try {
      colour = colourAt(video, event);
    } catch {
      stopPicking();
      told("This clip lies in a store that does not let the page read its colours.");
      return;
    }
    stopPicking();
    if (colour) choose(colour);
  });
  stage.append(picker);
  button.setAttribute("aria-pressed", "true");
  told("Click a colour in the clip.");
  stage.scrollIntoView({ block: "nearest" });
}

async function pickFromScreen() {
  try {
    choose((await new window.EyeDropper().open()).sRGBHex);
  } catch (error) {
    if (error.name !== "AbortError") throw error; // it was put away without a choice
  }
}

form.addEventListener("click", (event) => {
  const button = event.target.closest("[data-swatch], [data-eyedropper], [data-pick]");
  if (!button) return;
  if (button.dataset.swatch) choose(button.dataset.swatch);
  else if ("eyedropper" in button.dataset) pickFromScreen();
  else if (picker) stopPicking();
  else startPicking(button);
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && picker) stopPicking();
});

form.addEventListener("input", dress);
form.addEventListener("change", dress);

/** Everything here that depends on what is chosen and on what this browser can do. */
function dress() {
  const { bg_color: colour, bg_image: picture } = form.elements;
  form.querySelector("[data-colour-told]").textContent = colour.value;
  for (const swatch of form.querySelectorAll("[data-swatch]")) {
    swatch.setAttribute("aria-pressed", String(swatch.dataset.swatch === colour.value));
  }
  form.querySelector("[data-eyedropper]").hidden = !window.EyeDropper;
  form.querySelector("[data-pick]").hidden = !stage.querySelector("video");
  const shown = document.getElementById("picture");
  if (!picture.files.length) return;
  const name = `${picture.files[0].name}/${picture.files[0].lastModified}`;
  if (shown.dataset.name === name) return;
  URL.revokeObjectURL(shownPicture);
  shownPicture = URL.createObjectURL(picture.files[0]);
  Object.assign(shown, { src: shownPicture, hidden: false });
  shown.dataset.name = name;
}

document.addEventListener("stage", () => {
  if (picker) stopPicking();
  dress();
});
document.addEventListener("htmx:afterSettle", dress);
dress();
