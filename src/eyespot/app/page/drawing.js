// Boxes, their labels and masks, laid over the picture.

const SVG = "http://www.w3.org/2000/svg";
const MAX_CANVAS_SIDE = 1024;
const LABEL_ROOM = 24; // of the screen's pixels

// Draws the boxes of `marks`: [{phrase, number, name, colour, ink, box, score, mask}], the largest at the bottom.
export function drawMarks(marks, size, places, withMasks) {
  const { frame, boxes, labels, masks } = places;
  boxes.setAttribute("viewBox", `0 0 ${size.width} ${size.height}`);
  const ordered = [...marks].sort((a, b) => area(b.box) - area(a.box));
  boxes.replaceChildren(...ordered.map((mark) => drawnBox(mark)));
  labels.replaceChildren(...ordered.map((mark) => drawnLabel(mark, size, frame)));
  for (const name of labels.querySelectorAll(".name")) {
    name.hidden = name.scrollWidth > name.clientWidth; // half a word helps nobody
  }
  masks.replaceChildren(...(withMasks ? drawnMasks(marks, size) : []));
}

function area([left, top, right, bottom]) {
  return (right - left) * (bottom - top);
}

function drawnBox(mark) {
  const group = coloured(document.createElementNS(SVG, "g"), mark);
  group.setAttribute("class", mark.phrase === "whole" ? "box whole" : "box");
  const [left, top, right, bottom] = mark.box;
  for (const name of ["face", "halo", "line"]) {
    const rect = document.createElementNS(SVG, "rect");
    rect.setAttribute("class", name);
    rect.setAttribute("x", left);
    rect.setAttribute("y", top);
    rect.setAttribute("width", right - left);
    rect.setAttribute("height", bottom - top);
    group.append(rect);
  }
  return group;
}

function drawnLabel(mark, size, frame) {
  const label = coloured(document.createElement("div"), mark);
  const [left, , right, bottom] = mark.box;
  const whole = mark.phrase === "whole"; // below its box, since a phrase's label is often above
  const top = whole ? bottom : mark.box[1];
  const inside = !whole && (top / size.height) * frame.clientHeight < LABEL_ROOM;
  const atRight = (left / size.width) * frame.clientWidth > frame.clientWidth - 60;
  label.className = `label ${inside ? "inside" : whole ? "foot" : "above"} ${atRight ? "right" : ""}`;
  label.style.left = `${(100 * (atRight ? right : left)) / size.width}%`;
  label.style.top = `${(100 * top) / size.height}%`;
  label.style.maxWidth = `max(58px, ${(100 * (right - left)) / size.width}%)`;
  const parts = { number: mark.number, name: mark.name, score: mark.score.toFixed(2) };
  for (const [kind, text] of Object.entries(parts)) {
    const part = document.createElement("span");
    part.className = kind;
    part.textContent = text;
    label.append(part);
  }
  return label;
}

export function coloured(element, { phrase, colour, ink }) {
  element.dataset.phrase = phrase;
  element.style.setProperty("--c", colour);
  element.style.setProperty("--on", ink);
  return element;
}

// One canvas a phrase, all its masks in one colour; the style makes it transparent.
function drawnMasks(marks, size) {
  const canvases = new Map();
  for (const mark of marks.filter((m) => m.mask)) {
    if (!canvases.has(mark.phrase)) {
      const scale = Math.min(1, MAX_CANVAS_SIDE / Math.max(size.width, size.height));
      const canvas = coloured(document.createElement("canvas"), mark);
      canvas.width = Math.max(1, Math.round(size.width * scale));
      canvas.height = Math.max(1, Math.round(size.height * scale));
      canvases.set(mark.phrase, canvas);
    }
    paintMask(canvases.get(mark.phrase), mark);
  }
  return [...canvases.values()];
}

function paintMask(canvas, { mask, colour }) {
  const [height, width] = mask.size;
  const context = canvas.getContext("2d");
  context.setTransform(canvas.width / width, 0, 0, canvas.height / height, 0, 0);
  context.fillStyle = colour;
  for (const [begin, end] of insideRuns(mask.counts)) {
    for (let at = begin; at < end; ) {
      const x = Math.floor(at / height);
      const stop = Math.min(end, (x + 1) * height);
      context.fillRect(x, at - x * height, 1, stop - at);
      at = stop;
    }
  }
}

// COCO's compressed run lengths: pixels in columns, runs outside and inside in turn; five bits a
// character with a sign, from the third run on as the difference to the run two before.
export function insideRuns(counts) {
  const runs = [];
  let at = 0;
  const lengths = [];
  for (let place = 0; place < counts.length; ) {
    let value = 0;
    let shift = 0;
    let bits;
    do {
      bits = counts.charCodeAt(place++) - 48;
      value += (bits & 31) * 2 ** shift;
      shift += 5;
    } while (bits & 32);
    if (bits & 16) value -= 2 ** shift;
    const number = lengths.length;
    if (number > 2) value += lengths[number - 2];
    lengths.push(value);
    if (number % 2) runs.push([at, at + value]);
    at += value;
  }
  return runs;
}
