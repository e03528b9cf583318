// What was found, as a sentence, a list, ticks at the slider, JSON, and lines of code.

import { coloured } from "./drawing.js";

// Whether a box is shown; torch compares in single precision, and so do we.
export function isShown(score, threshold) {
  return score >= Math.fround(threshold);
}

// The boxes at a threshold, flat: what the picture shows.
export function marksOf(found, threshold, palette) {
  return found.phrases.flatMap((phrase, place) =>
    phrase.exact_scores
      .map((score, i) => ({
        phrase: place,
        name: phrase.phrase,
        ...palette(place),
        score,
        box: phrase.boxes_xyxy_px[i],
        mask: phrase.masks?.[i],
      }))
      .filter((mark) => isShown(mark.score, threshold)),
  );
}

// The text with its phrases marked; spans count characters, not the language's 16-bit units.
export function sentenceOf(found, palette) {
  const characters = Array.from(found.text);
  const parts = [];
  let at = 0;
  found.phrases.forEach((phrase, place) => {
    const [begin, end] = phrase.span;
    parts.push(characters.slice(at, begin).join(""));
    const mark = coloured(document.createElement("mark"), { phrase: place, ...palette(place) });
    mark.textContent = characters.slice(begin, end).join("");
    mark.dataset.number = place + 1;
    parts.push(mark);
    at = end;
  });
  parts.push(characters.slice(at).join(""));
  return parts;
}

export function ticksOf(found, least, palette) {
  return found.phrases.flatMap((phrase, place) =>
    phrase.exact_scores.map((score) => {
      const tick = coloured(document.createElement("i"), { phrase: place, ...palette(place) });
      tick.style.left = `${(100 * (score - least)) / (1 - least)}%`;
      tick.dataset.score = score;
      return tick;
    }),
  );
}

export function listOf(found, palette) {
  return found.phrases.map((phrase, place) => {
    const button = coloured(document.createElement("button"), { phrase: place, ...palette(place) });
    button.type = "button";
    button.setAttribute("aria-pressed", "false");
    button.append(piece("number", place + 1), piece("name", phrase.phrase), piece("scores", ""));
    const item = document.createElement("li");
    item.append(button);
    return item;
  });
}

// The scores in the list that are shown at a threshold.
export function fillScores(list, found, threshold) {
  found.phrases.forEach((phrase, place) => {
    const shown = phrase.exact_scores.filter((score) => isShown(score, threshold));
    const pills = shown.map((score) => {
      const pill = piece("score", score.toFixed(2));
      pill.style.setProperty("--share", `${100 * score}%`);
      return pill;
    });
    if (!shown.length) {
      const best = phrase.exact_scores[0];
      const none = best === undefined ? "not found" : `not found, best ${best.toFixed(2)}`;
      pills.push(piece("score none", none));
    }
    list.children[place].querySelector(".scores").replaceChildren(...pills);
  });
}

function piece(kind, text) {
  const span = document.createElement("span");
  span.className = kind;
  span.textContent = text;
  return span;
}

// What `eyespot ground --json` prints for the same picture, text and least score.
export function asJson(found, threshold, name) {
  const { text, height_px, width_px } = found;
  const phrases = found.phrases.map(({ exact_scores, boxes_xyxy_px, scores, masks, ...rest }) => {
    const keep = (list) => list.filter((_, i) => isShown(exact_scores[i], threshold));
    const kept = { ...rest, boxes_xyxy_px: keep(boxes_xyxy_px), scores: keep(scores) };
    return masks ? { ...kept, masks: keep(masks) } : kept;
  });
  return { image: name, text, height_px, width_px, phrases };
}

export function shellLine(name, text, threshold, weights) {
  const file = name.startsWith("-") ? `./${name}` : name;
  const words = ["eyespot ground", quoted(file), quoted(text)];
  if (weights) words.push("--weights", quoted(weights));
  if (threshold !== 0.5) words.push("--min-score", threshold);
  return [...words, "--json"].join(" ");
}

function quoted(word) {
  return /^[\w./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

export function pythonLines(name, text, threshold, weights) {
  const least = threshold === 0.5 ? "" : `, min_score=${threshold}`;
  return [
    "from eyespot.predict.grounder import Grounder",
    "",
    `grounder = Grounder.from_pretrained(${JSON.stringify(weights || "scenes-small")})`,
    `found = grounder(${JSON.stringify(name)}, ${JSON.stringify(text)}${least})`,
  ].join("\n");
}
