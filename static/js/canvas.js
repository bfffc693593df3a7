// The sketch of the canvas: the clip's frame as it will lie there, before its background goes. Sizes by a click.

const form = document.getElementById("cutout");
const stage = document.getElementById("preview");
const HALVES = { left: 0, top: 0, center: 1, right: 2, bottom: 2 };

/** A number of the form; what stands in its placeholder's stead where it is empty. */
function number(name, otherwise) {
  const { value } = form.elements[name];
  return value === "" ? otherwise : Number(value);
}

/** As the engine lays it out (apps/engine/composition.py). */
function layout(width, height) {
  const canvas = { width: number("canvas_width", width), height: number("canvas_height", height) };
  const factor = Math.min(canvas.width / width, canvas.height / height) * number("scale", 1);
  const shown = { width: Math.round(width * factor), height: Math.round(height * factor) };
  const words = form.elements.anchor.value.split("-");
  const [above, left] = words.length === 1 ? [1, 1] : words.map((word) => HALVES[word]);
  return {
    canvas,
    shown,
    left: Math.floor(((canvas.width - shown.width) * left) / 2) + number("offset_x", 0),
    top: Math.floor(((canvas.height - shown.height) * above) / 2) + number("offset_y", 0),
  };
}

/** The picture behind, as `fit` says. */
function lay(pen, picture, { width, height }) {
  const [across, down] = [width / picture.naturalWidth, height / picture.naturalHeight];
  const fit = form.elements.fit.value;
  const factor = fit === "contain" ? Math.min(across, down) : Math.max(across, down);
  const [wide, high] = fit === "stretch" ? [width, height] : [picture.naturalWidth * factor, picture.naturalHeight * factor];
  pen.drawImage(picture, (width - wide) / 2, (height - high) / 2, wide, high);
}

function behind(pen, canvas) {
  const kind = form.elements.bg_type.value;
  const picture = document.getElementById("picture");
  if (kind === "color") {
    pen.fillStyle = form.elements.bg_color.value;
    pen.fillRect(0, 0, canvas.width, canvas.height);
  } else if (kind === "image" && !picture.hidden && picture.naturalWidth) lay(pen, picture, canvas);
}

function draw() {
  const sketch = document.getElementById("sketch");
  for (const button of form.querySelectorAll("[data-canvas]")) {
    const size = `${form.elements.canvas_width.value} ${form.elements.canvas_height.value}`;
    button.setAttribute("aria-pressed", String(button.dataset.canvas === size));
  }
  const video = stage.querySelector("video");
  const at = video?.videoWidth ? layout(video.videoWidth, video.videoHeight) : null;
  sketch.hidden = !(at?.canvas.width > 0 && at.canvas.height > 0);
  if (sketch.hidden || !sketch.checkVisibility()) return;
  // As many pixels as the screen shows: a canvas of 4096 would be drawn for nothing.
  const small = Math.min(1, 480 / Math.max(at.canvas.width, at.canvas.height));
  [sketch.width, sketch.height] = [Math.max(1, at.canvas.width * small), Math.max(1, at.canvas.height * small)];
  const pen = sketch.getContext("2d");
  pen.scale(small, small);
  behind(pen, at.canvas);
  pen.drawImage(video, at.left, at.top, at.shown.width, at.shown.height);
}

form.addEventListener("click", (event) => {
  const button = event.target.closest("[data-canvas]");
  if (!button) return;
  [form.elements.canvas_width.value, form.elements.canvas_height.value] = button.dataset.canvas.split(" ");
  form.elements.canvas_height.dispatchEvent(new Event("change", { bubbles: true }));
});

for (const event of ["input", "change"]) form.addEventListener(event, draw);
// These do not bubble.
for (const event of ["loadeddata", "seeked", "pause"]) stage.addEventListener(event, draw, true);
for (const event of ["toggle", "load"]) form.addEventListener(event, draw, true);
for (const event of ["stage", "htmx:afterSettle"]) document.addEventListener(event, draw);
draw();
