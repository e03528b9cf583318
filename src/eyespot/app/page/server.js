// What the page asks its server; every mistake comes back as one sentence.

export class Refused extends Error {}

export async function about() {
  return (await ask("api/about")).json();
}

export async function scene(seed, signal) {
  const [words, file] = await Promise.all([
    ask(`api/scenes/${seed}`, { signal }),
    ask(`api/scenes/${seed}.png`, { signal }),
  ]);
  return { text: (await words.json()).text, blob: await file.blob() };
}

export async function readPicture(blob, signal) {
  return (await post("api/pictures", blob, signal)).json();
}

export async function ground(blob, text, signal) {
  return (await post(`api/ground?text=${encodeURIComponent(text)}`, blob, signal)).json();
}

function post(path, blob, signal) {
  const headers = { "content-type": "application/octet-stream" };
  return ask(path, { method: "POST", body: blob, headers, signal });
}

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("The demo does not answer; is eyespot demo still running?");
  }
  if (answer.ok) return answer;
  throw new Refused(await sentence(answer));
}

async function sentence(answer) {
  try {
    return (await answer.json()).error;
  } catch {
    return `The server answered ${answer.status} ${answer.statusText}.`;
  }
}
