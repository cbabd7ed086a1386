// Draws points with WebGL 2: places and colours lie on the graphics card, so a frame costs two uniforms and one call.
// Our own, and not regl: regl compiles its commands with `new Function`, which the pages' policy forbids (decision 51).

const VERTEX = `#version 300 es
precision highp float;
in vec2 place; in uint colour; in uint chosen;
uniform vec2 middle, unit; uniform float size; uniform bool choosing; uniform sampler2D palette;
out vec4 ink;
void main() {
  ink = texelFetch(palette, ivec2(int(colour), 0), 0);
  bool faint = choosing && chosen == 0u;
  if (faint) ink.a *= 0.12;
  gl_Position = vec4((place - middle) * unit, 0.0, 1.0);
  gl_PointSize = choosing && !faint ? size * 1.3 : size;
  if (ink.a == 0.0) gl_Position = vec4(2.0, 2.0, 2.0, 1.0);
}`;

const FRAGMENT = `#version 300 es
precision highp float;
in vec4 ink; out vec4 colour;
uniform float size;
void main() {
  vec2 at = gl_PointCoord * 2.0 - 1.0;
  float edge = size < 3.0 ? 1.0 : 1.0 - smoothstep(1.0 - 3.0 / size, 1.0, dot(at, at));
  if (edge <= 0.0) discard;
  colour = vec4(ink.rgb, 1.0) * (ink.a * edge);
}`;

/** While the view moves, fewer points are drawn if a frame takes longer than this, in milliseconds, and more if less. */
const [SLOW, FAST] = [50, 25];
/** But not fewer than these: the first points are the sample that the map was fitted to. */
const LEAST = 20_000;
/** Milliseconds without a movement until all points are drawn again. */
const REST = 160;

/** Whether this browser has what is needed. */
export function canDraw() {
  try {
    const context = document.createElement("canvas").getContext("webgl2");
    context?.getExtension("WEBGL_lose_context")?.loseContext();
    return context !== null;
  } catch {
    return false;
  }
}

/** @param {WebGL2RenderingContext} gl @param {number} kind @param {string} source */
function shader(gl, kind, source) {
  const made = /** @type {WebGLShader} */ (gl.createShader(kind));
  gl.shaderSource(made, source);
  gl.compileShader(made);
  if (!gl.getShaderParameter(made, gl.COMPILE_STATUS) && !gl.isContextLost()) {
    throw new Error(`the graphics card refuses the program: ${gl.getShaderInfoLog(made)}`);
  }
  return made;
}

/** @param {WebGL2RenderingContext} gl */
function program(gl) {
  const made = /** @type {WebGLProgram} */ (gl.createProgram());
  gl.attachShader(made, shader(gl, gl.VERTEX_SHADER, VERTEX));
  gl.attachShader(made, shader(gl, gl.FRAGMENT_SHADER, FRAGMENT));
  gl.linkProgram(made);
  if (!gl.getProgramParameter(made, gl.LINK_STATUS) && !gl.isContextLost()) {
    throw new Error(`the graphics card refuses the program: ${gl.getProgramInfoLog(made)}`);
  }
  return made;
}

/** The points of one canvas. */
export class Scatter {
  /** @type {Uint16Array} */ #places = new Uint16Array();
  /** @type {Uint8Array} */ #colours = new Uint8Array();
  /** @type {Uint8Array} */ #chosen = new Uint8Array();
  /** @type {Uint8Array} */ #palette = new Uint8Array(1024);
  #choosing = false;
  #frame = 0;
  #moving = false;
  #affordable = Infinity;
  #painted = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #rest;
  /** @type {{view: import("./view.js").View, size: number} | null} */ #shown = null;

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    const gl = canvas.getContext("webgl2", { alpha: true, antialias: false, premultipliedAlpha: true });
    if (!gl) throw new Error("WebGL 2 is missing");
    this.gl = gl;
    this.#prepare();
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => this.#restore());
  }

  #prepare() {
    const { gl } = this;
    this.program = program(gl);
    this.vertices = gl.createVertexArray();
    gl.bindVertexArray(this.vertices);
    this.buffers = { place: gl.createBuffer(), colour: gl.createBuffer(), chosen: gl.createBuffer() };
    this.texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
    gl.useProgram(this.program);
    const at = (/** @type {string} */ name) => gl.getAttribLocation(/** @type {WebGLProgram} */ (this.program), name);
    for (const [name, buffer] of Object.entries(this.buffers)) {
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.enableVertexAttribArray(at(name));
      if (name === "place") gl.vertexAttribPointer(at(name), 2, gl.UNSIGNED_SHORT, true, 0, 0);
      else gl.vertexAttribIPointer(at(name), 1, gl.UNSIGNED_BYTE, 0, 0);
    }
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }

  /** The graphics card was taken away and given back: everything goes there again. */
  #restore() {
    this.#prepare();
    this.#fill("place", this.#places);
    this.#fill("colour", this.#colours);
    this.#fill("chosen", this.#chosen);
    this.setColours(this.#colours, this.#palette);
  }

  /** @param {"place" | "colour" | "chosen"} name @param {ArrayBufferView} values */
  #fill(name, values) {
    const { gl } = this;
    gl.bindBuffer(gl.ARRAY_BUFFER, /** @type {Record<string, WebGLBuffer>} */ (this.buffers)[name]);
    gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
  }

  /** @param {Uint16Array} places x and y of each point */
  setPlaces(places) {
    this.#places = places;
    this.#fill("place", places);
    if (this.#colours.length !== places.length / 2) {
      this.setColours(new Uint8Array(places.length / 2), this.#palette);
      this.choose(null);
    }
  }

  /** @param {Uint8Array} colours a number for each point @param {Uint8Array} palette red, green, blue and alpha of 256 numbers */
  setColours(colours, palette) {
    const { gl } = this;
    if (colours !== this.#colours) this.#fill("colour", colours);
    this.#colours = colours;
    this.#palette = palette;
    gl.bindTexture(gl.TEXTURE_2D, /** @type {WebGLTexture} */ (this.texture));
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 256, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, palette);
    this.draw();
  }

  /** All others become faint. @param {Uint32Array | null} points null: none is chosen */
  choose(points) {
    const flags = new Uint8Array(this.#places.length / 2);
    for (const point of points ?? []) flags[point] = 1;
    this.#chosen = flags;
    this.#choosing = points !== null;
    this.#fill("chosen", flags);
    this.draw();
  }

  /** @param {import("./view.js").View} view @param {number} size of points, in CSS pixels */
  show(view, size) {
    this.#moving = this.#shown !== null;
    this.#shown = { view, size };
    clearTimeout(this.#rest);
    this.#rest = setTimeout(() => {
      this.#moving = false;
      this.draw();
    }, REST);
    this.draw();
  }

  /** How many points to draw in a frame: all, unless the graphics card is too slow to move them. @param {number} now */
  #count(now) {
    const all = this.#places.length / 2;
    const took = now - this.#painted;
    this.#painted = this.#moving ? now : 0;
    if (!this.#moving) return all;
    if (took < 1000 && took > SLOW) this.#affordable = Math.max(Math.min(this.#affordable, all) / 2, LEAST);
    if (took < FAST) this.#affordable *= 1.25;
    return Math.min(Math.floor(this.#affordable), all);
  }

  /** Draw with the next frame; several calls are one. */
  draw() {
    if (!this.#frame) this.#frame = requestAnimationFrame((now) => this.#paint(now));
  }

  /** @param {number} now */
  #paint(now) {
    this.#frame = 0;
    const { gl, canvas } = this;
    if (!this.#shown || gl.isContextLost()) return;
    const ratio = Math.min(devicePixelRatio, 2);
    const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const { view, size } = this.#shown;
    const uniform = (/** @type {string} */ name) => gl.getUniformLocation(/** @type {WebGLProgram} */ (this.program), name);
    gl.viewport(0, 0, width, height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.useProgram(/** @type {WebGLProgram} */ (this.program));
    gl.bindVertexArray(/** @type {WebGLVertexArrayObject} */ (this.vertices));
    gl.uniform2f(uniform("middle"), view.x, view.y);
    gl.uniform2f(uniform("unit"), (2 * view.scale * ratio) / width, (-2 * view.scale * ratio) / height);
    gl.uniform1f(uniform("size"), Math.max(size * ratio, 1));
    gl.uniform1i(uniform("choosing"), this.#choosing ? 1 : 0);
    gl.drawArrays(gl.POINTS, 0, this.#count(now));
    canvas.dataset.drawn = String(Number(canvas.dataset.drawn ?? 0) + 1);
  }

  close() {
    clearTimeout(this.#rest);
    cancelAnimationFrame(this.#frame);
    this.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }
}
