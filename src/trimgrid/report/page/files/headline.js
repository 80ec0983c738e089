// The pick of each run in words, and the controls that move it.

// Percent, from nothing to ten times the original's error.
const STEPS = [0, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];

function smallerWords(size, original) {
  if (size === original) return 'as large';
  const factor = Math.max(size, original) / Math.max(Math.min(size, original), 1);
  return `${factor.toFixed(2)}x ${size < original ? 'smaller' : 'larger'}`;
}

function inWords(attempt) {
  const original = originalOf(attempt.run);
  const before = original && sizeOf(original);
  const now = sizeOf(attempt);
  if (original === attempt) return 'the original, not pruned';
  return before && now !== null ? `${smallerWords(now, before)}, ${attempt.words}` : attempt.words;
}

function showHeadline() {
  const label = data.sizes[state.size]?.label;
  document.querySelectorAll('article.pick').forEach((card, run) => {
    const pick = state.picks[run];
    const attempt = pick.index === undefined ? null : data.attempts[pick.index];
    const set = (part, text) => {
      const place = card.querySelector(part);
      if (place.textContent !== text) place.textContent = text;
    };
    set('.pick-name bdi', attempt ? attempt.name : '');
    set('.pick-text', attempt ? inWords(attempt) : pick.why);
    set('.pick-size', attempt ? `${grouped(sizeOf(attempt))} bytes as ${label}` : '');
    set('.pick-command code', attempt ? commandOf(attempt) : '');
    card.querySelector('.copy').hidden = !(attempt && commandOf(attempt));
  });
  document.querySelectorAll('[data-asked]').forEach((place) => {
    const run = Number(place.dataset.asked);
    const original = originalOf(run);
    if (original === null) return;
    const size = sizeOf(original);
    const bytes = size === null ? '' : `${grouped(size)} bytes as ${label}, `;
    place.textContent = `${bytes}error ${original.error_text}`;
  });
}

function readTolerance() {
  state.mode = byId('mode').value;
  state.tolerance = byId('tolerance').value === '' ? NaN : Number(byId('tolerance').value);
  byId('unit').textContent = state.mode === 'rise' ? '%' : '';
  byId('slider').hidden = state.mode !== 'rise';
  if (state.mode === 'rise' && Number.isFinite(state.tolerance)) {
    const distance = (step) => Math.abs(Math.log((STEPS[step] + 0.05) / (state.tolerance + 0.05)));
    const nearest = STEPS.map((_, step) => step).reduce((a, b) => (distance(b) < distance(a) ? b : a));
    byId('slider').value = nearest;
    byId('slider').setAttribute('aria-valuetext', `${state.tolerance} %`);
  }
}

function startHeadline(changed, sizeChanged) {
  byId('size').addEventListener('change', () => {
    state.size = Number(byId('size').value);
    sizeChanged();
  });
  byId('slider').addEventListener('input', () => {
    byId('tolerance').value = STEPS[Number(byId('slider').value)];
    readTolerance();
    changed();
  });
  byId('tolerance').addEventListener('input', () => {
    readTolerance();
    changed();
  });
  byId('mode').addEventListener('change', () => {
    const limit = limitOf(0);
    if (byId('mode').value === 'limit') {
      // What was allowed so far, as an error.
      const known = limit ?? Math.min(...data.attempts.map((each) => each.error ?? Infinity));
      byId('tolerance').value = Number.isFinite(known) ? Number(known.toPrecision(6)) : '';
    } else {
      byId('tolerance').value = Number((100 * data.max_increase).toPrecision(10));
    }
    readTolerance();
    changed();
  });
}
