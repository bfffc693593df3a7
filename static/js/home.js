// The landing page: its picture moves by itself, unless less motion was asked for, and can be stopped.

const figure = document.querySelector("[data-moving]");
const video = figure.querySelector("video");
const button = figure.querySelector("button");

function show() {
  button.dataset.state = video.paused ? "paused" : "playing";
  button.setAttribute("aria-label", `${video.paused ? "Play" : "Pause"} the picture`);
}

video.controls = false;
video.addEventListener("play", show);
video.addEventListener("pause", show);
button.addEventListener("click", () => (video.paused ? video.play().catch(() => {}) : video.pause()));
if (!matchMedia("(prefers-reduced-motion: reduce)").matches) video.play().catch(() => {});
show();
