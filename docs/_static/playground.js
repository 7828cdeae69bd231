// The playground: curves of the surrogates that the reader picks. `SURROGATES` is written from the definitions at build.

const RANGE = { low: 0.25, high: 8 };
const SAMPLES = 400;

// The parameters and settings of a surrogate at their defaults, by name.
function defaults(name) {
  const { numbers, settings } = SURROGATES[name];
  return Object.fromEntries(Object.entries({ ...numbers, ...settings }).map(([key, [value]]) => [key, value]));
}

// h, G and h′ of a surrogate with these values, each a function of v.
function functionsOf(name, values) {
  const { settings, variants } = SURROGATES[name];
  const [setting] = Object.keys(settings);
  const { h, G, slope } = variants[setting ? values[setting] : ""];
  return { h: (v) => h(v, values), G: (v) => G(v, values), slope: (v) => slope(v, values) };
}

// The call, with the values that are not the defaults, as Python writes them.
function code(name, values, framework) {
  const usual = defaults(name);
  const given = Object.keys(usual).filter((key) => values[key] !== usual[key]);
  const call = ["v", ...given.map((key) => `${key}=${written(name, key, values[key])}`)].join(", ");
  return `from arcana.${framework} import ${name}\n\nspikes = ${name}(${call})`;
}

function written(name, key, value) {
  return key in SURROGATES[name].settings || !Number.isInteger(value) ? String(value) : value.toFixed(1);
}

// What the gradient is for potentials that are normal with this mean and deviation: the share of them with a gradient of
// at least a hundredth of the peak, the mean of h, and the root of the mean of h².
function statistics(h, mean, deviation) {
  let peak = 0;
  for (let v = -RANGE.high; v <= RANGE.high; v += 1 / 256) peak = Math.max(peak, Math.abs(h(v)));
  let total = 0, share = 0, first = 0, second = 0;
  for (let z = -8; z <= 8; z += 1 / 256) {
    const weight = Math.exp(-z * z / 2), y = h(mean + deviation * z);
    total += weight;
    share += Math.abs(y) >= peak / 100 ? weight : 0;
    first += weight * y;
    second += weight * y * y;
  }
  return { share: share / total, mean: first / total, root: Math.sqrt(second / total) };
}

// The value of a slider at a position from −1 to 1: a factor of up to 100 from the lower bound, or a step of 2 from a zero.
function sliderValue([usual, low, high], position) {
  const start = low > -1e9 ? low : 0;
  const value = usual === start ? usual + 2 * position : start + (usual - start) * Math.pow(100, position);
  return Number(Math.min(high, Math.max(low, value)).toPrecision(3));
}

function sliderPosition([usual, low], value) {
  const start = low > -1e9 ? low : 0;
  const position = usual === start ? (value - usual) / 2 : Math.log((value - start) / (usual - start)) / Math.log(100);
  return Math.min(1, Math.max(-1, position));
}

// The surrogates picked and their values, as the part of the address behind #, and back.
function address(picked) {
  return picked.map(({ name, values }) => {
    const usual = defaults(name);
    const given = Object.keys(usual).filter((key) => values[key] !== usual[key]);
    return [name, ...given.map((key) => `${key}=${values[key]}`)].join(",");
  }).join(";");
}

function pickedIn(text) {
  return decodeURIComponent(text.replace(/^#/, "")).split(";").map((each) => each.split(","))
    .filter(([name]) => Object.hasOwn(SURROGATES, name))
    .map(([name, ...given]) => {
      const values = defaults(name);
      for (const [key, value] of given.map((each) => each.split("="))) if (key in values && Number.isFinite(+value)) values[key] = +value;
      return { name, values };
    });
}

// From here on the page itself.

function element(tag, attributes = {}, ...children) {
  const drawn = ["svg", "path", "line", "text"].includes(tag);
  const made = drawn ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const WIDTH = 360, HEIGHT = 250, LEFT = 40, BOTTOM = 26, TOP = 8;

// Draw functions of v over [−range, range]; a filled one lies behind, scaled to the height.
function plot(title, curves, range, filled) {
  const vs = Array.from({ length: 2 * SAMPLES + 1 }, (_, i) => (i - SAMPLES) / SAMPLES * range);
  const lines = curves.map((each) => ({ ...each, ys: vs.map(each.y) }));
  const all = lines.flatMap(({ ys }) => ys).filter(Number.isFinite);
  const low = Math.min(0, ...all), high = Math.max(...all, low + 0.1), room = (high - low) * 0.05;
  const x = (v) => LEFT + (v / range + 1) / 2 * (WIDTH - LEFT - 8);
  const y = (value) => TOP + (high + room - value) / (high - low + 2 * room) * (HEIGHT - TOP - BOTTOM);
  const path = (ys) => "M" + vs.map((v, i) => `${x(v).toFixed(1)},${y(ys[i]).toFixed(1)}`).join("L");
  const drawing = element("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title });
  if (filled) {
    const most = Math.max(...vs.map(filled));
    drawing.append(element("path", { class: "density", d: `${path(vs.map((v) => filled(v) / most * high))}L${x(range)},${y(0)}L${x(-range)},${y(0)}Z` }));
  }
  for (const tick of ticks(low, high)) {
    drawing.append(element("line", { class: "grid", x1: LEFT, x2: WIDTH - 8, y1: y(tick), y2: y(tick) }));
    drawing.append(element("text", { x: LEFT - 5, y: y(tick) + 4, "text-anchor": "end" }, String(tick)));
  }
  for (const tick of ticks(-range, range)) {
    drawing.append(element("line", { class: "grid", x1: x(tick), x2: x(tick), y1: TOP, y2: HEIGHT - BOTTOM }));
    drawing.append(element("text", { x: x(tick), y: HEIGHT - BOTTOM + 15, "text-anchor": "middle" }, String(tick)));
  }
  lines.forEach(({ ys, colour }) => drawing.append(element("path", { class: "curve", d: path(ys), style: `stroke: ${colour}` })));
  return element("figure", {}, element("figcaption", {}, title), drawing);
}

function ticks(low, high) {
  const rough = (high - low) / 5, power = Math.pow(10, Math.floor(Math.log10(rough)));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough);
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high; i++) found.push(Number((i * step).toPrecision(12)));
  return found;
}

// One slider with a number beside it; `changed` gets the value.
function slider(label, value, { position, valueAt, step }, changed) {
  const box = element("input", { type: "number", step: "any", "aria-label": label });
  const bar = element("input", { type: "range", min: position.low, max: position.high, step, "aria-label": label });
  const set = (now) => { box.value = now; bar.value = position.of(now); };
  bar.addEventListener("input", () => { set(valueAt(Number(bar.value))); changed(Number(box.value)); });
  box.addEventListener("change", () => { if (box.value !== "" && Number.isFinite(+box.value)) { bar.value = position.of(+box.value); changed(+box.value); } });
  set(value);
  return element("label", {}, element("span", {}, label), bar, box);
}

const linear = (low, high, step) => ({ position: { low, high, of: (value) => value }, valueAt: (value) => value, step });

function start(root) {
  const state = { picked: pickedIn(location.hash), mean: 0, deviation: 0.5, range: 2 };
  if (!state.picked.length) state.picked = pickedIn("fast_sigmoid;atan;triangular");
  const colour = (i) => `var(--arcana-curve-${i % 8})`;
  const plots = element("div", { class: "plots" }), cards = element("div", { class: "cards" });

  function draw() {
    const density = (v) => Math.exp(-Math.pow((v - state.mean) / state.deviation, 2) / 2);
    const curves = (which) => state.picked.map(({ name, values }, i) => ({ y: functionsOf(name, values)[which], colour: colour(i) }));
    plots.replaceChildren(
      plot("h(v), the gradient; grey: how v is spread", curves("h"), state.range, density),
      plot("G(v), the step it stands for", curves("G"), state.range),
      plot("h′(v), the second derivative", curves("slope"), state.range));
    for (const [i, { name, values }] of state.picked.entries()) {
      const { share, mean, root } = statistics(functionsOf(name, values).h, state.mean, state.deviation);
      const card = cards.children[i];
      card.querySelector(".numbers").textContent =
        `${(100 * share).toFixed(0)} % of the neurons have a gradient (h at least 1 % of the peak); mean of h ${mean.toPrecision(3)}, root of the mean of h² ${root.toPrecision(3)}`;
      for (const framework of ["torch", "jax"]) card.querySelector(`.${framework}`).textContent = code(name, values, framework);
    }
    history.replaceState(null, "", `#${address(state.picked)}`);
  }

  function block(framework, title) {
    const text = element("pre", { class: framework });
    const button = element("button", { type: "button" }, "Copy");
    button.addEventListener("click", () => navigator.clipboard.writeText(text.textContent).then(() => {
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    }));
    return element("div", { class: "code" }, element("div", {}, title, button), text);
  }

  function card({ name, values }, i) {
    const { numbers, settings } = SURROGATES[name];
    const sliders = Object.entries(numbers).map(([key, bounds]) => slider(key, values[key],
      { position: { low: -1, high: 1, of: (value) => sliderPosition(bounds, value) }, valueAt: (at) => sliderValue(bounds, at), step: 0.01 },
      (value) => { values[key] = Math.min(bounds[2], Math.max(bounds[1], value)); draw(); }));
    const whole = Object.entries(settings).map(([key, [, low, high]]) => slider(key, values[key], linear(low, high, 1),
      (value) => { values[key] = Math.min(high, Math.max(low, Math.round(value))); draw(); }));
    const head = element("a", { href: `catalogue/${name}.html`, style: `border-color: ${colour(i)}` }, name);
    return element("section", {}, element("h3", {}, head), ...sliders, ...whole, element("p", { class: "numbers" }),
      block("torch", "PyTorch"), block("jax", "JAX"));
  }

  function show() {
    cards.replaceChildren(...state.picked.map(card));
    draw();
  }

  function choice(name) {
    const box = element("input", { type: "checkbox" });
    box.checked = state.picked.some((each) => each.name === name);
    box.addEventListener("change", () => {
      state.picked = box.checked ? [...state.picked, { name, values: defaults(name) }] : state.picked.filter((each) => each.name !== name);
      show();
    });
    return element("label", {}, box, name);
  }

  const families = [...new Set(Object.values(SURROGATES).map(({ family }) => family))];
  const choices = families.map((family) => element("fieldset", {}, element("legend", {}, family),
    ...Object.keys(SURROGATES).filter((name) => SURROGATES[name].family === family).map(choice)));
  const spread = element("div", { class: "spread" },
    slider("mean of v", state.mean, linear(-2, 2, 0.01), (value) => { state.mean = value; draw(); }),
    slider("spread of v", state.deviation, linear(0.01, 4, 0.01), (value) => { state.deviation = Math.max(0.001, value); draw(); }),
    slider("range shown", state.range, linear(RANGE.low, RANGE.high, 0.25), (value) => { state.range = Math.max(RANGE.low, value); draw(); }));
  root.replaceChildren(element("div", { class: "choices" }, ...choices), plots, spread, cards);
  show();
}

if (typeof document !== "undefined") start(document.getElementById("arcana-playground"));
