// <stacked-player><video src="clip-stacked.mp4" autoplay loop muted playsinline></video></stacked-player>
// Shows an MP4 whose lower half is the matte of its upper half, see-through, in every browser with WebGL.
// It needs nothing else: copy this file. Where it cannot run, the video stays.

const CORNERS = `
attribute vec2 corner;
varying vec2 at;
void main() {
  at = vec2(0.5 + corner.x * 0.5, 0.5 - corner.y * 0.5);
  gl_Position = vec4(corner, 0.0, 1.0);
}`;

// Half a row away from the seam, so that no half reads the other. Luma, because chroma spreads across it.
const PIXELS = `
#ifdef GL_FRAGMENT_PRECISION_HIGH
precision highp float;
#else
precision mediump float;
#endif
uniform sampler2D film;
uniform float row;
varying vec2 at;
void main() {
  float y = at.y * 0.5;
  vec3 colour = texture2D(film, vec2(at.x, min(y, 0.5 - row * 0.5))).rgb;
  vec3 matte = texture2D(film, vec2(at.x, max(y + 0.5, 0.5 + row * 0.5))).rgb;
  float alpha = dot(matte, vec3(0.2126, 0.7152, 0.0722));
  gl_FragColor = vec4(colour * alpha, alpha);
}`;

function build(gl) {
  const program = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, CORNERS], [gl.FRAGMENT_SHADER, PIXELS]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  gl.useProgram(program);
  gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
  gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([-1, -1, 1, -1, -1, 1, 1, 1]), gl.STATIC_DRAW);
  const corner = gl.getAttribLocation(program, "corner");
  gl.enableVertexAttribArray(corner);
  gl.vertexAttribPointer(corner, 2, gl.FLOAT, false, 0, 0);
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  for (const side of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, side, gl.CLAMP_TO_EDGE);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR);
  return gl.getUniformLocation(program, "row");
}

class StackedPlayer extends HTMLElement {
  connectedCallback() {
    if (this.canvas) return;
    this.video = this.querySelector("video");
    this.canvas = document.createElement("canvas");
    this.gl = this.canvas.getContext("webgl", { antialias: false });
    if (!this.video || !this.gl) return;
    this.row = build(this.gl);
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", this.video.getAttribute("aria-label") || "");
    Object.assign(this.style, { display: this.style.display || "inline-block", position: "relative" });
    Object.assign(this.canvas.style, { display: "block", width: "100%", height: "100%", objectFit: "contain" });
    // Not display: none, which stops some browsers from decoding; and inside the picture, because what cannot be seen is
    // not begun by itself.
    const unseen = { position: "absolute", top: "0", left: "0", width: "1px", height: "1px", opacity: "0", pointerEvents: "none" };
    Object.assign(this.video.style, unseen);
    this.canvas.addEventListener("webglcontextlost", () => this.giveUp());
    this.canvas.addEventListener("click", () => {
      if (this.video.controls) this.video.paused ? this.video.play() : this.video.pause();
    });
    this.prepend(this.canvas);
    for (const moment of ["loadeddata", "seeked", "timeupdate"]) this.video.addEventListener(moment, () => this.draw());
    this.draw();
    this.follow();
  }

  follow() {
    const next = () => { this.draw(); this.follow(); };
    if (this.isOver) return;
    if (this.video.requestVideoFrameCallback) this.video.requestVideoFrameCallback(next);
    else requestAnimationFrame(next);
  }

  draw() {
    const { gl, video, canvas } = this;
    if (this.isOver || video.readyState < 2) return;
    const [width, height] = [video.videoWidth, video.videoHeight / 2];
    if (canvas.width !== width || canvas.height !== height) {
      Object.assign(canvas, { width, height });
      gl.viewport(0, 0, width, height);
      gl.uniform1f(this.row, 1 / video.videoHeight);
    }
    try {
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, video);
    } catch {
      // From another site that does not allow its pixels to be read.
      this.giveUp();
      return;
    }
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }

  giveUp() {
    this.isOver = true;
    this.canvas.remove();
    this.video.removeAttribute("style");
  }
}

customElements.define("stacked-player", StackedPlayer);
