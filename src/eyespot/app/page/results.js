// What was found, as a sentence, a list, ticks at the slider, JSON, and lines of code.

import { coloured } from "./drawing.js";

// Whether a box is shown; torch compares in single precision, and so do we.
export function isShown(score, threshold) {
  return score >= Math.fround(threshold);
}

// What the whole text means is lit up and listed like a phrase; it has a star for a number.
const WHOLE = { phrase: "whole", number: "★", colour: "#64748b", ink: "#fff" };

// The boxes at a threshold, flat: what the picture shows.
export function marksOf(found, threshold, palette) {
  const marks = found.phrases.flatMap((phrase, place) =>
    phrase.exact_scores
      .map((score, i) => ({
        phrase: place,
        number: place + 1,
        name: phrase.phrase,
        ...palette(place),
        score,
        box: phrase.boxes_xyxy_px[i],
        mask: phrase.masks?.[i],
      }))
      .filter((mark) => isShown(mark.score, threshold)),
  );
  const meant = referentOf(found, threshold);
  if (!meant) return marks;
  return [...marks, { ...WHOLE, name: "", score: meant.exact_score, box: meant.box_xyxy_px }];
}

function referentOf(found, threshold) {
  return found.referent && isShown(found.referent.exact_score, threshold) ? found.referent : null;
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
  const items = found.phrases.map((phrase, place) =>
    listed({ phrase: place, number: place + 1, ...palette(place) }, phrase.phrase),
  );
  return found.referent ? [...items, listed(WHOLE, "What the whole text means")] : items;
}

function listed(mark, name) {
  const button = coloured(document.createElement("button"), mark);
  button.type = "button";
  button.setAttribute("aria-pressed", "false");
  button.append(piece("number", mark.number), piece("name", name), piece("scores", ""));
  const item = document.createElement("li");
  item.append(button);
  return item;
}

// The scores in the list that are shown at a threshold.
export function fillScores(list, found, threshold) {
  const meant = found.referent ? [[found.referent.exact_score]] : [];
  const scores = [...found.phrases.map((phrase) => phrase.exact_scores), ...meant];
  scores.forEach((ofPhrase, place) => {
    const shown = ofPhrase.filter((score) => isShown(score, threshold));
    const pills = shown.map((score) => {
      const pill = piece("score", score.toFixed(2));
      pill.style.setProperty("--share", `${100 * score}%`);
      return pill;
    });
    if (!shown.length) {
      const best = ofPhrase[0];
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
  const { exact_score, ...meant } = referentOf(found, threshold) ?? {};
  const referent = exact_score === undefined ? null : meant;
  return { image: name, text, height_px, width_px, phrases, referent };
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
