// Brings the page to life: data first, so that table and pick answer at once, then the charts.

let charts = false;

function tolerate() {
  choose();
  showHeadline();
  markRows();
  if (byId('show').value !== 'all') filterRows();
  const now = pickedIndices()[0];
  if (state.following && now !== undefined && now !== state.chosen) showAttempt(now);
  else if (charts) moveRings();
}

function changeSize() {
  tolerate();
  markSize();
  showChosen();
  if (charts) showTradeoff();
}

function chooseAttempt(index) {
  state.following = pickedIndices().includes(index);
  showAttempt(index);
}

function showAttempt(index) {
  state.chosen = index;
  markChosen();
  showChosen();
  if (!charts) return;
  moveRings();
  showDetails();
}

const atOnce = (_, things) => things.forEach((thing) => thing());

function setScheme(scheme, turn = oneByOne) {
  if (scheme) document.documentElement.dataset.scheme = scheme;
  else delete document.documentElement.dataset.scheme;
  for (const button of document.querySelectorAll('.scheme button')) {
    button.setAttribute('aria-pressed', String(button.dataset.scheme === scheme));
  }
  redraw(turn);
}

// Each of several runs has the colour that its points have.
function paintRuns() {
  document.querySelectorAll('[data-swatch]').forEach((swatch) => {
    swatch.style.background = runColour(Number(swatch.dataset.swatch));
    swatch.closest('.pick').style.borderLeftColor = swatch.style.background;
  });
}

function redraw(turn = oneByOne) {
  colours.clear();
  paintRuns();
  // The page has its new colours at once, the charts follow.
  if (charts) turn('colours', [showTradeoff, () => showDetails(turn)]);
}

async function start() {
  data = JSON.parse(await unpacked('packed-data'));
  const original = data.runs[0]?.original ?? 0;
  startHeadline(tolerate, changeSize);
  startTable(chooseAttempt);
  readTolerance();
  choose();
  showHeadline();
  markRows();
  markSize();
  filterRows();
  paintRuns();
  showAttempt(pickedIndices()[0] ?? original);
  for (const button of document.querySelectorAll('.copy')) button.addEventListener('click', () => copyFrom(button));
  for (const button of document.querySelectorAll('.scheme button')) {
    button.addEventListener('click', () => setScheme(button.dataset.scheme));
  }
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => redraw());
  // Paper is white.
  let before = '';
  addEventListener('beforeprint', () => {
    before = document.documentElement.dataset.scheme ?? '';
    setScheme('light', atOnce);
  });
  addEventListener('afterprint', () => {
    setScheme(before);
    filterRows();
  });
  byId('metric').addEventListener('change', showCurves);
  byId('view').addEventListener('change', showView);
  const library = element('script', await unpacked('packed-plotly'));
  document.head.append(library);
  charts = true;
  startTradeoff(chooseAttempt);
  showDetails();
  document.documentElement.dataset.ready = 'true';
}

start().catch((error) => {
  const note = element('p', `The charts can't be shown: ${error.message}. A browser of 2024 or later shows them.`, { class: 'note' });
  byId('headline').append(note);
  throw error;
});
