// What the other parts share: the data, the state, elements, colours.

let data = null;
// `following`: the chosen attempt goes along with the pick until another one is chosen.
const state = { following: true, size: 0, mode: 'rise', tolerance: 5, chosen: 0, picks: [], fronts: [] };

const byId = (id) => document.getElementById(id);

async function unpacked(id) {
  const bytes = Uint8Array.from(atob(byId(id).textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Response(stream).text();
}

function element(tag, content, attributes = {}) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (content !== undefined) made.append(content);
  return made;
}

// A text of the run in an element that keeps right-to-left text apart from what is around it.
const isolated = (text) => element('bdi', text);

const grouped = (number) => number.toLocaleString('en-US');

const sizeOf = (attempt, size = state.size) => attempt.sizes[size] ?? null;

const percent = (share) => `${(100 * share).toFixed(1)} %`;

function shortened(text, letters) {
  const all = Array.from(text);
  if (all.length <= letters) return text;
  const end = Math.floor(((letters - 1) * 3) / 5);
  return `${all.slice(0, letters - 1 - end).join('')}…${all.slice(all.length - end).join('')}`;
}

// The command that exports an attempt as the file whose size counts.
function commandOf(attempt) {
  const [before, after] = attempt.command;
  const file = data.sizes[state.size]?.file ?? 'small.tflite';
  return before ? `${before}${file}${after}` : '';
}

// A colour of the style sheet as it is in the scheme of the moment; asked for once a scheme.
const colours = new Map();

function colour(name) {
  if (!colours.has(name)) {
    const probe = element('i', '', { style: `color:var(--${name})` });
    document.body.append(probe);
    colours.set(name, getComputedStyle(probe).color);
    probe.remove();
  }
  return colours.get(name);
}

function faded(rgb, alpha) {
  const [red, green, blue] = rgb.match(/[\d.]+/g);
  return `rgba(${red},${green},${blue},${alpha})`;
}

// Does one thing after the other, with room between for what the browser has to show; what was
// begun earlier under the same name and is not done yet is left.
const turns = new Map();

function oneByOne(name, things) {
  const turn = (turns.get(name) ?? 0) + 1;
  turns.set(name, turn);
  const next = () => {
    if (turns.get(name) !== turn || things.length === 0) return;
    things.shift()();
    requestAnimationFrame(() => setTimeout(next));
  };
  requestAnimationFrame(() => setTimeout(next));
}

async function copyFrom(button) {
  const text = button.parentElement.querySelector('code').textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = 'Copied';
  } catch {
    // A page on the disk may be refused the clipboard: then the text is marked for Ctrl-C.
    getSelection().selectAllChildren(button.parentElement.querySelector('code'));
    button.textContent = 'Press Ctrl-C';
  }
  setTimeout(() => (button.textContent = 'Copy'), 3000);
}
