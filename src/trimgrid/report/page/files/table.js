// The table of attempts: sorted, filtered, walked through by mouse and keyboard.

let rows = [];
const sorting = { key: null, size: 0, down: false };

const rowButton = (row) => row.querySelector('th button');
const indexOf = (row) => Number(row.dataset.index);

function sortValue(attempt) {
  switch (sorting.key) {
    case 'name': return attempt.name;
    case 'run': return data.runs[attempt.run].name;
    case 'zeros': return attempt.zeros === null || !attempt.weights ? null : attempt.zeros / attempt.weights;
    case 'nonzero': return attempt.zeros === null ? null : attempt.weights - attempt.zeros;
    case 'size': return attempt.sizes[sorting.size];
    case 'change': {
      const original = originalOf(attempt.run);
      const known = attempt.error !== null && original !== null && original.error > 0;
      return known ? attempt.error / original.error : null;
    }
    default: return attempt.error;
  }
}

// What is not known comes last, whatever the direction.
function sortRows() {
  const sign = sorting.down ? -1 : 1;
  const keyed = rows.map((row) => [sortValue(data.attempts[indexOf(row)]), indexOf(row), row]);
  keyed.sort(([a, i], [b, j]) => {
    if (a === null || b === null) return (a === null) - (b === null) || i - j;
    const order = typeof a === 'string' ? a.localeCompare(b, 'en', { numeric: true }) : a - b;
    return sign * order || i - j;
  });
  rows = keyed.map(([, , row]) => row);
  document.querySelector('#attempts tbody').replaceChildren(...rows);
}

function passes(index, text, which) {
  const attempt = data.attempts[index];
  if (text && !`${attempt.name} ${attempt.status} ${data.runs[attempt.run].name}`.toLowerCase().includes(text)) {
    return false;
  }
  if (which === 'front') return state.fronts[attempt.run].includes(index);
  if (which === 'failed') return attempt.status !== 'ok';
  if (which === 'within') {
    const limit = limitOf(attempt.run);
    return attempt.error !== null && limit !== null && attempt.error <= limit;
  }
  return true;
}

function filterRows() {
  const text = byId('filter').value.trim().toLowerCase();
  const which = byId('show').value;
  let shown = 0;
  for (const row of rows) {
    const visible = passes(indexOf(row), text, which);
    if (row.hidden === visible) row.hidden = !visible;
    shown += visible;
  }
  byId('count').textContent = `${grouped(shown)} of ${grouped(rows.length)}`;
  byId('nothing').hidden = shown > 0;
  settleTabStop();
}

// One row can be reached by Tab, the arrow keys go on from it.
function settleTabStop() {
  const visible = rows.filter((row) => !row.hidden);
  const stop = visible.find((row) => indexOf(row) === state.chosen) ?? visible[0];
  for (const row of rows) {
    const wanted = row === stop ? 0 : -1;
    if (rowButton(row).tabIndex !== wanted) rowButton(row).tabIndex = wanted;
  }
}

function markRows() {
  const picked = new Set(pickedIndices());
  const front = new Set(state.fronts.flat());
  for (const row of rows) {
    const index = indexOf(row);
    row.classList.toggle('picked', picked.has(index));
    const marks = `${picked.has(index) ? 'p' : ''}${front.has(index) ? 'f' : ''}`;
    if (row.dataset.marks === marks) continue;
    row.dataset.marks = marks;
    const place = row.querySelector('.marks');
    place.replaceChildren();
    if (picked.has(index)) place.append(element('span', '●', { class: 'pick' }));
    if (front.has(index)) place.append(element('span', '◆', { class: 'front' }));
    const words = [picked.has(index) && 'the pick', front.has(index) && 'on the front'].filter(Boolean);
    if (words.length) row.setAttribute('title', words.join(', '));
    else row.removeAttribute('title');
  }
}

function markChosen() {
  for (const row of document.querySelectorAll('#attempts tr[data-chosen]')) {
    row.removeAttribute('data-chosen');
    rowButton(row).setAttribute('aria-pressed', 'false');
  }
  const row = rows.find((each) => indexOf(each) === state.chosen);
  if (row) {
    row.dataset.chosen = '';
    rowButton(row).setAttribute('aria-pressed', 'true');
  }
  settleTabStop();
}

function markSize() {
  for (const cell of document.querySelectorAll('#attempts .size')) {
    const mine = Number(cell.dataset.size) === state.size;
    if (cell.tagName === 'TH') cell.classList.toggle('shown-size', mine);
    // A narrow screen has room for one size only: the one that counts.
    cell.classList.toggle('wide', !mine);
  }
}

function walk(event) {
  const here = event.target.closest('tbody tr');
  if (!here) return;
  const visible = rows.filter((row) => !row.hidden);
  const place = visible.indexOf(here);
  const to = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: visible.length - 1 }[event.key];
  if (to === undefined || !visible[to]) return;
  event.preventDefault();
  rowButton(here).tabIndex = -1;
  rowButton(visible[to]).tabIndex = 0;
  rowButton(visible[to]).focus();
}

function startTable(chooseAttempt) {
  rows = Array.from(document.querySelectorAll('#attempts tbody tr'));
  document.querySelector('#attempts tbody').addEventListener('click', (event) => {
    const row = event.target.closest('tr');
    // Marking text in a cell is no choice.
    if (row && getSelection().isCollapsed) chooseAttempt(indexOf(row));
  });
  document.querySelector('#attempts tbody').addEventListener('keydown', walk);
  for (const button of document.querySelectorAll('#attempts thead button')) {
    button.addEventListener('click', () => {
      const size = Number(button.dataset.size ?? 0);
      const same = sorting.key === button.dataset.key && sorting.size === size;
      sorting.down = same && !sorting.down;
      sorting.key = button.dataset.key;
      sorting.size = size;
      for (const head of document.querySelectorAll('#attempts thead th')) head.setAttribute('aria-sort', 'none');
      button.closest('th').setAttribute('aria-sort', sorting.down ? 'descending' : 'ascending');
      sortRows();
    });
  }
  byId('filter').addEventListener('input', filterRows);
  byId('show').addEventListener('change', filterRows);
}
