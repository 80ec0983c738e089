// The table of attempts: sorted, filtered, walked through by mouse and keyboard.

let rows = [];
// So many rows are laid out at first; more of them when they are scrolled to.
const PORTION = 60;
let portion = PORTION;
const sorting = { key: null, size: 0, down: false };

const byText = new Intl.Collator('en', { numeric: true });

const rowButton = (row) => row.querySelector('th button');
const indexOf = (row) => Number(row.dataset.index);

function sortValue(attempt) {
  switch (sorting.key) {
    case 'name': return attempt.name;
    case 'run': return data.runs[attempt.run].name;
    case 'zeros': return attempt.zeros === null || !attempt.weights ? null : attempt.zeros / attempt.weights;
    case 'nonzero': return attempt.zeros === null ? null : attempt.weights - attempt.zeros;
    case 'latency': return attempt.latency;
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
    const order = typeof a === 'string' ? byText.compare(a, b) : a - b;
    return sign * order || i - j;
  });
  rows = keyed.map(([, , row]) => row);
  // Those that are not laid out are moved at no cost.
  for (const row of rows) if (!row.hidden) row.hidden = true;
  document.querySelector('#attempts tbody').replaceChildren(...rows);
  filterRows();
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
  portion = PORTION;
  const text = byId('filter').value.trim().toLowerCase();
  const which = byId('show').value;
  fitting = rows.filter((row) => passes(indexOf(row), text, which));
  byId('count').textContent = `${grouped(fitting.length)} of ${grouped(rows.length)}`;
  byId('nothing').hidden = fitting.length > 0;
  layOut();
}

// The rows that fit the filter, in the order of the table; a portion of them is laid out.
let fitting = [];

function layOut() {
  const shown = new Set(fitting.slice(0, portion));
  for (const row of rows) {
    if (row.hidden === shown.has(row)) row.hidden = !row.hidden;
  }
  byId('more').hidden = shown.size === fitting.length;
  settleTabStop();
}

function layOutMore(rowsMore = PORTION) {
  if (portion >= fitting.length) return;
  portion += rowsMore;
  layOut();
}

// One row can be reached by Tab, the arrow keys go on from it.
function settleTabStop() {
  const visible = fitting.slice(0, portion);
  moveTabStop(visible.find((row) => indexOf(row) === state.chosen) ?? visible[0]);
}

let tabStop = null;

function moveTabStop(row) {
  if (tabStop) rowButton(tabStop).tabIndex = -1;
  tabStop = row ?? null;
  if (tabStop) rowButton(tabStop).tabIndex = 0;
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
    const mark = (sign, kind) => place.append(element('span', sign, { class: kind, 'aria-hidden': 'true' }));
    if (picked.has(index)) mark('●', 'pick');
    if (front.has(index)) mark('◆', 'front');
    const words = [picked.has(index) && 'the pick', front.has(index) && 'on the front'].filter(Boolean);
    if (words.length) place.append(element('span', ` ${words.join(', ')}: `, { class: 'spoken' }));
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

// The style sheet does the rest: a narrow screen has room for the column of one size only.
const markSize = () => (byId('attempts').dataset.shownSize = state.size);

function walk(event) {
  const here = event.target.closest('tbody tr');
  if (!here) return;
  const place = fitting.indexOf(here);
  const to = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: fitting.length - 1 }[event.key];
  if (to === undefined || !fitting[to]) return;
  event.preventDefault();
  if (to >= portion) layOutMore(to - portion + PORTION);
  moveTabStop(fitting[to]);
  rowButton(fitting[to]).focus();
}

function startTable(chooseAttempt) {
  rows = Array.from(document.querySelectorAll('#attempts tbody tr'));
  byId('more').addEventListener('click', () => layOutMore());
  const end = new IntersectionObserver(
    (seen) => seen.some((each) => each.isIntersecting) && layOutMore(),
    { root: byId('more').parentElement },
  );
  end.observe(byId('more'));
  addEventListener('beforeprint', () => layOutMore(rows.length));
  document.querySelector('#attempts tbody').addEventListener('click', (event) => {
    const row = event.target.closest('tr');
    // Marking text in a cell is no choice.
    // `detail` is 0 where the keyboard clicks.
    if (row && (event.detail === 0 || getSelection().isCollapsed)) chooseAttempt(indexOf(row));
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
